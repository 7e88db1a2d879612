// SPDX-License-Identifier: Apache-2.0
// What a command can ask about a bridge's controllers. OpenFlow (user/openflow/openflow.h) is the real one; commands
// and their tests know only this. A refusal throws Error. Threads: control.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "user/control/openflow_settings.h"

namespace shunt {

struct BridgeOpenFlow {
  std::uint64_t datapath_id = 0;
  FailMode fail_mode = FailMode::kStandalone;
};

struct ControllerStatus {
  std::string target;
  bool connected = false;
  std::string version, role;     // where connected
  std::chrono::seconds since{};  // in this state
  std::string last_error;        // why it is not connected
  std::uint64_t lost = 0;        // messages that it did not take in time
  std::size_t connections = 0;   // of a target that is listened on
  unsigned auxiliary = 0, auxiliary_connected = 0;
};

class ControllerApi {
 public:
  virtual ~ControllerApi() = default;
  virtual void add_controller(const std::string& bridge, const ControllerSettings& controller) = 0;
  virtual void del_controller(const std::string& bridge, const std::optional<std::string>& target) = 0;  // none: all
  [[nodiscard]] virtual std::vector<ControllerStatus> controllers(const std::string& bridge) const = 0;
  [[nodiscard]] virtual BridgeOpenFlow bridge_openflow(const std::string& bridge) const = 0;
  virtual void set_bridge_openflow(const std::string& bridge, std::optional<std::uint64_t> datapath_id,
                                   std::optional<FailMode> fail_mode) = 0;

 protected:
  ControllerApi() = default;
  ControllerApi(const ControllerApi&) = default;
  ControllerApi& operator=(const ControllerApi&) = default;
};

}  // namespace shunt
