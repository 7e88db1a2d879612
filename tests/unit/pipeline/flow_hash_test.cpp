// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/flow_hash.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <set>
#include <string>

#include "user/flow/fields.h"

using namespace shunt;

namespace {

constexpr std::array kAll{
    HashFields::kEthSrc,      HashFields::kSymmetricL4, HashFields::kSymmetricL3L4, HashFields::kSymmetricL3L4Udp,
    HashFields::kSymmetricL3, HashFields::kNwSrc,       HashFields::kNwDst};
constexpr std::array kSymmetric{HashFields::kSymmetricL4, HashFields::kSymmetricL3L4, HashFields::kSymmetricL3L4Udp,
                                HashFields::kSymmetricL3};

// A key with any bytes in it, of a kind that packets have.
PipelineKey random_key(std::mt19937& random) {
  PipelineWords words;
  for (auto& word : words) word = random() | std::uint64_t{random()} << 32;
  PipelineKey key = from_words(words);
  constexpr std::array<std::uint16_t, 4> kTypes{0x0800, 0x86dd, 0x0806, 0x88b5};
  constexpr std::array<std::uint8_t, 4> kProtocols{6, 17, 132, 1};
  constexpr std::array<std::uint8_t, 3> kFragments{0, SHUNT_FRAG_ANY, SHUNT_FRAG_ANY | SHUNT_FRAG_LATER};
  key.eth_type = be16{kTypes[random() % kTypes.size()]};
  key.nw_proto = kProtocols[random() % kProtocols.size()];
  key.nw_frag = random() % 4 != 0 ? __u8{0} : kFragments[random() % kFragments.size()];
  return key;
}

PipelineKey reversed(PipelineKey key) {
  std::swap_ranges(key.eth_src, key.eth_src + 6, key.eth_dst);
  std::swap_ranges(key.ip_src, key.ip_src + 16, key.ip_dst);
  std::swap(key.tp_src, key.tp_dst);
  return key;
}

std::uint32_t hash(const PipelineKey& key, HashFields fields, std::uint32_t basis = 0) {
  PipelineMask examined{};
  return hash_fields(key, fields, basis, examined);
}

PipelineKey udp() {
  PipelineKey key{};
  key.eth_type = be16{0x0800};
  key.nw_proto = 17;
  key.ip_src[15] = 1;
  key.ip_dst[15] = 2;
  key.eth_src[5] = 3;
  key.eth_dst[5] = 4;
  key.tp_src = be16{1000};
  key.tp_dst = be16{53};
  return key;
}

// Which of these changes move the hash.
std::string sensitive_to(HashFields fields, const PipelineKey& key) {
  std::string names;
  const auto check = [&](const char* name, auto change) {
    PipelineKey changed = key;
    change(changed);
    if (hash(changed, fields) != hash(key, fields)) names += std::string{names.empty() ? "" : " "} + name;
  };
  check("eth_src", [](PipelineKey& k) { ++k.eth_src[5]; });
  check("eth_dst", [](PipelineKey& k) { ++k.eth_dst[5]; });
  check("vlan", [](PipelineKey& k) { k.vlan[0].tci = be16{SHUNT_VLAN_PRESENT | 5}; });
  check("nw_src", [](PipelineKey& k) { k.ip_src[15] += 16; });
  check("nw_dst", [](PipelineKey& k) { k.ip_dst[15] += 16; });
  check("tos", [](PipelineKey& k) { k.nw_tos = 4; });
  check("tp_src", [](PipelineKey& k) { k.tp_src = be16{7}; });
  check("tp_dst", [](PipelineKey& k) { k.tp_dst = be16{7}; });
  return names;
}

}  // namespace

TEST_SUITE("flow_hash") {
  TEST_CASE("a bit outside what was examined never changes the hash") {
    std::mt19937 random{1};
    for (int round = 0; round < 2000; ++round) {
      const PipelineKey key = random_key(random);
      const PipelineKey noise = random_key(random);
      for (const HashFields fields : kAll) {
        PipelineMask examined{}, again{};
        const std::uint32_t expected = hash_fields(key, fields, 5, examined);
        const PipelineKey other = from_words([&] {
          PipelineWords words = to_words(key & examined);
          const PipelineWords rest = to_words(without(noise, examined));
          for (std::size_t i = 0; i < words.size(); ++i) words[i] |= rest[i];
          return words;
        }());
        CHECK(hash_fields(other, fields, 5, again) == expected);
      }
      PipelineMask examined{};
      const std::uint32_t expected = hash_l2_to_l4(key, 5, examined);
      PipelineKey other = key & examined;
      PipelineMask again{};
      CHECK(hash_l2_to_l4(other, 5, again) == expected);
    }
  }

  TEST_CASE("symmetric hashes are the same for both directions, the others are not") {
    std::mt19937 random{2};
    for (int round = 0; round < 2000; ++round) {
      const PipelineKey key = random_key(random);
      for (const HashFields fields : kSymmetric) CHECK(hash(key, fields) == hash(reversed(key), fields));
    }
    for (const HashFields fields : {HashFields::kEthSrc, HashFields::kNwSrc, HashFields::kNwDst})
      CHECK(hash(udp(), fields) != hash(reversed(udp()), fields));
  }

  TEST_CASE("each hash takes the fields that ovs-actions(7) says") {
    PipelineKey tcp = udp();
    tcp.nw_proto = 6;
    CHECK(sensitive_to(HashFields::kEthSrc, tcp) == "eth_src");
    CHECK(sensitive_to(HashFields::kSymmetricL4, tcp) == "eth_src eth_dst vlan nw_src nw_dst tp_src tp_dst");
    CHECK(sensitive_to(HashFields::kSymmetricL4, udp()) == "eth_src eth_dst vlan nw_src nw_dst");
    CHECK(sensitive_to(HashFields::kSymmetricL3L4, tcp) == "nw_src nw_dst tp_src tp_dst");
    CHECK(sensitive_to(HashFields::kSymmetricL3L4, udp()) == "nw_src nw_dst");
    CHECK(sensitive_to(HashFields::kSymmetricL3L4Udp, udp()) == "nw_src nw_dst tp_src tp_dst");
    CHECK(sensitive_to(HashFields::kSymmetricL3, tcp) == "nw_src nw_dst");
    CHECK(sensitive_to(HashFields::kNwSrc, tcp) == "nw_src");
    CHECK(sensitive_to(HashFields::kNwDst, tcp) == "nw_dst");
    PipelineKey ipv6 = tcp;
    ipv6.eth_type = be16{0x86dd};
    CHECK(sensitive_to(HashFields::kSymmetricL3L4, ipv6) == "nw_src nw_dst tp_src tp_dst");
    PipelineKey other = tcp;
    other.eth_type = be16{0x88b5};
    CHECK(sensitive_to(HashFields::kSymmetricL3L4, other).empty());
  }

  TEST_CASE("fragments of one datagram hash alike") {
    for (const HashFields fields : kAll) {
      PipelineKey first = udp(), later = udp();
      first.nw_proto = later.nw_proto = 6;
      first.nw_frag = SHUNT_FRAG_ANY;
      later.nw_frag = SHUNT_FRAG_ANY | SHUNT_FRAG_LATER;
      later.tp_src = later.tp_dst = be16{0};
      CHECK(hash(first, fields) == hash(later, fields));
    }
  }

  TEST_CASE("basis and salt give other hashes, and hashes spread evenly") {
    CHECK(hash(udp(), HashFields::kNwSrc, 1) != hash(udp(), HashFields::kNwSrc, 2));
    CHECK(rehash(7, 1) != rehash(7, 2));
    std::array<unsigned, 16> slots{};
    constexpr unsigned kFlows = 65536;
    for (unsigned i = 0; i < kFlows; ++i) {
      PipelineKey key = udp();
      key.ip_src[14] = static_cast<__u8>(i >> 8);
      key.ip_src[15] = static_cast<__u8>(i);
      ++slots[hash(key, HashFields::kSymmetricL3L4Udp) % slots.size()];
    }
    for (const unsigned count : slots) {
      CHECK(count > kFlows / 16 * 95 / 100);
      CHECK(count < kFlows / 16 * 105 / 100);
    }
  }

  TEST_CASE("a hash under a mask depends on the bits of the mask, all of them, and on no other") {
    PipelineMask mask{};
    add_mask(mask, field_mask(field(FieldId::kIpDst)));
    add_mask(mask, field_mask(field(FieldId::kReg0)));
    PipelineKey key = udp();
    const std::uint32_t before = hash_masked(key, mask, 9);
    ++key.ip_src[15];
    CHECK(hash_masked(key, mask, 9) == before);
    CHECK(hash_masked(key, mask, 8) != before);
    key.reg[0][3] = 1;
    const std::uint32_t with_register = hash_masked(key, mask, 9);
    CHECK(with_register != before);
    ++key.ip_dst[12];
    CHECK(hash_masked(key, mask, 9) != with_register);
  }
}
