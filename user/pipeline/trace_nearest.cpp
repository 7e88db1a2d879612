// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/trace_nearest.h"

#include <algorithm>
#include <variant>

#include "user/pipeline/trace_fields.h"
#include "user/pipeline/trace_frame.h"

namespace shunt {
namespace {

// Of the nearest rules so many are tried out: each costs a translation.
constexpr std::size_t kMaxTried = 256;

struct Candidate {
  RuleRef rule;
  const TableVisit* visit;
  Distance far;
};

bool nearer(const Candidate& a, const Candidate& b) {
  if (a.far != b.far) return a.far < b.far;
  return a.rule->priority > b.rule->priority;
}

// True where the list has anything that can lead out of the switch: the rest need not be tried.
bool may_forward(const ActionList& actions) {
  return std::ranges::any_of(actions, [](const Action& action) {
    if (const auto* write = std::get_if<WriteActionsAction>(&action)) return may_forward(write->actions);
    if (const auto* clone = std::get_if<CloneAction>(&action)) return may_forward(clone->actions);
    if (const auto* output = std::get_if<OutputAction>(&action)) return output->port != kPortController;
    return std::holds_alternative<OutputFieldAction>(action) || std::holds_alternative<EnqueueAction>(action) ||
           std::holds_alternative<GroupAction>(action) || std::holds_alternative<BundleAction>(action) ||
           std::holds_alternative<GotoTableAction>(action) || std::holds_alternative<ResubmitAction>(action);
  });
}

bool goes_out(const Translation& translation) {
  return std::ranges::any_of(translation.actions,
                             [](const shunt_action& action) { return action.type == SHUNT_ACT_OUTPUT; });
}

std::vector<Candidate> nearest_rules(const SwitchState& state, const BridgeState& bridge,
                                     const std::vector<TableVisit>& visits) {
  std::vector<Candidate> candidates;
  for (auto visit = visits.begin(); visit != visits.end(); ++visit) {
    const auto same = [&](const TableVisit& v) { return v.table == visit->table && equal(v.key, visit->key); };
    if (std::any_of(visits.begin(), visit, same) || bridge.tables[visit->table] == nullptr) continue;
    for (RuleRef& rule : bridge.tables[visit->table]->rules(state.version)) {
      if (!may_forward(rule->actions)) continue;
      const Distance far = distance(visit->key, rule->match);
      candidates.push_back({std::move(rule), &*visit, far});
    }
    if (candidates.size() > 4 * kMaxTried) {
      std::nth_element(candidates.begin(), candidates.begin() + kMaxTried, candidates.end(), nearer);
      candidates.resize(kMaxTried);
    }
  }
  std::sort(candidates.begin(), candidates.end(), nearer);
  if (candidates.size() > kMaxTried) candidates.resize(kMaxTried);
  return candidates;
}

// `key` made to match, by nothing but the bits in which it does not.
PipelineKey made_to_match(const PipelineKey& key, const Match& match) {
  PipelineWords words = to_words(key);
  const PipelineWords value = to_words(match.value), mask = to_words(match.mask);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = (words[i] & ~mask[i]) | value[i];
  return from_words(words);
}

// The bits that would have to differ, as long as they are the packet's own: nothing where an action or the pipeline
// wrote them.
std::optional<FlowKey> other_packet(const BridgeState& bridge, const FlowKey& packet, const Translation& dropped,
                                    const PipelineKey& here, const PipelineKey& wanted) {
  PipelineWords bits = to_words(here);
  const PipelineWords other = to_words(wanted);
  for (std::size_t i = 0; i < bits.size(); ++i) {
    bits[i] ^= other[i];
    if (i >= kKeyWords && bits[i] != 0) return std::nullopt;
  }
  FlowMask differing = flow_part(from_words(bits));
  FlowKey changed = packet;
  if (differing.in_port != 0) {
    const BridgePort* port = bridge.find(PortNo{wanted.in_port});
    if (port == nullptr) return std::nullopt;
    changed.in_port = port->dp.value;
    differing.in_port = 0;
  }
  if (!is_zero(differing & *dropped.dependencies.rewritten)) return std::nullopt;
  KeyWords words = to_words(changed);
  const KeyWords flip = to_words(differing);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] ^= flip[i];
  return from_words(words);
}

bool lets_pass(const SwitchState& state, const BridgeState& bridge, const FlowKey& packet, const Translation& dropped,
               const Candidate& candidate) {
  const PipelineKey wanted = made_to_match(candidate.visit->key, candidate.rule->match);
  if (const auto other = other_packet(bridge, packet, dropped, candidate.visit->key, wanted)) {
    const std::vector<std::uint8_t> frame = compose_frame(*other);
    const PacketView view{frame, static_cast<std::uint32_t>(frame.size())};
    const Translation translation = translate(state, *other, &view);
    return goes_out(translation) && std::ranges::find(translation.rules, candidate.rule) != translation.rules.end();
  }
  // Its bits were written on the way: ask the table itself, and let the rule's actions run on such a packet.
  PipelineMask examined{};
  const Rule* met = bridge.tables[candidate.visit->table]->lookup(wanted, state.version, examined);
  if (met != candidate.rule.get()) return false;
  FlowKey key = flow_part(wanted);
  key.in_port = packet.in_port;
  const std::vector<std::uint8_t> frame = compose_frame(key);
  const PacketView view{frame, static_cast<std::uint32_t>(frame.size())};
  return goes_out(translate_actions(state, bridge.id, key, PortNo{wanted.in_port}, candidate.rule->actions, &view));
}

}  // namespace

std::optional<NearMiss> find_near_miss(const SwitchState& state, const BridgeState& bridge, const FlowKey& packet,
                                       const Translation& dropped, const std::vector<TableVisit>& visits,
                                       const PortNames& names) {
  for (const Candidate& candidate : nearest_rules(state, bridge, visits)) {
    if (!lets_pass(state, bridge, packet, dropped, candidate)) continue;
    NearMiss near;
    near.rule = candidate.rule;
    near.table = candidate.visit->table;
    near.differences = describe_differences(candidate.visit->key, candidate.rule->match, names);
    return near;
  }
  return std::nullopt;
}

}  // namespace shunt
