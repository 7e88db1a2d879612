// SPDX-License-Identifier: Apache-2.0
#include "user/flow/classifier.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/class_bench.h"
#include "tests/support/rule_sets.h"

using namespace shunt;

namespace {

// What the classifier has to agree with.
const Rule* linear_lookup(const std::vector<RuleRef>& rules, const PipelineKey& key) {
  const Rule* best = nullptr;
  for (const RuleRef& rule : rules)
    if (rule->match.matches(key) && (best == nullptr || rule->priority > best->priority)) best = rule.get();
  return best;
}

PipelineKey with_bits(const PipelineKey& key, const PipelineMask& mask, const PipelineKey& others) {
  PipelineWords words = to_words(key);
  const PipelineWords m = to_words(mask), o = to_words(others);
  for (std::size_t i = 0; i < kPipelineWords; ++i) words[i] = (words[i] & m[i]) | (o[i] & ~m[i]);
  return from_words(words);
}

int bit_count(const PipelineMask& mask) {
  int count = 0;
  for (const auto word : to_words(mask)) count += std::popcount(word);
  return count;
}

RuleRef make_rule(std::uint16_t priority, const Match& match, std::uint64_t cookie = 0) {
  auto rule = std::make_shared<Rule>();
  rule->priority = priority;
  rule->match = match;
  rule->cookie = cookie;
  return rule;
}

void fill(Classifier& classifier, const std::vector<RuleRef>& rules, std::uint64_t version) {
  for (const RuleRef& rule : rules) classifier.insert(rule, version);
  classifier.publish();
}

// Looks up, and checks the answer and its mask against the linear scan.
PipelineMask check_lookup(const Classifier& classifier, const std::vector<RuleRef>& rules, const PipelineKey& key,
                          std::mt19937_64& random) {
  PipelineMask mask{};
  const Rule* found = classifier.lookup(key, 1, mask);
  REQUIRE(found == linear_lookup(rules, key));
  int wrong = 0;
  for (int i = 0; i < 100; ++i) {
    const std::size_t bit = random() % (sizeof(PipelineKey) * 8);
    PipelineWords flipped = to_words(key);
    if ((to_words(mask)[bit / 64] >> (bit % 64) & 1) != 0) continue;
    flipped[bit / 64] ^= std::uint64_t{1} << (bit % 64);
    wrong += linear_lookup(rules, from_words(flipped)) != found;
  }
  for (int i = 0; i < 20; ++i) {
    const PipelineKey other = with_bits(key, mask, i % 2 == 0 ? random_key(random) : key_near(random, rules));
    wrong += linear_lookup(rules, other) != found;
  }
  REQUIRE(wrong == 0);
  return mask;
}

}  // namespace

TEST_SUITE("classifier") {
  TEST_CASE("each look-up finds what a linear scan finds, and no bit outside its mask matters") {
    for (unsigned seed = 0; seed < 12; ++seed) {
      std::mt19937_64 random{seed};
      const auto rules = random_rules(random, 10 + seed * 15);
      Classifier classifier;
      fill(classifier, rules, 1);
      CHECK(classifier.size() == rules.size());
      for (int i = 0; i < 40; ++i) check_lookup(classifier, rules, key_near(random, rules), random);
    }
  }

  TEST_CASE("a rule that overlaps a match is found where a linear scan finds one") {
    std::size_t found = 0;
    for (unsigned seed = 0; seed < 12; ++seed) {
      std::mt19937_64 random{seed};
      Classifier classifier;
      std::vector<RuleRef> rules;
      for (const RuleRef& each : random_rules(random, 10 + seed * 15)) {
        const auto priority = static_cast<std::uint16_t>(each->priority % 3);
        if (classifier.find(each->match, priority, 1) != nullptr) continue;
        rules.push_back(make_rule(priority, each->match));
        classifier.insert(rules.back(), 1);
      }
      classifier.publish();
      classifier.remove(*rules.front(), 1);
      for (const RuleRef& other : random_rules(random, 100)) {
        const auto priority = static_cast<std::uint16_t>(other->priority % 4);
        const auto is_one = [&](const RuleRef& rule) {
          return rule != rules.front() && rule->priority == priority && rule->match.overlaps(other->match);
        };
        std::size_t looked_at = 0;
        const RuleRef overlap = classifier.find_overlap(other->match, priority, 1, looked_at);
        CHECK((overlap != nullptr) == std::any_of(rules.begin(), rules.end(), is_one));
        if (overlap == nullptr) continue;
        CHECK(is_one(overlap));
        ++found;
      }
    }
    CHECK(found > 10);
  }

  // A flow-mod with check_overlap looked at every rule of its table.
  TEST_CASE("among many rules of one mask few are looked at for one that overlaps") {
    Classifier classifier;
    for (std::uint32_t i = 0; i < 10'000; ++i) classifier.insert(make_rule(5, ipv4_src(i, 32)), 1);
    classifier.publish();
    std::size_t looked_at = 0;
    CHECK(classifier.find_overlap(ipv4_src(20'000, 32), 5, 1, looked_at) == nullptr);
    CHECK(looked_at < 10);
    CHECK(classifier.find_overlap(ipv4_src(77, 32), 5, 1, looked_at) != nullptr);
  }

  TEST_CASE("rule sets of each ClassBench kind are searched as a linear scan does it") {
    for (const RuleMix& mix : rule_mixes())
      for (const std::size_t count : {1'000u, 10'000u}) {
        CAPTURE(mix.name);
        CAPTURE(count);
        std::mt19937_64 random{count};
        auto rules = rules_of(mix, count, random);
        Classifier classifier;
        fill(classifier, rules, 1);
        // Of equal priorities either may win: what is compared is the priority, and that the rule matches.
        std::sort(rules.begin(), rules.end(), [](const auto& a, const auto& b) { return a->priority > b->priority; });
        const auto best = [&](const PipelineKey& key) {
          const auto at =
              std::find_if(rules.begin(), rules.end(), [&](const auto& rule) { return rule->match.matches(key); });
          return at == rules.end() ? -1 : (*at)->priority;
        };
        const int probes = count == 1'000 ? 300 : 60;  // the linear scan takes its time
        int wrong = 0;
        for (int i = 0; i < probes; ++i) {
          PipelineKey key = packet_of(rules, random);
          if (i % 4 == 0) key.ip_dst[13] ^= 0x40;  // perhaps no rule's
          PipelineMask mask{};
          const Rule* found = classifier.lookup(key, 1, mask);
          wrong += (found == nullptr ? -1 : found->priority) != best(key);
          wrong += found != nullptr && !found->match.matches(key);
          for (int other = 0; other < 3; ++other)
            wrong += best(with_bits(key, mask, packet_of(rules, random))) != (found == nullptr ? -1 : found->priority);
        }
        CHECK(wrong == 0);
        // Each second rule goes, then all are found as before that way, too.
        std::vector<RuleRef> rest;
        for (std::size_t i = 0; i < rules.size(); ++i) {
          if (i % 2 == 0)
            rest.push_back(rules[i]);
          else
            classifier.remove(*rules[i], 2);
        }
        classifier.publish();
        classifier.collect(2, 2);
        classifier.collect(3, 3);
        rules = rest;
        for (int i = 0; i < probes; ++i) {
          const PipelineKey key = packet_of(rules, random);
          PipelineMask mask{};
          const Rule* found = classifier.lookup(key, 3, mask);
          wrong += (found == nullptr ? -1 : found->priority) != best(key);
        }
        CHECK(wrong == 0);
        CHECK(classifier.rules(3).size() == rules.size());
      }
  }

  // The linear scan takes its time: few packets, and of each only its rule and one other packet of its megaflow.
  TEST_CASE("100,000 rules are searched as a linear scan does it, also when a tenth of them went and came again") {
    for (const RuleMix& mix : rule_mixes()) {
      CAPTURE(mix.name);
      std::mt19937_64 random{17};
      const auto rules = rules_of(mix, 100'000, random);
      Classifier classifier;
      fill(classifier, rules, 1);
      for (std::size_t i = 0; i < rules.size(); i += 10) classifier.remove(*rules[i], 2);
      classifier.collect(2, 2);
      classifier.collect(3, 3);
      for (std::size_t i = 0; i < rules.size(); i += 10) classifier.insert(rules[i], 4);
      classifier.publish();
      CHECK(classifier.size() == rules.size());
      const auto best = [&](const PipelineKey& key) {
        const Rule* found = linear_lookup(rules, key);
        return found == nullptr ? -1 : found->priority;
      };
      int wrong = 0;
      for (int i = 0; i < 25; ++i) {
        PipelineKey key = packet_of(rules, random);
        if (i % 5 == 0) key.ip_dst[13] ^= 0x40;  // perhaps no rule's
        PipelineMask mask{};
        const Rule* found = classifier.lookup(key, 4, mask);
        const int priority = found == nullptr ? -1 : found->priority;
        wrong += found != nullptr && !found->match.matches(key);
        wrong += priority != best(key);
        wrong += priority != best(with_bits(key, mask, packet_of(rules, random)));
      }
      CHECK(wrong == 0);
    }
  }

  TEST_CASE("many rules that no few bits tell apart are all found") {
    // Of one destination, by ports of every length and by any sources: chains overflow from subtable to subtable.
    std::mt19937_64 random{5};
    std::vector<RuleRef> rules;
    for (std::uint16_t priority = 1; priority <= 600; ++priority) {
      Match match = both(ipv4_dst(0x0a000001, 32),
                         ipv4_src(static_cast<std::uint32_t>(random() % 64), 27 + static_cast<unsigned>(random() % 6)));
      match.mask.tp_dst = be16{static_cast<std::uint16_t>(0xffff << random() % 16)};
      match.value.tp_dst = be16{static_cast<std::uint16_t>(random() & match.mask.tp_dst.host())};
      rules.push_back(make_rule(priority, match));
    }
    Classifier classifier;
    fill(classifier, rules, 1);
    for (int i = 0; i < 300; ++i) check_lookup(classifier, rules, key_near(random, rules), random);
    for (const RuleRef& rule : rules) REQUIRE(classifier.find(rule->match, rule->priority, 1) == rule);
    std::shuffle(rules.begin(), rules.end(), random);
    for (std::size_t i = 300; i < 600; ++i) classifier.remove(*rules[i], 1);
    classifier.collect(1, 1);
    rules.resize(300);
    for (int i = 0; i < 100; ++i) check_lookup(classifier, rules, key_near(random, rules), random);
  }

  TEST_CASE("hosts and subnets of a few networks, which share subtables, are searched as a linear scan does it") {
    std::mt19937_64 random{6};
    std::vector<RuleRef> rules;
    for (std::uint16_t priority = 1; priority <= 600; ++priority) {
      const auto address = static_cast<std::uint32_t>(0x0a000000 + random() % 1024);
      Match match = ipv4_dst(address, 8 + static_cast<unsigned>(random() % 25));
      if (priority % 3 == 0) match = both(match, ipv4_src(address, 1 + static_cast<unsigned>(random() % 32)));
      rules.push_back(make_rule(priority, match));
    }
    std::shuffle(rules.begin(), rules.end(), random);
    Classifier classifier;
    fill(classifier, rules, 1);
    for (int i = 0; i < 150; ++i) check_lookup(classifier, rules, key_near(random, rules), random);
    for (const RuleRef& rule : rules) {
      REQUIRE(classifier.find(rule->match, rule->priority, 1) == rule);
      REQUIRE(classifier.contains(rule->match, rule->priority, 1));
    }
    CHECK(classifier.select(ipv4_dst(0x0a000000, 8), 1).size() == rules.size());
    for (std::size_t i = 300; i < rules.size(); ++i) classifier.remove(*rules[i], 1);
    classifier.collect(1, 1);
    rules.resize(300);
    for (int i = 0; i < 100; ++i) check_lookup(classifier, rules, key_near(random, rules), random);
  }

  // Rules go to the subtable that is to be theirs when another length comes beside theirs.
  TEST_CASE("rules that move as others come are found before and after, at each version, and once") {
    std::mt19937_64 random{8};
    std::vector<RuleRef> hosts, all;
    for (std::uint16_t i = 0; i < 20; ++i)
      hosts.push_back(make_rule(static_cast<std::uint16_t>(1 + i % 4), ipv4_dst(0x0a000000u + i * 7, 32), i));
    Classifier classifier;
    fill(classifier, hosts, 1);
    all = hosts;
    all.push_back(make_rule(2, ipv4_dst(0x0a000000, 28)));
    classifier.insert(all.back(), 2);
    const auto is_found = [&](const std::vector<RuleRef>& rules, std::uint64_t version) {
      int found = 0;
      for (const RuleRef& rule : hosts) {
        PipelineMask mask{};
        const PipelineKey key = with_bits(rule->match.value, rule->match.mask, random_key(random));
        const Rule* best = classifier.lookup(key, version, mask);
        found += best != nullptr && best->priority == linear_lookup(rules, key)->priority ? 1 : 0;
      }
      return found == 20 && classifier.rules(version).size() == rules.size();
    };
    SUBCASE("taken back") {
      classifier.rollback(2);
      CHECK(is_found(hosts, 1));
      CHECK(classifier.size() == 20);
      all = hosts;
    }
    SUBCASE("published") {
      classifier.publish();
      CHECK(is_found(hosts, 1));
      CHECK(is_found(all, 2));
      classifier.collect(2, 2);
      classifier.collect(3, 3);
      CHECK(is_found(all, 2));
      CHECK(classifier.size() == 21);
    }
    for (const RuleRef& rule : hosts)
      CHECK(classifier.count(rule->cookie) == (rule->cookie == 0 ? all.size() - 19 : 1));
    for (const RuleRef& rule : all) classifier.remove(*rule, 4);
    classifier.collect(4, 4);
    CHECK(classifier.size() == 0);
    CHECK(classifier.rules(4).empty());
  }

  TEST_CASE("a table without a rule is as it was before the first") {
    std::mt19937_64 random{11};
    const auto rules = random_rules(random, 300);
    Classifier classifier;
    for (std::uint64_t round = 0; round < 3; ++round) {
      fill(classifier, rules, 2 * round + 1);
      for (const RuleRef& rule : rules) classifier.remove(*rule, 2 * round + 2);
      classifier.publish();
      classifier.collect(2 * round + 2, 2 * round + 2);
      CHECK(classifier.size() == 0);
      PipelineMask mask{};
      CHECK(classifier.lookup(key_near(random, rules), 2 * round + 2, mask) == nullptr);
      CHECK(bit_count(mask) == 0);
    }
  }

  TEST_CASE("rules that came and went leave masks as wide as before") {
    std::mt19937_64 random{21};
    const auto rules = rules_of(rule_mixes()[1], 300, random);
    Classifier classifier;
    fill(classifier, rules, 1);
    std::vector<PipelineKey> keys;
    std::vector<PipelineMask> before(200);
    for (PipelineMask& mask : before) {
      keys.push_back(packet_of(rules, random));
      (void)classifier.lookup(keys.back(), 1, mask);
    }
    for (std::uint64_t version = 2; version < 6; ++version) {
      std::vector<RuleRef> more;
      for (const RuleRef& rule : rules)
        more.push_back(make_rule(static_cast<std::uint16_t>(1 + random() % 65'000), rule->match));
      fill(classifier, more, version);
      for (const RuleRef& rule : more) classifier.remove(*rule, version);
      classifier.collect(version, version);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      PipelineMask mask{};
      (void)classifier.lookup(keys[i], 6, mask);
      CHECK(equal(mask, before[i]));
    }
  }

  TEST_CASE("after half of the rules went the rest is found as before") {
    std::mt19937_64 random{99};
    auto rules = random_rules(random, 200);
    Classifier classifier;
    for (const RuleRef& rule : rules) classifier.insert(rule, 0);
    classifier.publish();
    std::shuffle(rules.begin(), rules.end(), random);
    for (std::size_t i = 100; i < 200; ++i) classifier.remove(*rules[i], 1);
    classifier.publish();
    rules.resize(100);
    SUBCASE("before their memory is collected") {}
    SUBCASE("after it was") { classifier.collect(1, 1); }
    SUBCASE("after it was freed, too") {
      classifier.collect(1, 1);
      classifier.collect(2, 2);
    }
    for (int i = 0; i < 100; ++i) check_lookup(classifier, rules, key_near(random, rules), random);
    CHECK(classifier.rules(1).size() == 100);
  }

  TEST_CASE("an empty classifier finds nothing and looks at nothing") {
    Classifier classifier;
    PipelineMask mask{};
    CHECK(classifier.lookup(PipelineKey{}, 1, mask) == nullptr);
    CHECK(bit_count(mask) == 0);
  }

  TEST_CASE("a rule that matches everything looks at nothing") {
    Classifier classifier;
    fill(classifier, {make_rule(0, Match{})}, 1);
    PipelineMask mask{};
    CHECK(classifier.lookup(PipelineKey{}, 1, mask) != nullptr);
    CHECK(bit_count(mask) == 0);
  }

  TEST_CASE("bits of rules below the best one are not looked at") {
    Classifier classifier;
    fill(classifier, {make_rule(10, ipv4_dst(0x0a000000, 8)), make_rule(5, eth_dst(0x020000000001))}, 1);
    PipelineMask mask{};
    PipelineKey key = ipv4_dst(0x0a010203, 32).value;
    CHECK(classifier.lookup(key, 1, mask)->priority == 10);
    CHECK(equal(mask, ipv4_dst(0, 8).mask));
  }

  TEST_CASE("a prefix that misses is told by as many bits as tell it from every prefix") {
    Classifier classifier;
    std::vector<RuleRef> rules;
    std::uint16_t priority = 1;
    for (std::uint32_t i = 0; i < 16; ++i)
      for (unsigned length : {16u, 24u, 32u})
        rules.push_back(make_rule(priority++, ipv4_dst(0x0a000000 | i << 16, length)));
    fill(classifier, rules, 1);
    PipelineMask mask{};
    CHECK(classifier.lookup(ipv4_dst(0xc0a80101, 32).value, 1, mask) == nullptr);
    PipelineMask expected{};
    expected.ip_dst[12] = 0x80;
    CHECK(equal(mask, expected));
  }

  TEST_CASE("a prefix of one more bit that misses takes one more bit") {
    Classifier classifier;
    PipelineMask mask{};
    SUBCASE("of another byte") {
      const std::vector<RuleRef> rules{make_rule(4, ipv4_dst(0x0a020000, 15)), make_rule(3, ipv4_dst(0x0a010000, 16)),
                                       make_rule(2, Match{}), make_rule(1, ipv4_dst(0x0a000001, 32))};
      fill(classifier, rules, 1);
      CHECK(classifier.lookup(ipv4_dst(0x0a000002, 32).value, 1, mask)->priority == 2);
      PipelineMask expected = ipv4_dst(0, 16).mask;
      expected.eth_type = be16{0};  // no such prefix, whatever the type
      CHECK(equal(mask, expected));
    }
    SUBCASE("within a byte, whose prefixes share a subtable") {
      const std::vector<RuleRef> rules{make_rule(4, ipv4_dst(0x0a010000, 16)), make_rule(3, ipv4_dst(0x0a008000, 17)),
                                       make_rule(2, Match{}), make_rule(1, ipv4_dst(0x0a000001, 32))};
      fill(classifier, rules, 1);
      CHECK(classifier.lookup(ipv4_dst(0x0a000002, 32).value, 1, mask)->priority == 2);
      CHECK(equal(mask, ipv4_dst(0, 17).mask));
    }
  }

  TEST_CASE("a port that misses is told by few bits") {
    Classifier classifier;
    std::vector<RuleRef> rules;
    for (std::uint16_t port = 0; port < 16; ++port)
      rules.push_back(make_rule(static_cast<std::uint16_t>(port + 1), tcp_dst(port)));
    fill(classifier, rules, 1);
    PipelineKey key = tcp_dst(0x8001).value;
    PipelineMask mask{};
    CHECK(classifier.lookup(key, 1, mask) == nullptr);
    CHECK(mask.tp_dst == be16{0x8000});
  }

  TEST_CASE("a rule of another L2 type is told by that type alone") {
    Classifier classifier;
    Match match = ipv4_dst(0x0a000001, 32);
    std::memset(match.mask.eth_src, 0xff, 6);
    fill(classifier, {make_rule(1, match)}, 1);
    PipelineKey key{};
    key.eth_type = be16{0x0806};
    PipelineMask mask{};
    CHECK(classifier.lookup(key, 1, mask) == nullptr);
    CHECK(std::all_of(mask.ip_dst, mask.ip_dst + 16, [](auto byte) { return byte == 0; }));
  }

  TEST_CASE("rules of one match and several priorities are found in their order") {
    Classifier classifier;
    std::vector<RuleRef> rules;
    for (const auto priority : std::to_array<std::uint16_t>({5, 9, 1, 7, 3}))
      rules.push_back(make_rule(priority, tcp_dst(80)));
    fill(classifier, rules, 1);
    PipelineMask mask{};
    std::uint64_t version = 1;
    for (const auto priority : std::to_array<std::uint16_t>({9, 7, 5, 3, 1})) {
      const Rule* found = classifier.lookup(tcp_dst(80).value, version, mask);
      REQUIRE(found != nullptr);
      CHECK(found->priority == priority);
      CHECK(classifier.find(tcp_dst(80), priority, version).get() == found);
      classifier.remove(*found, ++version);
      classifier.publish();
      if (priority == 7) classifier.collect(version, version);
    }
    CHECK(classifier.lookup(tcp_dst(80).value, version, mask) == nullptr);
    CHECK(classifier.size() == 0);
  }

  TEST_CASE("a version sees the rules that it has, whatever came after") {
    Classifier classifier;
    const auto first = make_rule(1, tcp_dst(80), 1);
    classifier.insert(first, 1);
    classifier.publish();
    const auto second = make_rule(1, tcp_dst(80), 2);
    classifier.remove(*first, 2);
    classifier.insert(second, 2);
    classifier.publish();
    PipelineMask mask{};
    CHECK(classifier.lookup(tcp_dst(80).value, 0, mask) == nullptr);
    CHECK(classifier.lookup(tcp_dst(80).value, 1, mask)->cookie == 1);
    CHECK(classifier.lookup(tcp_dst(80).value, 2, mask)->cookie == 2);
    CHECK(classifier.rules(1) == std::vector<RuleRef>{first});
    CHECK(classifier.rules(2) == std::vector<RuleRef>{second});
  }

  TEST_CASE("a rollback leaves the classifier as it was") {
    std::mt19937_64 random{7};
    const auto rules = random_rules(random, 100);
    Classifier classifier;
    const std::vector<RuleRef> kept{rules.begin(), rules.begin() + 50};
    fill(classifier, kept, 1);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < 25; ++i) classifier.remove(*rules[i], 2);
      for (std::size_t i = 50; i < 100; ++i) classifier.insert(rules[i], 2);
      for (std::size_t i = 50; i < 60; ++i) classifier.remove(*rules[i], 2);
      classifier.rollback(2);
      CHECK(classifier.size() == 50);
      CHECK(classifier.rules(2).size() == 50);
      for (int i = 0; i < 50; ++i) check_lookup(classifier, kept, key_near(random, rules), random);
    }
    classifier.collect(2, 2);
    CHECK(classifier.rules(2).size() == 50);
  }

  TEST_CASE("a rule that went and came at a version that was taken back can go") {
    Classifier classifier;
    const auto rule = make_rule(1, tcp_dst(80));
    fill(classifier, {rule}, 1);
    classifier.remove(*rule, 2);
    classifier.insert(rule, 2);
    classifier.rollback(2);
    PipelineMask mask{};
    CHECK(classifier.lookup(tcp_dst(80).value, 2, mask) == rule.get());
    classifier.remove(*rule, 2);
    classifier.publish();
    CHECK(classifier.lookup(tcp_dst(80).value, 1, mask) == rule.get());
    CHECK(classifier.lookup(tcp_dst(80).value, 2, mask) == nullptr);
    classifier.collect(2, 2);
    classifier.collect(3, 3);
    CHECK(classifier.rules(3).empty());
    CHECK(rule.use_count() == 1);
  }

  TEST_CASE("a rule is found by match and priority, at its versions, and by nothing less") {
    std::mt19937_64 random{11};
    const auto rules = random_rules(random, 200);
    Classifier classifier;
    CHECK_FALSE(classifier.contains(rules[0]->match, rules[0]->priority, 1));
    fill(classifier, rules, 1);
    for (std::size_t i = 0; i < 100; ++i) classifier.remove(*rules[i], 2);
    classifier.publish();
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const Match& match = rules[i]->match;
      const std::uint16_t priority = rules[i]->priority;
      CHECK_FALSE(classifier.contains(match, priority, 0));
      CHECK(classifier.contains(match, priority, 1));
      CHECK(classifier.contains(match, priority, 2) == (i >= 100));
      for (const auto other : {priority + 1, priority - 1})
        CHECK(classifier.contains(match, static_cast<std::uint16_t>(other), 2) ==
              (classifier.find(match, static_cast<std::uint16_t>(other), 2) != nullptr));
      Match narrower = match;
      PipelineWords mask = to_words(match.mask), value = to_words(match.value);
      const std::size_t bit = random() % (kPipelineWords * 64);
      mask[bit / 64] ^= std::uint64_t{1} << (bit % 64);
      value[bit / 64] &= mask[bit / 64];
      narrower.mask = from_words(mask);
      narrower.value = from_words(value);
      CHECK(classifier.contains(narrower, priority, 2) == (classifier.find(narrower, priority, 2) != nullptr));
    }
  }

  TEST_CASE("rules are counted by cookie, and a rollback counts them back") {
    Classifier classifier;
    std::vector<RuleRef> rules;
    for (std::uint16_t i = 0; i < 300; ++i) rules.push_back(make_rule(1, tcp_dst(i), i % 3));
    CHECK(classifier.count(0) == 0);
    for (std::size_t i = 0; i < 200; ++i) classifier.insert(rules[i], 1);
    classifier.publish();
    const auto counts = [&] { return std::array{classifier.count(0), classifier.count(1), classifier.count(2)}; };
    CHECK(counts() == std::array{67u, 67u, 66u});
    CHECK(classifier.count(3) == 0);
    for (std::size_t i = 200; i < 300; ++i) classifier.insert(rules[i], 2);
    for (std::size_t i = 0; i < 210; i += 3) classifier.remove(*rules[i], 2);  // all of cookie 0 but 30
    CHECK(counts() == std::array{30u, 100u, 100u});
    classifier.rollback(2);
    CHECK(counts() == std::array{67u, 67u, 66u});
    for (std::size_t i = 0; i < 200; i += 3) classifier.remove(*rules[i], 2);
    classifier.publish();
    CHECK(counts() == std::array{0u, 67u, 66u});
    classifier.collect(2, 2);
    CHECK(counts() == std::array{0u, 67u, 66u});
  }

  TEST_CASE("select() finds the rules that match nothing outside a filter") {
    std::mt19937_64 random{3};
    const auto rules = random_rules(random, 150);
    Classifier classifier;
    fill(classifier, rules, 1);
    for (int i = 0; i < 100; ++i) {
      Match filter = rules[random() % rules.size()]->match;
      PipelineWords mask = to_words(filter.mask);
      for (auto& word : mask)
        if (random() % 2 == 0) word = 0;
      filter.mask = from_words(mask);
      filter.value = filter.value & filter.mask;
      std::vector<RuleRef> expected;
      for (const RuleRef& rule : rules)
        if (is_subset(filter.mask, rule->match.mask) && equal(rule->match.value & filter.mask, filter.value))
          expected.push_back(rule);
      auto found = classifier.select(filter, 1);
      std::sort(found.begin(), found.end());
      std::sort(expected.begin(), expected.end());
      CHECK(found == expected);
    }
  }

  TEST_CASE("readers see exactly the rules of their version while the writer changes them") {
    // At version v the rule of key i is the one that was put in at the last version congruent to i.
    constexpr std::uint64_t kKeys = 16;
    constexpr std::uint64_t kVersions = 3000;
    const auto match_of = [](std::uint64_t i) {
      // Half of them share subtables with others, half have one of their own that comes and goes.
      return i % 2 == 0
                 ? tcp_dst(static_cast<std::uint16_t>(i))
                 : ipv4_dst(0x0a000000 | static_cast<std::uint32_t>(i) << 16, static_cast<unsigned>(17 + i % 15));
    };
    Classifier classifier;
    std::array<RuleRef, kKeys> current;
    for (std::uint64_t i = 0; i < kKeys; ++i) {
      current[i] = make_rule(static_cast<std::uint16_t>(100 + i), match_of(i), i);
      classifier.insert(current[i], i);
    }
    classifier.publish();

    std::atomic<std::uint64_t> newest{kKeys - 1};
    std::array<std::atomic<std::uint64_t>, 2> reading{kKeys - 1, kKeys - 1};
    std::atomic<std::uint64_t> wrong{0}, looked_up{0};
    std::vector<std::thread> readers;
    for (auto& mine : reading)
      readers.emplace_back([&] {
        std::uint64_t version = 0;
        while (version < kVersions) {
          version = newest.load(std::memory_order_acquire);
          mine.store(version, std::memory_order_release);
          for (std::uint64_t i = 0; i < kKeys; ++i) {
            PipelineMask mask{};
            const Rule* rule = classifier.lookup(match_of(i).value, version, mask);
            const std::uint64_t expected = version - (version - i) % kKeys;
            if (rule == nullptr || rule->cookie != expected) wrong.fetch_add(1);
            if (rule != nullptr && !classifier.contains(match_of(i), rule->priority, version)) wrong.fetch_add(1);
            if (classifier.count(expected) > 1) wrong.fetch_add(1);  // of the newest version, which may have none
          }
          looked_up.fetch_add(kKeys);
        }
      });
    for (std::uint64_t version = kKeys; version <= kVersions; ++version) {
      const std::uint64_t i = version % kKeys;
      auto next = make_rule(static_cast<std::uint16_t>(100 + (i + version / kKeys) % 50), match_of(i), version);
      classifier.remove(*current[i], version);
      classifier.insert(next, version);
      current[i] = next;
      classifier.publish();
      newest.store(version, std::memory_order_release);
      const auto oldest =
          std::min(reading[0].load(std::memory_order_acquire), reading[1].load(std::memory_order_acquire));
      if (version % 4 == 0) classifier.collect(oldest, version);
    }
    for (auto& reader : readers) reader.join();
    CHECK(wrong.load() == 0);
    CHECK(looked_up.load() > 0);
    classifier.collect(kVersions, kVersions);
    CHECK(classifier.rules(kVersions).size() == kKeys);
  }
}
