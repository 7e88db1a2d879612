// SPDX-License-Identifier: Apache-2.0
// table.list, table.set
#include <algorithm>
#include <array>

#include "user/control/commands.h"

namespace shunt {
namespace {

constexpr std::uint64_t kMaxRules = 0xffffffff;
constexpr std::size_t kMaxName = 31;  // OpenFlow: OFP_MAX_TABLE_NAME_LEN, with the end

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};

constexpr std::array<std::string_view, 3> kMisses{"drop", "controller", "continue"};  // by TableConfig::Miss

Json list(const CommandContext& context, const Arguments& arguments) {
  Json tables = Json::array();
  for (const TableStatus& status : context.instance.table_list(arguments.text("bridge"))) {
    Json table = {{"table", status.table},        {"name", status.config.name},
                  {"rules", status.rules},        {"max_rules", nullptr},
                  {"evict", status.config.evict}, {"miss", kMisses[static_cast<std::size_t>(status.config.miss)]},
                  {"lookups", status.lookups},    {"matches", status.matches}};
    if (status.config.max_rules) table["max_rules"] = *status.config.max_rules;
    tables.push_back(std::move(table));
  }
  return {{"tables", std::move(tables)}};
}

TableConfig changed_config(TableConfig config, const Arguments& arguments) {
  if (const auto name = arguments.optional_text("name")) {
    if (name->size() > kMaxName)
      throw RpcError(RpcCode::kInvalidParams, "parameter 'name' is too long: at most {} bytes", kMaxName);
    config.name = *name;
  }
  if (const auto limit = arguments.integer("max_rules")) config.max_rules = static_cast<std::uint32_t>(*limit);
  if (arguments.flag("no_limit")) config.max_rules.reset();
  if (arguments.has("evict")) config.evict = arguments.flag("evict");
  if (const auto miss = arguments.optional_text("miss"))
    config.miss = static_cast<TableConfig::Miss>(std::ranges::find(kMisses, *miss) - kMisses.begin());
  return config;
}

// What is not given stays.
Json set(const CommandContext& context, const Arguments& arguments) {
  const std::array<std::string_view, 5> settings{"name", "max_rules", "no_limit", "evict", "miss"};
  if (std::ranges::none_of(settings, [&](std::string_view name) { return arguments.has(name); }))
    throw RpcError(RpcCode::kInvalidParams, "nothing to set: give 'max_rules', 'evict', 'miss' or 'name'");
  if (arguments.has("max_rules") && arguments.flag("no_limit"))
    throw RpcError(RpcCode::kInvalidParams, "give 'max_rules' or 'no_limit', not both");
  const std::string& bridge = arguments.text("bridge");
  const auto number = static_cast<std::uint8_t>(*arguments.integer("table"));
  TableConfig config;
  for (const TableStatus& status : context.instance.table_list(bridge))
    if (status.table == number) config = status.config;
  context.instance.set_table(bridge, number, changed_config(config, arguments));
  return Json::object();
}

}  // namespace

std::span<const Method> table_methods() {
  static const std::vector<Method> methods = {
      {"table.list", {kBridge}, list},
      {"table.set",
       {kBridge,
        {.name = "table", .type = ParamType::kInteger, .required = true, .min = 0, .max = kTableCount - 1},
        {.name = "name", .type = ParamType::kText},
        {.name = "max_rules", .type = ParamType::kInteger, .min = 0, .max = kMaxRules},
        {.name = "no_limit", .type = ParamType::kFlag},
        {.name = "evict", .type = ParamType::kFlag},
        {.name = "miss", .type = ParamType::kChoice, .choices = "drop|controller|continue"}},
       set},
  };
  return methods;
}

}  // namespace shunt
