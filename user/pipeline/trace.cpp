// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/trace.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "user/pipeline/action_text.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/trace_fields.h"
#include "user/pipeline/trace_frame.h"
#include "user/pipeline/trace_nearest.h"

namespace shunt {
namespace {

// Writes down what translation says of itself, and the tables it came by.
class Recorder final : public TranslationObserver {
 public:
  Recorder(const BridgeState* bridge, const PortNames& names, std::vector<TraceStep>& steps)
      : bridge_{bridge}, names_{names}, steps_{steps} {}

  void entered_table(std::uint8_t table, const PipelineKey& key, const Rule* matched, unsigned depth) override {
    look_at(key, depth);
    visits_.push_back({table, key});
    add(TraceStep::Kind::kTable, depth, table_text(table));
    if (matched == nullptr) return add(TraceStep::Kind::kMiss, depth, "no rule matches");
    TraceStep step{TraceStep::Kind::kRule, depth, rule_text(*matched), matched->shared_from_this()};
    steps_.push_back(std::move(step));
  }
  void before_action(const Action& action, const PipelineKey& key, unsigned depth) override {
    look_at(key, depth);
    add(TraceStep::Kind::kAction, depth, format_actions({&action, 1}, names_));
  }
  void entered_group(const Group& group, const Bucket* chosen, unsigned depth) override {
    std::string text = fmt::format("group {} ({})", group.id, group_type_name(group.type));
    if (chosen != nullptr)
      text += fmt::format(", bucket {}: {}", chosen->id, format_actions(chosen->actions, names_));
    else if (group.type == GroupType::kSelect || group.type == GroupType::kFastFailover)
      text += ": no live bucket";
    add(TraceStep::Kind::kGroup, depth, std::move(text));
  }
  void note(std::string text, unsigned depth) override { add(TraceStep::Kind::kNote, depth, std::move(text)); }

  [[nodiscard]] const std::vector<TableVisit>& visits() const { return visits_; }

 private:
  void add(TraceStep::Kind kind, unsigned depth, std::string text) {
    steps_.push_back({kind, depth, std::move(text), nullptr});
  }

  // What the actions since the last look have changed. What a clone or a bucket did ends with it: back at the depth
  // that it began at, the packet is as it was there.
  void look_at(const PipelineKey& key, unsigned depth) {
    const bool restored = depth < at_depth_.size() && equal(key, at_depth_[depth]) && !equal(key, *seen_);
    if (seen_ && !restored)
      for (std::string& text : describe_changes(*seen_, key, names_))
        add(TraceStep::Kind::kChange, last_depth_, std::move(text));
    seen_ = key;
    last_depth_ = depth;
    at_depth_.resize(depth + 1, key);
    at_depth_[depth] = key;
  }

  [[nodiscard]] std::string table_text(std::uint8_t table) const {
    std::string text = fmt::format("table {}", table);
    if (bridge_ == nullptr) return text;
    const auto config = bridge_->table_configs->find(table);
    if (config != bridge_->table_configs->end() && !config->second.name.empty())
      text += fmt::format(" ({})", config->second.name);
    return text;
  }
  [[nodiscard]] std::string rule_text(const Rule& rule) const {
    const std::string match = format_match(rule.match, names_);
    return fmt::format("priority={}{}{}, cookie={:#x}", rule.priority, match.empty() ? "" : ",", match, rule.cookie);
  }

  const BridgeState* bridge_;
  const PortNames& names_;
  std::vector<TraceStep>& steps_;
  std::vector<TableVisit> visits_;
  std::optional<PipelineKey> seen_;    // nothing before the first table
  std::vector<PipelineKey> at_depth_;  // as last seen at each depth that is not left yet
  unsigned last_depth_ = 0;
};

// What follows from the packet besides where it goes.
void add_consequences(const Translation& translation, const PortNames& names, std::vector<TraceStep>& steps) {
  const auto add = [&](std::string text) { steps.push_back({TraceStep::Kind::kNote, 0, std::move(text), nullptr}); };
  for (const Translation::Learn& learn : translation.learns) {
    std::string port;
    append_port(port, learn.port, names);
    const std::uint64_t mac = learn.key.mac.number();
    add(fmt::format("learns {:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x} in VLAN {} on port {}", mac >> 40 & 0xff,
                    mac >> 32 & 0xff, mac >> 24 & 0xff, mac >> 16 & 0xff, mac >> 8 & 0xff, mac & 0xff,
                    learn.key.vlan.value, port));
  }
  for (const Translation::LearnedRule& learned : translation.follow_ups->learned)
    add("learns the rule " + format_flow_spec(learned.mod, names));
  for (const Translation::FinTimeout& fin : translation.follow_ups->fin_timeouts)
    add(fmt::format("lowers timeouts of the rule with cookie {:#x}: idle_timeout={}, hard_timeout={}", fin.rule->cookie,
                    fin.idle_timeout, fin.hard_timeout));
}

}  // namespace

Trace trace_packet(const SwitchState& state, const FlowKey& key, const PacketView* packet, const PortNames& names) {
  Trace trace;
  trace.key = key;
  std::vector<std::uint8_t> made;
  PacketView made_view;
  if (packet == nullptr) {
    made = compose_frame(key);
    made_view = {made, static_cast<std::uint32_t>(made.size())};
    packet = &made_view;
  }
  const BridgeState* bridge = key.in_port < state.bridge_of.size() ? state.bridge_of[key.in_port] : nullptr;
  Recorder recorder{bridge, names, trace.steps};
  trace.translation = translate(state, key, packet, &recorder);
  add_consequences(trace.translation, names, trace.steps);
  if (bridge != nullptr && trace.translation.is_drop())
    trace.near_miss = find_near_miss(state, *bridge, key, trace.translation, recorder.visits(), names);
  return trace;
}

}  // namespace shunt
