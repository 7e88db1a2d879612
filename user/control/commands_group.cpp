// SPDX-License-Identifier: Apache-2.0
// group.add, group.mod, group.add_or_mod, group.del, group.insert_bucket, group.remove_bucket, group.list, group.stats
#include <chrono>

#include "user/control/commands.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/group_text.h"

namespace shunt {
namespace {

using Command = GroupMod::Command;

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kGroup{.name = "group", .type = ParamType::kText};    // one
const ParamSpec kGroups{.name = "groups", .type = ParamType::kText};  // a file's text

// What the caller gave: one group, or a file's text. A deletion of nothing in particular is one of every group.
std::vector<GroupMod> parse_mods(const Arguments& arguments, Command command, const PortNames& names) {
  if (arguments.has("group") && arguments.has("groups"))
    throw RpcError(RpcCode::kInvalidParams, "'group' is one group, 'groups' the text of a file: give one of them");
  if (arguments.has("groups")) return parse_groups(arguments.text("groups"), command, names);
  if (!arguments.has("group") && command != Command::kDelete)
    throw RpcError(RpcCode::kInvalidParams, "parameter 'group' or 'groups' is missing");
  return {parse_group(arguments.optional_text("group").value_or(""), command, names)};
}

// Each change is all or nothing: a text that is refused anywhere changes nothing.
template <Command kCommand>
Json change(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const PortNames names = context.instance.port_names(bridge);
  const std::vector<GroupMod> mods = parse_mods(arguments, kCommand, names);
  try {
    context.instance.group_mod(bridge, mods);
  } catch (OfError& error) {  // the switch's refusals point into the text, too
    const bool file = arguments.has("groups");
    const std::string text = file ? arguments.text("groups") : arguments.optional_text("group").value_or("");
    if (file == (error.line() != 0)) locate_group(error, text, kCommand, names);
    throw;
  }
  return {{"groups", mods.size()}};
}

Json bucket_json(const Bucket& bucket, const PortNames& names) {
  Json json = {{"id", bucket.id},
               {"weight", bucket.weight},
               {"watch_port", nullptr},
               {"watch_group", nullptr},
               {"actions", format_actions(bucket.actions, names)},
               {"packets", bucket.counters.packets()},
               {"bytes", bucket.counters.bytes()}};
  if (bucket.watch_port) {
    std::string port;
    append_port(port, *bucket.watch_port, names);
    json["watch_port"] = port;
  }
  if (bucket.watch_group) json["watch_group"] = *bucket.watch_group;
  return json;
}

enum class Line { kSpec, kStats };

// `text` is the line that a person reads: of the group, or of its counters.
template <Line kLine>
Json list(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const PortNames names = context.instance.port_names(bridge);
  const auto wanted = arguments.integer("id");
  const TimePoint now = Clock::now();
  Json groups = Json::array();
  for (const GroupStatus& status : context.instance.group_list(bridge)) {
    const Group& group = *status.group;
    if (wanted && group.id != *wanted) continue;
    Json buckets = Json::array();
    for (const BucketRef& bucket : group.buckets) buckets.push_back(bucket_json(*bucket, names));
    groups.push_back({{"id", group.id},
                      {"type", group_type_name(group.type)},
                      {"selection", nullptr},
                      {"references", status.references},
                      {"packets", group.counters.packets()},
                      {"bytes", group.counters.bytes()},
                      {"duration_s", std::chrono::duration<double>(now - group.created).count()},
                      {"buckets", std::move(buckets)},
                      {"text", kLine == Line::kSpec ? format_group(group, names)
                                                    : format_group_stats(group, status.references, now)}});
    if (group.type == GroupType::kSelect)
      groups.back()["selection"] = group.selection.method == Selection::Method::kHash ? "hash" : "dp_hash";
  }
  if (wanted && groups.empty()) throw Error("bridge '{}' has no group {}", bridge, *wanted);
  return {{"groups", std::move(groups)}};
}

}  // namespace

std::span<const Method> group_methods() {
  static const ParamSpec id{.name = "id", .type = ParamType::kInteger, .min = 0, .max = kGroupMax};
  static const std::vector<Method> methods = {
      {"group.add", {kBridge, kGroup, kGroups}, change<Command::kAdd>},
      {"group.mod", {kBridge, kGroup, kGroups}, change<Command::kModify>},
      {"group.add_or_mod", {kBridge, kGroup, kGroups}, change<Command::kAddOrModify>},
      {"group.del", {kBridge, kGroup, kGroups}, change<Command::kDelete>},
      {"group.insert_bucket", {kBridge, kGroup, kGroups}, change<Command::kInsertBucket>},
      {"group.remove_bucket", {kBridge, kGroup, kGroups}, change<Command::kRemoveBucket>},
      {"group.list", {kBridge, id}, list<Line::kSpec>},
      {"group.stats", {kBridge, id}, list<Line::kStats>},
  };
  return methods;
}

}  // namespace shunt
