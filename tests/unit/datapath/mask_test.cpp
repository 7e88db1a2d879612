// SPDX-License-Identifier: Apache-2.0
#include <random>
#include <set>

#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

constexpr __u64 kSeed = 0x123456789abcdef1;
constexpr __u64 kMultiplier = 0x9e3779b97f4a7c15;

shunt_flow_key random_key(std::mt19937_64& random) {
  std::array<__u64, SHUNT_KEY_WORDS> words;
  for (__u64& word : words) word = random();
  return std::bit_cast<shunt_flow_key>(words);
}

// A mask that keeps some bits of about half of the words.
shunt_flow_key random_bits(std::mt19937_64& random) {
  std::array<__u64, SHUNT_KEY_WORDS> words;
  for (__u64& word : words) word = random() % 2 ? random() & random() : 0;
  return std::bit_cast<shunt_flow_key>(words);
}

}  // namespace

TEST_SUITE("mask") {
  TEST_CASE("a mask keeps the words that have bits, in ascending order") {
    shunt_flow_key bits{};
    bits.in_port = 0xffffffff;
    bits.tp_dst = shunt_be16{0xffff};
    shunt_mask mask;
    shunt_mask_from_bits(&bits, &mask);
    CHECK(mask.word_count == 2);
    CHECK(mask.word[0] == 0);
    CHECK(mask.word[1] == 5);
    CHECK(mask.bits[0] == 0xffffffff);
  }

  TEST_CASE("keys are equal under a mask exactly when they agree in its bits") {
    std::mt19937_64 random{1};
    for (int round = 0; round < 2000; ++round) {
      const shunt_flow_key key = random_key(random);
      const shunt_flow_key bits = random_bits(random);
      shunt_mask mask;
      shunt_mask_from_bits(&bits, &mask);
      __u64 packed[SHUNT_KEY_WORDS];
      CHECK(shunt_pack_key(&key, &mask, packed) == mask.word_count);
      auto words = std::bit_cast<std::array<__u64, SHUNT_KEY_WORDS>>(key);
      const std::size_t word = random() % SHUNT_KEY_WORDS;
      const __u64 bit = __u64{1} << random() % 64;
      words[word] ^= bit;
      const auto other = std::bit_cast<shunt_flow_key>(words);
      const bool inside = (shunt_key_word(&bits, static_cast<__u32>(word)) & bit) != 0;
      REQUIRE(shunt_packed_equal(&key, &mask, packed) == 1);
      REQUIRE(shunt_packed_equal(&other, &mask, packed) == !inside);
      const __u64 hash = shunt_hash_masked(&key, &mask, 5, kSeed, kMultiplier);
      REQUIRE((shunt_hash_masked(&other, &mask, 5, kSeed, kMultiplier) == hash) == !inside);
      shunt_flow_key masked, masked_other;
      shunt_mask_key(&key, &mask, &masked);
      shunt_mask_key(&other, &mask, &masked_other);
      REQUIRE(same(masked, masked_other) == !inside);
      for (__u32 i = 0; i < SHUNT_KEY_WORDS; ++i)
        REQUIRE(shunt_key_word(&masked, i) == (shunt_key_word(&key, i) & shunt_key_word(&bits, i)));
    }
  }

  TEST_CASE("packed words behind the last one are zero") {
    shunt_flow_key bits{};
    bits.nw_proto = 0xff;
    shunt_mask mask;
    shunt_mask_from_bits(&bits, &mask);
    __u64 packed[SHUNT_KEY_WORDS];
    std::fill(std::begin(packed), std::end(packed), ~__u64{0});
    std::mt19937_64 random{2};
    const shunt_flow_key key = random_key(random);
    CHECK(shunt_pack_key(&key, &mask, packed) == 1);
    for (std::size_t i = 1; i < SHUNT_KEY_WORDS; ++i) CHECK(packed[i] == 0);
  }

  TEST_CASE("a mask that keeps every bit has all words, one that keeps none has no word") {
    shunt_flow_key bits;
    std::memset(&bits, 0xff, sizeof bits);
    shunt_mask mask;
    shunt_mask_from_bits(&bits, &mask);
    CHECK(mask.word_count == SHUNT_KEY_WORDS);
    shunt_flow_key none{};
    shunt_mask_from_bits(&none, &mask);
    CHECK(mask.word_count == 0);
  }

  TEST_CASE("the hash depends on the mask's number, the seed and the multiplier") {
    std::mt19937_64 random{3};
    const shunt_flow_key key = random_key(random);
    const shunt_flow_key bits = random_bits(random);
    shunt_mask mask;
    shunt_mask_from_bits(&bits, &mask);
    const __u64 hash = shunt_hash_masked(&key, &mask, 2, kSeed, kMultiplier);
    CHECK(hash != shunt_hash_masked(&key, &mask, 3, kSeed, kMultiplier));
    CHECK(hash != shunt_hash_masked(&key, &mask, 2, kSeed + 2, kMultiplier));
    CHECK(hash != shunt_hash_masked(&key, &mask, 2, kSeed, kMultiplier + 2));
  }

  TEST_CASE("neighbouring addresses and ports spread over buckets, and tags are never 0") {
    shunt_flow_key bits{};
    std::memset(bits.ip_src, 0xff, 16);
    bits.tp_src = shunt_be16{0xffff};
    shunt_mask mask;
    shunt_mask_from_bits(&bits, &mask);
    constexpr __u32 kBuckets = 4096;
    std::vector<unsigned> load(kBuckets);
    std::set<std::pair<__u32, __u32>> seen;
    shunt_flow_key key{};
    for (__u32 i = 0; i < 4 * kBuckets; ++i) {
      shunt_map_ipv4(key.ip_src, SHUNT_BE32(0x0a000000 + i / 64));
      key.tp_src = shunt_be16{static_cast<__u16>(1024 + i % 64)};
      const __u64 hash = shunt_hash_masked(&key, &mask, 2, kSeed, kMultiplier);
      CHECK(shunt_hash_tag(hash) != 0);
      ++load[shunt_hash_bucket(hash, kBuckets - 1)];
      seen.emplace(shunt_hash_bucket(hash, kBuckets - 1), shunt_hash_tag(hash));
    }
    // Poisson with mean 4: 20 in one bucket has a chance below 1e-8.
    CHECK(*std::max_element(load.begin(), load.end()) < 20);
    CHECK(std::count(load.begin(), load.end(), 0u) < kBuckets / 20);
    CHECK(seen.size() + 2 > 4 * kBuckets);
  }
}
