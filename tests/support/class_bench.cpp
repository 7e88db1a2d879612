// SPDX-License-Identifier: Apache-2.0
#include "tests/support/class_bench.h"

#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_set>

#include "user/base/error.h"

namespace shunt {

namespace {

using Random = std::mt19937_64;

unsigned few(Random& random, std::size_t count) { return static_cast<unsigned>(random() % count); }

void put_address(__u8 (&value)[16], __u8 (&mask)[16], std::uint32_t address, unsigned length) {
  const std::uint32_t bits = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  const be32 wire{address & bits}, wire_mask{bits};
  std::memcpy(value + 12, &wire, 4);
  std::memcpy(mask + 12, &wire_mask, 4);
}

// Addresses cluster: some networks, then hosts in them.
std::uint32_t random_address(Random& random) {
  return (10u + few(random, 20)) << 24 | few(random, 64) << 16 | few(random, 64) << 8 | few(random, 256);
}

void put_port(be16& value, be16& mask, unsigned range_percent, Random& random) {
  const bool exact = few(random, 100) >= range_percent;
  const auto bits = static_cast<std::uint16_t>(exact ? 0xffff : 0xffff << (1 + few(random, 15)));
  mask = be16{bits};
  value = be16{static_cast<std::uint16_t>((few(random, 2) == 0 ? few(random, 1024) : few(random, 65536)) & bits)};
}

Match random_match(const RuleMix& mix, Random& random) {
  Match match;
  match.value.eth_type = be16{0x0800};
  match.mask.eth_type = be16{0xffff};
  match.value.nw_proto = static_cast<__u8>(few(random, 3) == 0 ? 17 : 6);
  match.mask.nw_proto = 0xff;
  put_address(match.value.ip_src, match.mask.ip_src, random_address(random),
              mix.src_lengths[few(random, mix.src_lengths.size())]);
  put_address(match.value.ip_dst, match.mask.ip_dst, random_address(random),
              mix.dst_lengths[few(random, mix.dst_lengths.size())]);
  if (few(random, 100) >= mix.any_src_port) put_port(match.value.tp_src, match.mask.tp_src, mix.port_range, random);
  if (few(random, 100) >= mix.any_dst_port) put_port(match.value.tp_dst, match.mask.tp_dst, mix.port_range, random);
  return match;
}

}  // namespace

std::span<const RuleMix> rule_mixes() {
  static const RuleMix mixes[] = {
      {"acl", {32, 32, 24, 28, 30, 16, 0}, {32, 32, 32, 24, 27, 29}, 98, 20, 15},
      {"fw", {0, 0, 32, 24, 16, 8}, {0, 32, 32, 30, 24, 16}, 50, 30, 40},
      {"ipc", {0, 32, 32, 24, 20, 30, 16}, {0, 32, 32, 24, 26, 16, 31}, 80, 40, 25},
  };
  return mixes;
}

const RuleMix& rule_mix(std::string_view name) {
  for (const RuleMix& mix : rule_mixes())
    if (name == mix.name) return mix;
  throw Error("'{}': no kind of rule set; there are acl, fw and ipc", name);
}

std::vector<RuleRef> rules_of(const RuleMix& mix, std::size_t count, Random& random) {
  std::vector<RuleRef> rules;
  std::unordered_set<std::size_t> seen;  // hashes: matches themselves would take more memory than the rules
  while (rules.size() < count) {
    auto rule = std::make_shared<Rule>();
    rule->match = random_match(mix, random);
    rule->priority = static_cast<std::uint16_t>(1 + few(random, 60'000));
    const std::string_view bytes{reinterpret_cast<const char*>(&rule->match), sizeof(Match)};
    if (!seen.insert(std::hash<std::string_view>{}(bytes)).second) continue;
    rules.push_back(std::move(rule));
  }
  return rules;
}

PipelineKey packet_of(std::span<const RuleRef> rules, Random& random) {
  const Match& match = rules[few(random, rules.size())]->match;
  PipelineKey key{};
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

}  // namespace shunt
