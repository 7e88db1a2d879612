// SPDX-License-Identifier: Apache-2.0
// flow.add, flow.mod, flow.mod_strict, flow.del, flow.del_strict, flow.replace, flow.list
#include <chrono>

#include "user/control/commands.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/rule_text.h"

namespace shunt {
namespace {

using Command = FlowMod::Command;

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kRule{.name = "rule", .type = ParamType::kText};    // one
const ParamSpec kRules{.name = "rules", .type = ParamType::kText};  // a file's text

// What the caller gave: one rule, or a file's text. A deletion of nothing in particular is one of everything.
std::vector<FlowMod> parse_mods(const Arguments& arguments, Command command, const PortNames& names) {
  if (arguments.has("rule") && arguments.has("rules"))
    throw RpcError(RpcCode::kInvalidParams, "'rule' is one rule, 'rules' the text of a file: give one of them");
  if (arguments.has("rules")) return parse_flows(arguments.text("rules"), command, names);
  if (!arguments.has("rule") && command != Command::kDelete)
    throw RpcError(RpcCode::kInvalidParams, "parameter 'rule' or 'rules' is missing");
  return {parse_flow(arguments.optional_text("rule").value_or(""), command, names)};
}

// Makes a change; the switch's refusals point into the text, too.
template <typename Make>
void make(const Arguments& arguments, Command command, const PortNames& names, Make&& make_change) {
  try {
    make_change();
  } catch (OfError& error) {
    const bool file = arguments.has("rules");
    const std::string text = file ? arguments.text("rules") : arguments.optional_text("rule").value_or("");
    if (file == (error.line() != 0)) locate_flow(error, text, command, names);
    throw;
  }
}

// Each change is all or nothing: a text that is refused anywhere changes nothing.
template <Command kCommand>
Json change(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const PortNames names = context.instance.port_names(bridge);
  const std::vector<FlowMod> mods = parse_mods(arguments, kCommand, names);
  make(arguments, kCommand, names, [&] { context.instance.flow_mod(bridge, mods); });
  return {{"rules", mods.size()}};
}

Json replace(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const PortNames names = context.instance.port_names(bridge);
  const std::vector<FlowMod> rules = parse_mods(arguments, Command::kAdd, names);
  for (const FlowMod& rule : rules)
    if (rule.command != Command::kAdd)
      throw Error("a replacement is the list of the rules to be: 'delete' and 'modify' have no place in it");
  make(arguments, Command::kAdd, names, [&] { context.instance.flow_replace(bridge, rules); });
  return {{"rules", rules.size()}};
}

constexpr struct {
  std::uint16_t bit;
  const char* name;
} kFlags[] = {{kSendFlowRemoved, "send_flow_rem"},
              {kCheckOverlap, "check_overlap"},
              {kResetCounts, "reset_counts"},
              {kNoPacketCounts, "no_packet_counts"},
              {kNoByteCounts, "no_byte_counts"}};

double seconds(TimePoint::duration time) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) / 1000;
}

Json rule_json(const Rule& rule, TimePoint now, const PortNames& names) {
  Json flags = Json::array();
  for (const auto& flag : kFlags)
    if ((rule.flags & flag.bit) != 0) flags.push_back(flag.name);
  Json json = {{"table", rule.table},
               {"priority", rule.priority},
               {"cookie", fmt::format("{:#x}", rule.cookie)},
               {"match", format_match(rule.match, names)},
               {"actions", format_actions(rule.actions, names)},
               {"packets", rule.counters.packets()},
               {"bytes", rule.counters.bytes()},
               {"duration_s", seconds(now - rule.created)},
               {"used_s", nullptr},
               {"idle_timeout", rule.idle_timeout.load()},
               {"hard_timeout", rule.hard_timeout.load()},
               {"importance", rule.importance},
               {"flags", std::move(flags)}};
  if (rule.counters.packets() != 0) json["used_s"] = seconds(now - rule.counters.used());
  return json;
}

// With `text` the lines that a person reads, else the rules' parts.
Json list(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const PortNames names = context.instance.port_names(bridge);
  const FlowMod filter = parse_flow(arguments.optional_text("rule").value_or(""), Command::kDelete, names);
  const bool text = arguments.flag("text");
  const TimePoint now = Clock::now();
  Json rules = Json::array();
  for (const RuleRef& rule : context.instance.flow_list(bridge, filter)) {
    if (text)
      rules.push_back(format_flow(*rule, now, names));
    else
      rules.push_back(rule_json(*rule, now, names));
  }
  return {{text ? "lines" : "rules", std::move(rules)}};
}

}  // namespace

std::span<const Method> flow_methods() {
  static const std::vector<Method> methods = {
      {"flow.add", {kBridge, kRule, kRules}, change<Command::kAdd>},
      {"flow.mod", {kBridge, kRule, kRules}, change<Command::kModify>},
      {"flow.mod_strict", {kBridge, kRule, kRules}, change<Command::kModifyStrict>},
      {"flow.del", {kBridge, kRule, kRules}, change<Command::kDelete>},
      {"flow.del_strict", {kBridge, kRule, kRules}, change<Command::kDeleteStrict>},
      {"flow.replace", {kBridge, kRule, kRules}, replace},
      {"flow.list", {kBridge, kRule, {.name = "text", .type = ParamType::kFlag}}, list},
  };
  return methods;
}

}  // namespace shunt
