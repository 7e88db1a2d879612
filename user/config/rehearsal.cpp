// SPDX-License-Identifier: Apache-2.0
#include "user/config/rehearsal.h"

#include <set>

#include "user/base/of_error.h"
#include "user/config/toml_reader.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"
#include "user/pipeline/rule_text.h"

namespace shunt {
namespace {

// Runs `change`; a refusal is told by the place of the thing that it is about. `locate` sets its column in that thing's
// text.
template <typename Thing, typename Change, typename Locate>
void try_list(const ConfigList<Thing>& list, Change&& change, Locate&& locate) {
  try {
    change();
  } catch (OfError& error) {
    if (error.line() == 0 || error.line() > list.places.size()) throw;
    ConfigPlace place = list.places[error.line() - 1];
    error.set_line(0);
    locate(error, place.text);
    if (error.column() > 0) place.column += error.column() - 1;
    TomlReader::refuse(place, error.what(), error.code());
  }
}

template <typename Thing, typename Key>
void refuse_twice(const ConfigList<Thing>& list, Key&& key) {
  std::set<std::uint32_t> seen;
  for (std::size_t i = 0; i < list.places.size(); ++i)
    if (!seen.insert(key(list.things[i])).second)
      TomlReader::refuse(list.places[i], fmt::format("{} is there twice", key(list.things[i])));
}

// The list that counts: the file's, else what runs; nothing in a bridge that is new.
template <typename Thing>
ConfigList<Thing> list_of(const std::optional<ConfigList<Thing>>& wanted,
                          const std::optional<ConfigList<Thing>>* running) {
  if (wanted) return *wanted;
  return running != nullptr && *running ? ConfigList<Thing>{(*running)->things, {}} : ConfigList<Thing>{};
}

void rehearse_bridge(Switch& sw, const std::string& name, const BridgeConfig& wanted, const BridgeConfig* running) {
  const BridgeId id = sw.add_bridge(name);
  const TimePoint now = Clock::now();
  const PortNames names{port_names(name, wanted)};

  const auto meters = list_of(wanted.meters, running == nullptr ? nullptr : &running->meters);
  refuse_twice(meters, [](const MeterMod& meter) { return meter.config.id; });
  try_list(
      meters, [&] { sw.apply_meter(id, meters.things, now); },
      [](OfError& error, const std::string& text) { locate_meter(error, text); });

  const auto groups = list_of(wanted.groups, running == nullptr ? nullptr : &running->groups);
  refuse_twice(groups, [](const GroupMod& group) { return group.group; });
  std::vector<GroupMod> mods;
  for (const GroupMod& group : groups.things) {
    GroupMod empty;
    empty.group = group.group;
    empty.line = group.line;
    mods.push_back(std::move(empty));
  }
  for (GroupMod group : groups.things) {
    group.command = GroupMod::Command::kModify;
    mods.push_back(std::move(group));
  }
  try_list(
      groups, [&] { sw.apply_group(id, mods, now); },
      [&](OfError& error, const std::string& text) { locate_group(error, text, GroupMod::Command::kAdd, names); });

  if (!wanted.rules) return;
  const auto* tables = wanted.tables                           ? &*wanted.tables
                       : running != nullptr && running->tables ? &*running->tables
                                                               : nullptr;
  (void)sw.replace(id, {}, now);
  if (tables != nullptr)
    for (const auto& [number, table] : *tables) (void)sw.set_table(id, number, table);
  try_list(
      *wanted.rules, [&] { (void)sw.replace(id, wanted.rules->things, now); },
      [&](OfError& error, const std::string& text) { locate_flow(error, text, FlowMod::Command::kAdd, names); });
}

}  // namespace

void rehearse(const SwitchConfig& running, const SwitchConfig& wanted) {
  Switch sw;
  for (const auto& [name, bridge] : wanted.bridges) {
    const auto now = running.bridges.find(name);
    rehearse_bridge(sw, name, bridge, now == running.bridges.end() ? nullptr : &now->second);
  }
}

}  // namespace shunt
