// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "tests/support/rule_sets.h"
#include "user/flow/classifier.h"

using namespace shunt;

namespace {

RuleRef make_rule(std::uint16_t priority, const Match& match, ActionList actions = {}) {
  auto rule = std::make_shared<Rule>();
  rule->priority = priority;
  rule->match = match;
  rule->actions = std::move(actions);
  return rule;
}

ActionList clause(std::uint32_t id, std::uint8_t index, std::uint8_t count) {
  return {ConjunctionAction{id, index, count}};
}

Match conj_id(std::uint32_t id) {
  Match match;
  const be32 wire{id}, ones{0xffffffff};
  std::memcpy(match.value.conj_id.data(), &wire, 4);
  std::memcpy(match.mask.conj_id.data(), &ones, 4);
  return match;
}

PipelineKey packet(std::uint32_t src, std::uint32_t dst, std::uint16_t port) {
  return both(both(ipv4_src(src, 32), ipv4_dst(dst, 32)), tcp_dst(port)).value;
}

void fill(Classifier& classifier, const std::vector<RuleRef>& rules) {
  for (const RuleRef& rule : rules) classifier.insert(rule, 1);
  classifier.publish();
}

bool is_clause(const Rule& rule) {
  return !rule.actions.empty() && std::holds_alternative<ConjunctionAction>(rule.actions.front());
}

// What ovs-fields(7) says, rule by rule: hard rules, unless clauses of a higher priority are complete.
const Rule* linear_hard(const std::vector<RuleRef>& rules, const PipelineKey& key) {
  const Rule* best = nullptr;
  for (const RuleRef& rule : rules)
    if (!is_clause(*rule) && rule->match.matches(key) && (best == nullptr || rule->priority > best->priority))
      best = rule.get();
  return best;
}
const Rule* linear_lookup(const std::vector<RuleRef>& rules, const PipelineKey& key) {
  const Rule* hard = linear_hard(rules, key);
  std::map<std::uint16_t, std::map<std::uint32_t, std::set<unsigned>>, std::greater<>> met;  // priority, id: clauses
  std::map<std::uint32_t, unsigned> counts;
  for (const RuleRef& rule : rules) {
    if (!is_clause(*rule) || !rule->match.matches(key)) continue;
    for (const Action& action : rule->actions) {
      const auto& c = std::get<ConjunctionAction>(action);
      met[rule->priority][c.id].insert(c.clause);
      counts[c.id] = c.clause_count;
    }
  }
  for (const auto& [priority, ids] : met) {
    if (hard != nullptr && priority <= hard->priority) break;
    for (const auto& [id, clauses] : ids) {
      if (clauses.size() != counts[id]) continue;
      PipelineKey second = key;
      second.conj_id = conj_id(id).value.conj_id;
      if (const Rule* found = linear_hard(rules, second)) return found;
    }
  }
  return hard;
}

}  // namespace

TEST_SUITE("conjunctive match") {
  TEST_CASE("a packet that meets every clause gets the rule of the conjunction's id") {
    Classifier classifier;
    const std::vector<RuleRef> rules{make_rule(100, ipv4_src(0x0a000001, 32), clause(7, 0, 2)),
                                     make_rule(100, ipv4_src(0x0a000002, 32), clause(7, 0, 2)),
                                     make_rule(100, tcp_dst(80), clause(7, 1, 2)),
                                     make_rule(100, tcp_dst(443), clause(7, 1, 2)),
                                     make_rule(50, conj_id(7)),
                                     make_rule(1, Match{})};
    fill(classifier, rules);
    PipelineMask mask{};
    CHECK(classifier.lookup(packet(0x0a000001, 1, 80), 1, mask) == rules[4].get());
    CHECK(classifier.lookup(packet(0x0a000002, 1, 443), 1, mask) == rules[4].get());
    SUBCASE("one clause alone is no match") {
      CHECK(classifier.lookup(packet(0x0a000003, 1, 80), 1, mask) == rules[5].get());
      CHECK(classifier.lookup(packet(0x0a000001, 1, 81), 1, mask) == rules[5].get());
    }
    SUBCASE("its clauses were looked at") {
      mask = {};
      (void)classifier.lookup(packet(0x0a000001, 1, 80), 1, mask);
      CHECK(is_subset(ipv4_src(0, 32).mask, mask));
      CHECK(is_subset(tcp_dst(80).mask, mask));
      CHECK(mask.conj_id == std::array<std::uint8_t, 4>{});
    }
    SUBCASE("without its clauses it is not there") {
      classifier.remove(*rules[2], 2);
      classifier.publish();
      CHECK(classifier.lookup(packet(0x0a000001, 1, 80), 2, mask) == rules[5].get());
      CHECK(classifier.lookup(packet(0x0a000001, 1, 80), 1, mask) == rules[4].get());
    }
  }

  TEST_CASE("a rule of the clauses' priority or above goes first") {
    std::uint16_t priority = 0;
    SUBCASE("below") { priority = 99; }
    SUBCASE("the same") { priority = 100; }
    SUBCASE("above") { priority = 101; }
    Classifier classifier;
    const std::vector<RuleRef> rules{make_rule(100, ipv4_src(0x0a000001, 32), clause(7, 0, 2)),
                                     make_rule(100, tcp_dst(80), clause(7, 1, 2)), make_rule(200, conj_id(7)),
                                     make_rule(priority, ipv4_dst(1, 32))};
    fill(classifier, rules);
    PipelineMask mask{};
    CHECK(classifier.lookup(packet(0x0a000001, 1, 80), 1, mask) == rules[priority >= 100 ? 3 : 2].get());
  }

  TEST_CASE("clauses of two priorities do not add up") {
    Classifier classifier;
    fill(classifier, {make_rule(100, ipv4_src(0x0a000001, 32), clause(7, 0, 2)),
                      make_rule(101, tcp_dst(80), clause(7, 1, 2)), make_rule(1, conj_id(7))});
    PipelineMask mask{};
    CHECK(classifier.lookup(packet(0x0a000001, 1, 80), 1, mask) == nullptr);
  }

  TEST_CASE("a conjunction without a rule for its id leaves the packet to lower ones") {
    Classifier classifier;
    const std::vector<RuleRef> rules{make_rule(100, ipv4_src(0x0a000001, 32), clause(7, 0, 2)),
                                     make_rule(100, tcp_dst(80), clause(7, 1, 2)),
                                     make_rule(90, ipv4_src(0x0a000000, 8), clause(8, 0, 2)),
                                     make_rule(90, ipv4_dst(1, 32), clause(8, 1, 2)), make_rule(5, conj_id(8))};
    fill(classifier, rules);
    PipelineMask mask{};
    CHECK(classifier.lookup(packet(0x0a000001, 1, 80), 1, mask) == rules[4].get());
  }

  TEST_CASE("random conjunctions are found as a linear scan finds them, and no bit outside the mask matters") {
    std::size_t met = 0;
    for (unsigned seed = 0; seed < 20; ++seed) {
      std::mt19937_64 random{seed};
      const auto few = [&](unsigned count) { return static_cast<unsigned>(random() % count); };
      std::vector<RuleRef> rules;
      // Every priority has one conjunction or hard rules: what overlaps at one priority has no defined winner.
      for (std::uint16_t priority = 2; priority < 40; ++priority) {
        Match match;
        if (few(2) == 0) match = both(match, ipv4_src(few(4), 30 + few(3)));
        if (few(2) == 0) match = both(match, ipv4_dst(few(4), 30 + few(3)));
        if (few(3) == 0) {
          rules.push_back(make_rule(priority, match));
          continue;
        }
        const std::uint32_t id = 1 + few(1000) * 40 + priority;
        const bool three = few(2) == 0;
        const std::uint8_t count = three ? 3 : 2;
        for (std::uint32_t i = 0; i < 3; ++i) {
          if (few(2) == 0) rules.push_back(make_rule(priority, ipv4_src(i, 32), clause(id, 0, count)));
          if (few(2) == 0) rules.push_back(make_rule(priority, ipv4_dst(i, 32), clause(id, 1, count)));
          if (three) rules.push_back(make_rule(priority, tcp_dst(static_cast<std::uint16_t>(i)), clause(id, 2, count)));
        }
        if (few(4) != 0) rules.push_back(make_rule(static_cast<std::uint16_t>(1000 + priority), conj_id(id)));
      }
      if (few(2) == 0) rules.push_back(make_rule(1, Match{}));
      Classifier classifier;
      fill(classifier, rules);
      for (int i = 0; i < 100; ++i) {
        const PipelineKey key = packet(few(4), few(4), static_cast<std::uint16_t>(few(4)));
        PipelineMask mask{};
        const Rule* expected = linear_lookup(rules, key);
        REQUIRE(classifier.lookup(key, 1, mask) == expected);
        met += expected != nullptr && expected->priority > 1000;
        for (int other = 0; other < 30; ++other) {
          PipelineKey changed = without(packet(few(4), few(4), static_cast<std::uint16_t>(few(4))), mask);
          add_mask(changed, key & mask);
          REQUIRE(linear_lookup(rules, changed) == expected);
        }
      }
    }
    CHECK(met > 100);
  }
}
