// SPDX-License-Identifier: Apache-2.0
#include "tests/support/rule_sets.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

namespace shunt {

namespace {

template <std::size_t N>
void put_prefix(__u8 (&value)[N], __u8 (&mask)[N], std::size_t first, unsigned length) {
  for (std::size_t i = first; i < N; ++i) {
    const unsigned bits = std::min(length, 8u);
    mask[i] = static_cast<__u8>(0xff00 >> bits);
    value[i] = static_cast<__u8>(value[i] & mask[i]);
    length -= bits;
  }
}

void put_ipv4(__u8 (&value)[16], __u8 (&mask)[16], std::uint32_t address, unsigned length) {
  const be32 wire{address};
  std::memcpy(value + 12, &wire, 4);
  put_prefix(value, mask, 12, length);
}

template <std::size_t N>
std::array<__u8, N> ones() {
  std::array<__u8, N> bytes;
  bytes.fill(0xff);
  return bytes;
}

template <typename T>
void put(T& value, T& mask, T bits) {
  value = bits;
  mask = std::bit_cast<T>(ones<sizeof(T)>());
}

// One more condition on a random field.
void narrow(Match& match, std::mt19937_64& random) {
  PipelineKey& value = match.value;
  PipelineMask& mask = match.mask;
  const auto few = [&](unsigned count) { return static_cast<unsigned>(random() % count); };
  switch (few(14)) {
    case 0:
      put(value.in_port, mask.in_port, 1 + few(3));
      break;
    case 1:
      put(value.eth_type, mask.eth_type, be16{few(2) ? std::uint16_t{0x0800} : std::uint16_t{0x86dd}});
      break;
    case 2:
      put(value.nw_proto, mask.nw_proto, static_cast<__u8>(few(2) ? 6 : 17));
      break;
    case 3:
      put_ipv4(value.ip_src, mask.ip_src, 0x0a000000 | few(4) << 16 | few(4) << 8 | few(4), 8 + few(25));
      break;
    case 4:
    case 5:
      put_ipv4(value.ip_dst, mask.ip_dst, 0x0a000000 | few(4) << 16 | few(4) << 8 | few(4), 1 + few(32));
      break;
    case 6:
      for (unsigned i = 0; i < 16; ++i) value.ip_src[i] = static_cast<__u8>(few(3));
      put_prefix(value.ip_src, mask.ip_src, 0, 1 + few(128));
      break;
    case 7:
      for (unsigned i = 0; i < 16; ++i) value.ip_dst[i] = static_cast<__u8>(few(2));
      put_prefix(value.ip_dst, mask.ip_dst, 0, 1 + few(128));
      break;
    case 8:
      mask.tp_src = be16{static_cast<std::uint16_t>(0xffff << few(16))};
      value.tp_src = be16{static_cast<std::uint16_t>(few(64) * 1024 & mask.tp_src.host())};
      break;
    case 9:
    case 10:
      mask.tp_dst = be16{static_cast<std::uint16_t>(0xffff << few(16))};
      value.tp_dst = be16{static_cast<std::uint16_t>(few(16) * 16 & mask.tp_dst.host())};
      break;
    case 11:
      put(value.vlan[0].tci, mask.vlan[0].tci, be16{static_cast<std::uint16_t>(0x1000 | few(3))});
      break;
    case 12:
      for (auto& byte : value.eth_dst) byte = static_cast<__u8>(few(2));
      std::memset(mask.eth_dst, 0xff, 6);
      break;
    default: {
      // Any bits anywhere.
      const unsigned word = few(kPipelineWords);
      PipelineWords values = to_words(value), masks = to_words(mask);
      masks[word] |= random() & random() & random() & random();
      values[word] = (values[word] | (random() & random() & random())) & masks[word];
      value = from_words(values);
      mask = from_words(masks);
    }
  }
  value = value & mask;
}

}  // namespace

Match eth_dst(std::uint64_t mac) {
  Match match;
  for (unsigned i = 0; i < 6; ++i) match.value.eth_dst[i] = static_cast<__u8>(mac >> (40 - 8 * i));
  std::memset(match.mask.eth_dst, 0xff, 6);
  return match;
}

Match ipv4_dst(std::uint32_t address, unsigned prefix_length) {
  Match match;
  put(match.value.eth_type, match.mask.eth_type, be16{0x0800});
  put_ipv4(match.value.ip_dst, match.mask.ip_dst, address, prefix_length);
  return match;
}

Match ipv4_src(std::uint32_t address, unsigned prefix_length) {
  Match match;
  put(match.value.eth_type, match.mask.eth_type, be16{0x0800});
  put_ipv4(match.value.ip_src, match.mask.ip_src, address, prefix_length);
  return match;
}

Match tcp_dst(std::uint16_t port) {
  Match match;
  put(match.value.eth_type, match.mask.eth_type, be16{0x0800});
  put(match.value.nw_proto, match.mask.nw_proto, __u8{6});
  put(match.value.tp_dst, match.mask.tp_dst, be16{port});
  return match;
}

Match in_port(std::uint32_t number) {
  Match match;
  put(match.value.in_port, match.mask.in_port, number);
  return match;
}

Match both(const Match& a, const Match& b) {
  Match match = a;
  add_mask(match.mask, b.mask);
  add_mask(match.value, b.value);
  return match;
}

std::vector<RuleRef> random_rules(std::mt19937_64& random, std::size_t count) {
  std::vector<std::uint16_t> priorities(count);
  std::iota(priorities.begin(), priorities.end(), std::uint16_t{1});
  std::shuffle(priorities.begin(), priorities.end(), random);
  std::vector<RuleRef> rules;
  for (const auto priority : priorities) {
    auto rule = std::make_shared<Rule>();
    rule->priority = priority;
    for (auto conditions = random() % 6; conditions != 0; --conditions) narrow(rule->match, random);
    rules.push_back(std::move(rule));
  }
  return rules;
}

PipelineKey random_key(std::mt19937_64& random) {
  PipelineWords words;
  for (auto& word : words) word = random();
  return from_words(words);
}

PipelineKey key_near(std::mt19937_64& random, const std::vector<RuleRef>& rules) {
  // The values of several rules mixed, then perhaps a bit turned: many rules match partly.
  PipelineWords words{};
  for (int i = 0; i < 3; ++i) {
    const Match& match = rules[random() % rules.size()]->match;
    const PipelineWords value = to_words(match.value), mask = to_words(match.mask);
    for (std::size_t w = 0; w < kPipelineWords; ++w) words[w] = (words[w] & ~mask[w]) | value[w];
  }
  if (random() % 2 == 0) words[random() % kPipelineWords] ^= std::uint64_t{1} << random() % 64;
  return from_words(words);
}

}  // namespace shunt
