// SPDX-License-Identifier: Apache-2.0
// How many cached flows, and how many masks, traffic over a rule set makes: here, and in Open vSwitch's userspace
// datapath after the same rules and the same packets. Rule sets are made after ClassBench's three kinds. Prints a
// table; fails where Shunt makes more of either.
//
//   megaflow_count [--rules N]... [--flows N] [--seed N] [--kind NAME]
// Exits 77 where Open vSwitch is missing.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bpf/datapath/frame.h"
#include "bpf/datapath/parse.h"
#include "tests/oracle/open_vswitch.h"
#include "tests/support/class_bench.h"
#include "user/base/error.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"

namespace shunt::test {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kNow{std::chrono::hours{1}};

struct Options {
  std::vector<std::size_t> rules;
  std::size_t flows = 100'000;
  std::uint64_t seed = 1;
  std::string kind;             // of rule set; empty: every
  std::uint64_t percent = 100;  // of what Open vSwitch makes: more is a failure
};
struct Count {
  std::size_t flows = 0, masks = 0;
};

std::string address(const __u8 (&bytes)[16]) {
  return fmt::format("{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]);
}

Bytes frame_of(const FlowKey& key) {
  PacketBuilder builder = packet()
                              .eth(MacAddr::from_number(0x020000000001), MacAddr::from_number(0x020000000002))
                              .ipv4(address(key.ip_src).c_str(), address(key.ip_dst).c_str());
  if (key.nw_proto == 17)
    builder.udp(key.tp_src.host(), key.tp_dst.host());
  else
    builder.tcp(key.tp_src.host(), key.tp_dst.host());
  return builder.payload(std::size_t{18}).build();
}

FlowKey parsed(Bytes frame) {
  shunt_frame view{};
  view.data = reinterpret_cast<__u8*>(frame.data());
  view.len = static_cast<__u32>(frame.size());
  FlowKey key{};
  shunt_headers headers{};
  if (shunt_parse(&view, view.len, 1, SHUNT_FEATURE_ALL, &key, &headers) != SHUNT_DROP_NONE)
    throw Error("a frame does not parse");
  return key;
}

std::string bytes_of(const FlowKey& key) { return {reinterpret_cast<const char*>(&key), sizeof key}; }

// A cache that nothing ever leaves: a packet that no flow covers makes one.
Count count_ours(const std::vector<FlowMod>& rules, const std::vector<Bytes>& frames) {
  Switch pipeline;
  const BridgeId bridge = pipeline.add_bridge("br0");
  for (std::uint32_t number : {1u, 2u}) {
    BridgePort port;
    port.number = PortNo{number};
    port.dp = DpPort{number};
    port.name = "p" + std::to_string(number);
    pipeline.add_port(bridge, port);
  }
  FlowMod all;
  all.command = FlowMod::Command::kDelete;
  pipeline.apply(bridge, std::span{&all, 1}, kNow);
  pipeline.apply(bridge, rules, kNow);
  const SwitchStateRef state = pipeline.state();

  std::vector<std::pair<FlowMask, std::unordered_set<std::string>>> cache;
  std::unordered_map<std::string, std::size_t> index_of;
  Count count;
  for (const Bytes& frame : frames) {
    const FlowKey key = parsed(frame);
    bool hit = false;
    for (const auto& [mask, keys] : cache) hit = hit || keys.contains(bytes_of(key & mask));
    if (hit) continue;
    const FlowMask mask = translate(*state, key).mask;
    const auto [at, is_new] = index_of.try_emplace(bytes_of(mask), cache.size());
    if (is_new) cache.push_back({mask, {}});
    cache[at->second].second.insert(bytes_of(key & mask));
    ++count.flows;
  }
  count.masks = cache.size();
  return count;
}

// A line of dump-flows -m with the values taken out: "ipv4(src=/255.255.0.0,...". A value without mask is an exact one.
std::string mask_of(std::string_view line) {
  std::string mask;
  const std::size_t begin = line.find("recirc_id("), end = line.find(", packets:");
  if (begin == std::string_view::npos || end == std::string_view::npos) throw Error("no flow: {}", line);
  std::string_view rest = line.substr(begin, end - begin);
  while (!rest.empty()) {
    const std::size_t size = std::min(rest.find_first_of("(=,)"), rest.size());
    std::string_view word = rest.substr(0, size);
    const char mark = size < rest.size() ? rest[size] : '\0';
    if (mark == '(' || mark == '=') {
      // tcp and udp are one mask.
      mask += word == "tcp" || word == "udp" ? std::string_view{"l4"} : word;
    } else {
      const std::size_t slash = word.find('/');
      mask += slash == std::string_view::npos ? std::string_view{} : word.substr(slash);
    }
    if (mark != '\0') mask += mark;
    rest.remove_prefix(std::min(size + 1, rest.size()));
  }
  return mask;
}

Count count_theirs(OpenVswitch& theirs, const std::vector<FlowMod>& rules, const std::vector<Bytes>& frames) {
  theirs.command("revalidator/purge");
  std::string bundle = "flow delete\n";
  for (const FlowMod& rule : rules) bundle += "flow add " + format_flow_spec(rule) + "\n";
  theirs.apply(bundle);
  theirs.command("revalidator/purge");
  theirs.send_only(PortNo{1}, frames);
  std::string dump, before;
  do {
    before = std::move(dump);
    std::this_thread::sleep_for(300ms);
    dump = theirs.command("dpctl/dump-flows", {"-m", "filter=in_port(p1)"});
  } while (std::count(dump.begin(), dump.end(), '\n') != std::count(before.begin(), before.end(), '\n'));

  Count count;
  std::set<std::string> masks;
  for (std::string_view rest = dump; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find("recirc_id(") == std::string_view::npos) continue;  // "flow-dump from the main thread:"
    ++count.flows;
    masks.insert(mask_of(line));
  }
  count.masks = masks.size();
  return count;
}

int run(const Options& options) {
  OpenVswitch theirs{2};
  // A port that a thread of its own polls: a frame a look otherwise. No flow may leave before it was counted.
  theirs.configure({"set", "interface", "p1", "type=dummy-pmd", "--", "set", "Open_vSwitch", ".",
                    "other_config:flow-limit=4000000", "other_config:max-idle=100000000",
                    "other_config:min-revalidate-pps=0"});
  theirs.command("upcall/set-flow-limit", {"4000000"});
  int status = 0;
  fmt::print("{:>8} {:>5} {:>8} | {:>10} {:>6} | {:>10} {:>6}\n", "rules", "kind", "flows", "megaflows", "masks", "OVS",
             "masks");
  for (const std::size_t size : options.rules) {
    for (const RuleMix& mix : options.kind.empty() ? rule_mixes() : std::span{&rule_mix(options.kind), 1}) {
      std::mt19937_64 random{options.seed};
      const std::vector<RuleRef> made = rules_of(mix, size, random);
      std::vector<FlowMod> rules;
      for (const RuleRef& rule : made) {
        FlowMod mod = flow_mod_of(*rule);
        mod.actions = {OutputAction{PortNo{2}}};
        rules.push_back(std::move(mod));
      }
      std::vector<Bytes> frames;
      for (std::size_t i = 0; i < options.flows; ++i) frames.push_back(frame_of(flow_part(packet_of(made, random))));
      const Count ours = count_ours(rules, frames), others = count_theirs(theirs, rules, frames);
      fmt::print("{:>8} {:>5} {:>8} | {:>10} {:>6} | {:>10} {:>6}\n", size, mix.name, options.flows, ours.flows,
                 ours.masks, others.flows, others.masks);
      std::fflush(stdout);
      if (ours.flows * 100 > others.flows * options.percent || ours.masks * 100 > others.masks * options.percent) {
        fmt::print("FAILED: more than {} % of what Open vSwitch makes (seed {})\n", options.percent, options.seed);
        status = 1;
      }
    }
  }
  return status;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string word = argv[i];
    const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (word == "--rules")
      options.rules.push_back(value);
    else if (word == "--flows")
      options.flows = value;
    else if (word == "--seed")
      options.seed = value;
    else if (word == "--kind")
      options.kind = argv[i + 1];
    else if (word == "--percent")
      options.percent = value;
    else
      throw Error("what is '{}'? See the head of tests/oracle/megaflow_count.cpp", word);
  }
  if (options.rules.empty()) options.rules = {1000, 10'000};
  return options;
}

}  // namespace
}  // namespace shunt::test

int main(int argc, char** argv) {
  using namespace shunt::test;
  try {
    const Options options = parse(argc, argv);
    if (const auto missing = OpenVswitch::missing()) {
      fmt::print("skipped: {}\n", *missing);
      return 77;
    }
    return run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "megaflow_count: {}\n", error.what());
    return 1;
  }
}
