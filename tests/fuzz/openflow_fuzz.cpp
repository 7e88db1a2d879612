// SPDX-License-Identifier: Apache-2.0
// An OpenFlow connection's input: a stream of messages, of the version that the first byte names, cut in two, goes
// through framing, every decoder and the handlers over a switch without a kernel. Whatever is written back must be
// whole messages; and a flow-mod that is taken is encoded, and taken again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/control/fake_instance.h"
#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/bundle_codec.h"
#include "user/openflow/codec/flow_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/meter_codec.h"
#include "user/openflow/session.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::openflow;

namespace {

void add_seed(std::vector<std::string>& seeds, std::uint8_t version, const Writer& out) {
  const Bytes bytes = out.bytes();
  std::string seed{static_cast<char>(version), static_cast<char>(200)};
  seed.append(bytes.begin(), bytes.end());
  seeds.push_back(std::move(seed));
}

// Each message that comes back is whole, and of the session's version or a hello.
void check_output(const std::vector<std::uint8_t>& bytes) {
  for (Bytes left{bytes}; !left.empty();) {
    FUZZ_CHECK(left.size() >= kHeaderSize);
    const Header header = read_header(left);
    FUZZ_CHECK(header.length >= kHeaderSize && header.length <= left.size());
    left = left.subspan(header.length);
  }
}

}  // namespace

std::vector<std::string> shunt::test::fuzz_seeds() {
  std::vector<std::string> seeds;
  const PortNames names;
  for (std::uint8_t number = 0; number < kVersions.size(); ++number) {
    const Version version = kVersions[number];
    for (const char* text :
         {"tcp,nw_src=10.0.0.0/8,tp_dst=80 actions=mod_nw_dst:10.0.0.1,set_field:80->tcp_dst,output:2",
          "arp,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:2->NXM_OF_ARP_OP[],IN_PORT",
          "dl_vlan=5 actions=strip_vlan,push_vlan:0x8100,resubmit(,3),clone(output:1),note:11.22",
          "actions=learn(table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
          "actions=controller(userdata=01.02,pause),multipath(eth_src,1,hrw,4,0,reg0[0..1]),bundle(eth_src,0,hrw,"
          "ofport,members:1,2)",
          "mpls actions=pop_mpls:0x800,dec_ttl,write_actions(group:1,output:3),write_metadata:1/3,goto_table:5"}) {
      FlowModMessage change;
      change.mod = parse_flow(text, FlowMod::Command::kAdd, names);
      change.mod.table = 0;
      Writer out;
      encode_flow_mod(out, change, version, 1);
      add_seed(seeds, number, out);
    }
    const auto request = [&](MessageKind kind, std::vector<std::uint8_t> body) {
      Writer out;
      {
        const MessageScope message{out, version, kind, 7};
        out.put(body);
      }
      add_seed(seeds, number, out);
    };
    for (const MessageKind kind :
         {MessageKind::kFeaturesRequest, MessageKind::kGetConfigRequest, MessageKind::kBarrierRequest})
      request(kind, {});
    for (std::uint8_t type = 0; type < 20; ++type)
      request(MessageKind::kMultipartRequest,
              {0, type, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0});
    request(MessageKind::kPacketOut, std::vector<std::uint8_t>(60, 0xff));
    request(MessageKind::kRoleRequest, {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
    request(MessageKind::kPortMod, std::vector<std::uint8_t>(40));
    if (version == Version::k10) continue;
    request(MessageKind::kTableMod, std::vector<std::uint8_t>(8));
    request(MessageKind::kSetAsync, std::vector<std::uint8_t>(24));
    request(MessageKind::kBundleControl, {0, 0, 0, 1, 0, 0, 0, 1});
    MeterMod meter;
    meter.config = {.id = 3, .packets = true, .burst = true, .stats = true, .bands = {{SHUNT_BAND_DROP, 9, 9, 0}}};
    Writer out;
    encode_meter_mod(out, meter, version, 2);
    add_seed(seeds, number, out);
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Version version = kVersions[data[0] % kVersions.size()];
  const Bytes stream{data + 2, size - 2};
  const std::size_t cut = stream.size() * data[1] / 255;

  test::FakeInstance instance;
  instance.add_bridge("br0");
  instance.attach_port("br0", {.interface = "eth1", .number = {}, .vlan = {}, .queues = {}, .flags = {}});
  BridgeAgent agent{instance, BridgeId{1}, "br0"};
  Session session{agent, Session::Kind::kController};
  Writer hello;
  { const MessageScope message{hello, number_of(version), kHelloType, 1}; }
  session.feed(hello.bytes());
  for (const Bytes part : {stream.first(cut), stream.subspan(cut)}) {
    session.feed(part);
    for (int turns = 0; turns < 100 && session.process(); ++turns) check_output(session.take_output());
    check_output(session.take_output());
  }

  for (const FlowMod& mod : instance.last_mods) {
    FlowModMessage change;
    change.mod = mod;
    Writer out;
    encode_flow_mod(out, change, version, 1);
    if (out.size() > kMaxMessage) continue;
    const Header header = read_header(out.bytes());
    FUZZ_CHECK(header.length == out.size());
    try {
      const Bytes body = out.bytes().subspan(version == Version::k10 ? 2 * kHeaderSize : kHeaderSize);
      const FlowModMessage back =
          version == Version::k10 ? decode_nx_flow_mod(body, true) : decode_flow_mod(body, version, false);
      FUZZ_CHECK(back.mod.match == mod.match);
    } catch (const OfError&) {
      // What OpenFlow 1.0's actions do without a prerequisite, its extensions refuse.
      FUZZ_CHECK(version == Version::k10);
    }
  }
  return 0;
}
