// SPDX-License-Identifier: Apache-2.0
// Rows of the state as text, both ways: bridges, ports and tables as JSON under the names of `shunt … --json`, rules in
// rule syntax. parse(format(x)) is x; parsing throws Error. Ports in rules are numbers: they do not change with names.
// Threads: any.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "user/control/instance_api.h"
#include "user/pipeline/switch.h"

namespace shunt {

struct StoredBridge {
  std::string name;
  VlanSet flood_vlans;
  std::size_t mac_limit = Fdb::kDefaultLimit;
  std::chrono::seconds mac_ageing = Fdb::kDefaultAgeing;
  OpenFlowSettings openflow{};
};
std::string format_stored(const StoredBridge& bridge);
StoredBridge parse_stored_bridge(std::string_view text);

struct StoredPort {
  PortRequest request;  // number always given; create_tap: the interface is one that Shunt makes
  // The interface that `changes` are of, and the inode of its namespace; 0: there was none.
  Ifindex ifindex;
  std::uint64_t netns = 0;
  std::string changes;  // what was changed outside Shunt and is not restored (Changes::format)
};
std::string format_stored(const StoredPort& port);
StoredPort parse_stored_port(std::string_view text);

std::string format_stored(const TableConfig& table);
TableConfig parse_stored_table(std::string_view text);

std::string format_stored(const Rule& rule);
FlowMod parse_stored_rule(std::string_view text);

// A MAC's row: where it is, and its id.
std::string format_stored(PortNo port, bool is_static);
FdbEntry parse_stored_mac(std::int64_t id, std::string_view text);
std::int64_t id_of(FdbKey key);

}  // namespace shunt
