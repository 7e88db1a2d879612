// SPDX-License-Identifier: Apache-2.0
// Any rules, any key: translation ends, its actions are well-formed and not too many, and every key that agrees under
// its mask gets the same ones. Rules come as text, or are made from the input's bytes.
#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/datapath/parse.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_frame.h"
#include "tests/support/pipeline_fixture.h"
#include "tests/support/random_pipeline.h"
#include "user/base/error.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr std::size_t kMaxActions = 3 * 8192;  // translation's limit, and what one more action and its scopes may add

void add_rules(HandmadeBridge& sw, std::string_view rules) {
  for (const FlowMod& mod : parse_flows(rules, FlowMod::Command::kAdd, {})) {
    const std::uint8_t table = mod.table.value_or(0);
    const auto& classifier = sw.bridge.tables[table];
    if (classifier && classifier->find(mod.match, mod.priority, 1)) continue;
    sw.rule(table, mod.priority, mod.match, mod.actions);
  }
}

// Groups and a meter for rules to name.
void add_others(HandmadeBridge& sw) {
  sw.group(1, GroupType::kAll, {{{dst(1), to_port(2)}}, {{PushVlanAction{0x8100}, GroupAction{2}}}});
  sw.group(2, GroupType::kSelect, {{{to_port(2)}, 3}, {{dst(2), to_port(3)}}});
  sw.group(3, GroupType::kFastFailover, {{{to_port(4)}, 1, PortNo{4}, {}}, {{ResubmitAction{{}, std::uint8_t{1}}}}});
  sw.meter(1, 9);
  sw.at(4).up = false;
}

void check_form(const Translation& result) {
  FUZZ_CHECK(result.actions.size() <= kMaxActions);
  FUZZ_CHECK(result.mask.in_port == ~std::uint32_t{0});
  unsigned saved = 0;
  bool goes_out = false;
  for (const shunt_action& action : result.actions) {
    FUZZ_CHECK(action.type != SHUNT_ACT_NONE && action.type < SHUNT_ACT_COUNT);
    FUZZ_CHECK(action.type != SHUNT_ACT_OUTPUT_GROUP);
    FUZZ_CHECK(action.type != SHUNT_ACT_CONTROLLER || action.arg < result.follow_ups->controllers.size());
    goes_out = goes_out || action.type == SHUNT_ACT_OUTPUT;
    if (action.type == SHUNT_ACT_SAVE) ++saved;
    if (action.type != SHUNT_ACT_RESTORE) continue;
    FUZZ_CHECK(saved > 0);
    --saved;
  }
  FUZZ_CHECK(saved == 0);
  FUZZ_CHECK(result.actions.empty() || result.actions.back().type != SHUNT_ACT_RESTORE);
  FUZZ_CHECK(result.needs_packet || goes_out == (result.drop == SHUNT_DROP_NONE));
}

bool same(const shunt_action& a, const shunt_action& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

void check_same(const Translation& a, const Translation& b) {
  FUZZ_CHECK(std::equal(a.actions.begin(), a.actions.end(), b.actions.begin(), b.actions.end(), same));
  FUZZ_CHECK(a.drop == b.drop && a.rules == b.rules && a.needs_packet == b.needs_packet);
  FUZZ_CHECK(a.credits == b.credits && a.dependencies.tags == b.dependencies.tags);
}

FlowKey fuzz_key(FuzzInput& input) {
  Bytes frame = fuzz_frame(input);
  frame.resize(std::max<std::size_t>(frame.size(), 14));
  shunt_frame parsed{reinterpret_cast<__u8*>(frame.data()), static_cast<__u32>(frame.size()), 0, 0};
  shunt_flow_key key;
  shunt_headers headers;
  (void)shunt_parse(&parsed, parsed.len, 101u + input.byte() % 6u, SHUNT_FEATURE_ALL, &key, &headers);
  key.dp_hash = static_cast<__u32>(input.word()) * 0x10001u;
  return key;
}

}  // namespace

// Text up to a zero byte, then the frame; without text, numbers to make rules of.
std::vector<std::string> shunt::test::fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const std::string_view rules : {
           "actions=resubmit(,1),output:2\ntable=1,in_port=1,actions=load:5->reg0,resubmit(2,1)\n"
           "table=1,actions=push:reg0,pop:reg1,output:reg1\n",
           "tcp,actions=write_actions(set_field:02:00:00:00:00:01->eth_dst,group:1),goto_table:2\n"
           "table=2,actset_output=2,actions=clear_actions,clone(push_vlan:0x8100,output:3),group:2\n",
           "ip,actions=dec_ttl,group:3,meter:1\ntable=1,actions=move:ip_src[0..7]->reg3[8..15],resubmit(,2)\n"
           "table=2,reg3=0x100/0xff00,actions=normal\n",
           "actions=multipath(eth_src,50,modulo_n,4,0,reg0[]),bundle(eth_src,0,hrw,ofport,slaves:2,3)\n"
           "mpls,actions=pop_mpls:0x0800,resubmit(,1)\ntable=1,ip,nw_dst=10.0.0.0/8,actions=output:2\n",
           "actions=push_mpls:0x8847,set_field:7->mpls_label,output:2,pop_mpls:0x0800,output:3\n",
           "actions=learn(table=3,eth_dst=eth_src,output:in_port),check_pkt_larger(100)->reg0[0],resubmit(,1)\n"
           "table=1,reg0=1,actions=drop\ntable=1,priority=1,actions=flood\n",
           "actions=controller,set_queue:3,enqueue:2:4,exit,all\n",
       })
    seeds.push_back(std::string{rules} + '\0' + std::string(40, '\x42'));
  seeds.push_back('\0' + std::string(300, '\x11'));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all{reinterpret_cast<const char*>(data), size};
  const std::size_t text_size = std::min(all.find('\0'), size);
  FuzzInput input{data + text_size, size - text_size};

  HandmadeBridge sw;
  if (text_size > 0) {
    for (std::uint32_t port = 1; port <= 6; ++port) sw.port(port);
    add_others(sw);
    try {
      add_rules(sw, all.substr(0, text_size));
    } catch (const Error&) {
      return 0;
    }
  } else {
    RandomPipeline{[&](unsigned bound) { return input.byte() % bound; }}.fill(sw);
  }

  std::mt19937_64 random{input.word()};
  const FlowKey key = fuzz_key(input);
  const SwitchState& state = sw.state();
  const Translation result = translate(state, key);
  check_form(result);

  // Other keys that agree.
  const KeyWords mask = to_words(result.mask);
  for (int i = 0; i < 3; ++i) {
    KeyWords other = to_words(key);
    for (std::size_t w = 0; w < kKeyWords; ++w) other[w] = (other[w] & mask[w]) | (random() & ~mask[w]);
    const Translation again = translate(state, from_words(other));
    check_form(again);
    check_same(result, again);
  }
  return 0;
}
