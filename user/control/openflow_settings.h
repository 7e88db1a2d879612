// SPDX-License-Identifier: Apache-2.0
// What a bridge is told of OpenFlow: which controllers it has, and how it acts towards them. Kept over restarts, part
// of the configuration file. Threads: values; any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shunt {

// What happens where no controller is connected: the bridge acts as a learning switch, or just by its rules.
enum class FailMode : std::uint8_t { kStandalone, kSecure };

struct ControllerSettings {
  static constexpr unsigned kMaxAuxiliary = 8;
  std::string target;      // "tcp:192.0.2.1:6653"
  unsigned auxiliary = 0;  // connections beside the main one (OpenFlow 1.3.5 section 6.3.5)
  friend bool operator==(const ControllerSettings&, const ControllerSettings&) = default;
};

struct OpenFlowSettings {
  std::optional<std::uint64_t> datapath_id;  // none: that of the LOCAL port's address
  FailMode fail_mode = FailMode::kStandalone;
  std::vector<ControllerSettings> controllers;  // by target, each once
  friend bool operator==(const OpenFlowSettings&, const OpenFlowSettings&) = default;
};

}  // namespace shunt
