// SPDX-License-Identifier: Apache-2.0
// What the pipeline costs: loading rules, changing one, looking a packet up, translating it. One thread, rule sets in
// the manner of ClassBench's seeds (access lists, firewalls, IP chains), packets that match random rules.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "user/flow/classifier.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"

using namespace shunt;

namespace {

using Random = std::mt19937_64;

struct Mix {
  const char* name;
  std::vector<unsigned> src_lengths, dst_lengths;  // drawn evenly; 0: any
  unsigned any_src_port, any_dst_port;             // percent of rules
  unsigned port_range;                             // percent of the other ports that are prefixes
};

const Mix kMixes[] = {
    {"acl", {32, 32, 24, 28, 30, 16, 0}, {32, 32, 32, 24, 27, 29}, 98, 20, 15},
    {"fw", {0, 0, 32, 24, 16, 8}, {0, 32, 32, 30, 24, 16}, 50, 30, 40},
    {"ipc", {0, 32, 32, 24, 20, 30, 16}, {0, 32, 32, 24, 26, 16, 31}, 80, 40, 25},
};

void put_address(__u8 (&value)[16], __u8 (&mask)[16], std::uint32_t address, unsigned length) {
  const std::uint32_t bits = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  const be32 wire{address & bits}, wire_mask{bits};
  std::memcpy(value + 12, &wire, 4);
  std::memcpy(mask + 12, &wire_mask, 4);
}

Match random_match(const Mix& mix, Random& random) {
  const auto few = [&](unsigned count) { return static_cast<unsigned>(random() % count); };
  // Addresses cluster: some networks, then hosts in them.
  const auto address = [&] { return (10u + few(20)) << 24 | few(64) << 16 | few(64) << 8 | few(256); };
  const auto port = [&](be16& value, be16& mask) {
    const bool exact = few(100) >= mix.port_range;
    const auto bits = static_cast<std::uint16_t>(exact ? 0xffff : 0xffff << (1 + few(15)));
    mask = be16{bits};
    value = be16{static_cast<std::uint16_t>((few(2) == 0 ? few(1024) : few(65536)) & bits)};
  };
  Match match;
  match.value.eth_type = be16{0x0800};
  match.mask.eth_type = be16{0xffff};
  match.value.nw_proto = static_cast<__u8>(few(3) == 0 ? 17 : 6);
  match.mask.nw_proto = 0xff;
  put_address(match.value.ip_src, match.mask.ip_src, address(),
              mix.src_lengths[few(static_cast<unsigned>(mix.src_lengths.size()))]);
  put_address(match.value.ip_dst, match.mask.ip_dst, address(),
              mix.dst_lengths[few(static_cast<unsigned>(mix.dst_lengths.size()))]);
  if (few(100) >= mix.any_src_port) port(match.value.tp_src, match.mask.tp_src);
  if (few(100) >= mix.any_dst_port) port(match.value.tp_dst, match.mask.tp_dst);
  return match;
}

std::vector<FlowMod> random_mods(const Mix& mix, std::size_t count, Random& random) {
  std::vector<FlowMod> mods(count);
  for (FlowMod& mod : mods) {
    mod.match = random_match(mix, random);
    mod.priority = static_cast<std::uint16_t>(1 + random() % 60'000);
    mod.actions = {OutputAction{PortNo{2}}};
  }
  return mods;
}

// A packet of a random rule, what the rule leaves open filled in.
FlowKey packet_of(const std::vector<FlowMod>& mods, Random& random) {
  const Match& match = mods[random() % mods.size()].match;
  FlowKey key{};
  key.in_port = 1;
  key.eth_type = be16{0x0800};
  std::memset(key.ip_src + 10, 0xff, 2);
  std::memset(key.ip_dst + 10, 0xff, 2);
  for (int i = 12; i < 16; ++i) {
    key.ip_src[i] = static_cast<__u8>((random() & ~match.mask.ip_src[i] & 0xff) | match.value.ip_src[i]);
    key.ip_dst[i] = static_cast<__u8>((random() & ~match.mask.ip_dst[i] & 0xff) | match.value.ip_dst[i]);
  }
  const auto fill = [&](be16 value, be16 mask) {
    return be16{static_cast<std::uint16_t>((random() & static_cast<std::uint16_t>(~mask.host())) | value.host())};
  };
  key.nw_proto = match.value.nw_proto;
  key.nw_ttl = 64;
  key.tp_src = fill(match.value.tp_src, match.mask.tp_src);
  key.tp_dst = fill(match.value.tp_dst, match.mask.tp_dst);
  return key;
}

// CPU time of this thread in ns: other work on the machine shows less than in elapsed time.
double cpu_now() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// The median of some runs, in ns a round.
template <typename Run>
double measure(std::size_t rounds, Run run) {
  std::vector<double> results;
  for (int i = 0; i < 5; ++i) {
    const double start = cpu_now();
    for (std::size_t r = 0; r < rounds; ++r) run(r);
    results.push_back((cpu_now() - start) / static_cast<double>(rounds));
  }
  std::sort(results.begin(), results.end());
  return results[results.size() / 2];
}

struct Bridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");
  Bridge() {
    for (std::uint32_t i = 1; i <= 4; ++i) config.add_port(id, {PortNo{i}, DpPort{i}, fmt::format("p{}", i), {}, true});
  }
};

void report(const Mix& mix, std::size_t count) {
  Random random{count};
  const auto mods = random_mods(mix, count, random);
  Bridge bridge;
  const double start = cpu_now();
  bridge.config.apply(bridge.id, mods, Clock::now());
  const double load = (cpu_now() - start) / 1e6;
  bridge.config.collect(bridge.config.version());

  std::unordered_set<std::string> masks;
  for (const FlowMod& mod : mods) masks.emplace(reinterpret_cast<const char*>(&mod.match.mask), sizeof(FlowMask));

  std::vector<FlowKey> keys;
  for (int i = 0; i < 16'384; ++i) keys.push_back(packet_of(mods, random));
  const auto state = bridge.config.state();
  const Classifier& table = *state->bridges[0]->tables[0];
  double bits = 0;
  const double lookup = measure(keys.size(), [&](std::size_t i) {
    FlowMask mask{};
    if (table.lookup(keys[i], state->version, mask) == nullptr) std::abort();
    for (const auto word : to_words(mask)) bits += std::popcount(word);
  });
  std::unordered_set<std::string> megaflows;
  for (const FlowKey& key : keys) {
    FlowMask mask{};
    if (table.lookup(key, state->version, mask) == nullptr) std::abort();
    const FlowKey masked = key & mask;
    std::string id(reinterpret_cast<const char*>(&masked), sizeof masked);
    megaflows.insert(id.append(reinterpret_cast<const char*>(&mask), sizeof mask));
  }
  const double change = measure(200, [&](std::size_t i) {
    FlowMod mod = mods[i % mods.size()];
    mod.priority = 65'000;
    bridge.config.apply(bridge.id, std::span{&mod, 1}, Clock::now());
    mod.command = FlowMod::Command::kDeleteStrict;
    bridge.config.apply(bridge.id, std::span{&mod, 1}, Clock::now());
    bridge.config.collect(bridge.config.version());
  });
  fmt::print("{:<4} {:>7} {:>9} {:>9.1f} {:>12.2f} {:>12.0f} {:>10.1f} {:>10}\n", mix.name, count, masks.size(), load,
             change / 2000, lookup, bits / 5 / static_cast<double>(keys.size()), megaflows.size());
}

void report_normal() {
  Bridge bridge;
  const auto state = bridge.config.state();
  for (std::uint64_t i = 0; i < 10'000; ++i)
    state->bridges[0]->fdb->learn({VlanId{0}, MacAddr::from_number(0x020000000000 + i)}, PortNo{2}, Clock::now());
  Random random{1};
  std::vector<FlowKey> keys(16'384);
  for (FlowKey& key : keys) {
    key.in_port = 1;
    const auto dst = MacAddr::from_number(0x020000000000 + random() % 10'000);
    std::memcpy(key.eth_dst, dst.bytes.data(), 6);
    key.eth_src[0] = 2;
  }
  const double one = measure(keys.size(), [&](std::size_t i) {
    if (translate(*state, keys[i]).actions.size() != 1) std::abort();
  });
  fmt::print("\ntranslate, normal, 10,000 MACs: {:.0f} ns\n", one);
}

}  // namespace

int main() {
  fmt::print("{:<4} {:>7} {:>9} {:>9} {:>12} {:>12} {:>10} {:>10}\n", "mix", "rules", "subtables", "load ms",
             "change us", "look-up ns", "mask bits", "megaflows");
  for (const Mix& mix : kMixes)
    for (const std::size_t count : {1'000u, 10'000u, 100'000u}) report(mix, count);
  report_normal();
}
