// SPDX-License-Identifier: Apache-2.0
// How full the bounded things are - flow table, lists of masks, frames, rings, tables of rules and MACs, miss budgets -
// and who is told before one of them is full: from 80 % on, once, until it has fallen below 70 %.
//
// Threads: control.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "user/base/clock.h"
#include "user/control/instance_api.h"

namespace shunt {

struct Fill {
  std::string resource;             // "flows"
  std::string bridge{}, port{};     // whose it is; empty: the instance's
  std::optional<unsigned> table{};  // of `rules`
  std::uint64_t used = 0, capacity = 0;
  std::string heaviest{};  // the port that uses the most of it, "br0/veth1"; empty: not a matter of ports
  std::string cost{};      // what happens when it is full
  std::string remedy{};    // what an operator can do
  bool nearly_full = false;

  [[nodiscard]] double ratio() const {
    return capacity == 0 ? 0 : static_cast<double>(used) / static_cast<double>(capacity);
  }
  [[nodiscard]] std::string whose() const;     // "flows", "rules of table 3 of bridge br0"
  [[nodiscard]] std::string summary() const;   // whose, how full, the heaviest port
  [[nodiscard]] std::string describe() const;  // one line: that, the cost, the remedy
};

// Every resource that a user can learn of: for documentation and tests.
struct FillKind {
  std::string_view resource, meaning;
};
[[nodiscard]] std::span<const FillKind> fill_kinds();

class FillWatch {
 public:
  // What the instance's figures say, with `nearly_full` as the last watch() left it. Misses are counted from one
  // watch() to the next.
  [[nodiscard]] std::vector<Fill> fills(const InstanceStats& stats) const;
  // Once a second: decides anew, and tells of each that has become nearly full, or ceased to be.
  void watch(const InstanceStats& stats, TimePoint now, const std::function<void(const Fill&)>& tell);

 private:
  using Name = std::tuple<std::string, std::string, std::string, std::optional<unsigned>>;
  [[nodiscard]] static Name name_of(const Fill& fill) { return {fill.resource, fill.bridge, fill.port, fill.table}; }
  void measure_misses(const InstanceStats& stats, TimePoint now);
  [[nodiscard]] std::string busiest(const InstanceStats& stats) const;

  std::set<Name> nearly_full_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> upcalls_, rates_;  // by bridge and port
  TimePoint measured_{};
};

}  // namespace shunt
