// SPDX-License-Identifier: Apache-2.0
// Who watches the switch (`shunt monitor`): hears of ports, MACs and rules as they come, change and go. Where nobody
// watches, nothing is made for it.
//
// Threads: control.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "user/base/strong_types.h"
#include "user/l2/fdb.h"
#include "user/pipeline/port_names.h"
#include "user/pipeline/switch.h"
#include "user/worker/events.h"

namespace shunt {

// Something that happened. Fields that its subject has not are empty.
struct SwitchEvent {
  enum class Subject : std::uint8_t { kPort, kMac, kRule, kController, kMissed };
  Subject subject = Subject::kPort;
  std::string_view what{};  // port: attached, detached, up, down, gone, back, renamed, changed; mac: learned, moved,
                            // aged, evicted, removed, set; rule: added, replaced, removed; controller: connected, lost
  std::string bridge{};
  std::string port{};    // its name, or where the MAC is (was)
  PortNo number{};       // of that port
  std::string before{};  // the port's name, or the MAC's port, before
  FdbKey mac{};
  std::string rule{};        // a line of `shunt flow list`
  std::string controller{};  // its target, "tcp:192.0.2.1:6653"
  std::string reason{};      // a rule was removed: idle-timeout, hard-timeout, delete, ...; a controller was lost
  std::uint64_t count = 0;   // of MAC events that were missed
};

using Watcher = std::function<void(const SwitchEvent& event)>;

class Watchers final : public RuleObserver {
 public:
  // `events` gets to know whether MACs are watched.
  Watchers(const Switch& sw, EventQueue& events) : switch_{sw}, events_{events} {}

  // `subjects`: bits 1 << Subject. The number is for remove().
  std::uint64_t add(unsigned subjects, Watcher watcher);
  void remove(std::uint64_t number);

  // As a port stands now; without an interface it is gone.
  void port_stands(BridgeId bridge, const BridgePort& port, bool has_interface);
  void port_went(BridgeId bridge, const BridgePort& port);
  void mac_changed(const MacEvent& event);
  void macs_missed(std::uint64_t count);
  void tell(const SwitchEvent& event) const;

  void rule_added(BridgeId bridge, const RuleRef& rule) override;
  void rule_removed(BridgeId bridge, const Rule& rule, std::optional<RemovedReason> reason) override;
  void rule_touched(BridgeId, const RuleRef&) override {}

 private:
  struct One {
    unsigned subjects;
    Watcher watcher;
  };
  struct PortThen {
    std::string name;
    bool up, has_interface;
  };

  [[nodiscard]] bool watched(SwitchEvent::Subject subject) const;
  void tell_rule(BridgeId bridge, std::string_view what, const Rule& rule, std::string_view reason);
  void refresh_names(const BridgeState& bridge);

  const Switch& switch_;
  EventQueue& events_;
  std::map<std::uint64_t, One> watchers_;
  std::uint64_t next_number_ = 1;
  std::map<DpPort, PortThen> ports_;  // of all bridges, also where nobody watches
  // A rule that another takes the place of: the next that is added is that one.
  std::optional<std::uint8_t> replaced_;  // its table
  // Names for rules' texts, made anew where a bridge or its ports changed.
  PortNames names_;
  BridgeId names_of_{};
  std::uint64_t names_version_ = 0;
};

}  // namespace shunt
