// SPDX-License-Identifier: Apache-2.0
// What the state consists of: rows of text. A row belongs to a bridge and has an id that it keeps; what it says is in
// the syntax that users know, so that the schema does not follow every field of the switch.
//
// Threads: values; any.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shunt {

enum class StateTable : std::uint8_t {
  kBridges,  // id: the bridge's own; settings as JSON
  kPorts,    // id: datapath port; settings as JSON
  kTables,   // id: table; settings as JSON
  kMeters,   // id: meter; as `meter list` shows it
  kGroups,   // id: group; as `group list` shows it
  kRules,    // id: counts up; as `flow add` takes it, ports by number
  kMacs,     // id: VLAN << 48 | MAC; "PORT", "PORT static"
  kHistory,  // of no bridge (0); what `config undo` brings back
};
inline constexpr std::array<std::string_view, 8> kStateTables{"bridges", "ports", "tables", "meters",
                                                              "groups",  "rules", "macs",   "history"};

// Of rules, in milliseconds of the state's clock (state_clock.h); 0 elsewhere.
struct RowTimes {
  std::int64_t created = 0, modified = 0, used = 0;
  friend bool operator==(const RowTimes&, const RowTimes&) = default;
};

struct StateRow {
  std::uint32_t bridge = 0;
  std::int64_t id = 0;
  std::string text;
  RowTimes times{};
  friend bool operator==(const StateRow&, const StateRow&) = default;
};

// Everything that was committed; rows ascend by bridge, id.
using StateImage = std::map<StateTable, std::vector<StateRow>>;

// Text, or what makes it when it is written: formatting thousands of rules is not for the thread that changes them.
using RowText = std::variant<std::string, std::function<std::string()>>;

struct StateOp {
  enum class Kind : std::uint8_t {
    kPut,           // adds or replaces a row
    kRemove,        // a row
    kRemoveRows,    // a bridge's rows of a table
    kRemoveBridge,  // all rows of a bridge, in every table
    kClear,         // all rows but the history's
  };
  Kind kind = Kind::kPut;
  StateTable table = StateTable::kBridges;
  std::uint32_t bridge = 0;
  std::int64_t id = 0;
  RowText text{};
  RowTimes times{};
};

// What is committed together or not at all.
using StateBatch = std::vector<StateOp>;

}  // namespace shunt
