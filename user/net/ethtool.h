// SPDX-License-Identifier: Apache-2.0
// An interface's driver, offloads ("features") and queues, by ethtool's ioctl. Features go by the kernel's names:
// "rx-gro", "rx-lro", "rx-gro-hw", "tx-vlan-hw-insert", "rx-vlan-hw-parse" ...; feature_label() gives those that
// ethtool(8) prints.
//
// Interfaces are asked for by name in the namespace that the calling thread was in when the object was made.
// Errors: std::system_error naming the operation and the interface. Threads: one object, one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/unique_fd.h"

namespace shunt {

struct Feature {
  bool active = false;     // in force
  bool requested = false;  // wanted by the user; in force only where its conditions are met
  bool available = false;  // can be changed
};

struct Channels {
  unsigned rx = 0, tx = 0, combined = 0;
  unsigned max_rx = 0, max_tx = 0, max_combined = 0;
  [[nodiscard]] unsigned receive() const { return rx + combined; }
  [[nodiscard]] unsigned transmit() const { return tx + combined; }
};

class Ethtool {
 public:
  Ethtool();

  [[nodiscard]] std::map<std::string, Feature, std::less<>> features(const std::string& interface);
  // Asks for a feature. Returns whether it is so afterwards (requested and active as asked): a driver may know better.
  bool set_feature(const std::string& interface, std::string_view feature, bool on);
  [[nodiscard]] std::string driver(const std::string& interface);  // "veth", "tun", "igb"
  // Nothing where the driver does not tell.
  [[nodiscard]] std::optional<Channels> channels(const std::string& interface);
  void set_channels(const std::string& interface, const Channels& channels);
  // Receive rings by ETHTOOL_GRXRINGS, for drivers that do not tell channels.
  [[nodiscard]] std::optional<unsigned> receive_rings(const std::string& interface);
  struct Speed {
    std::uint32_t megabits = 0;  // 0: unknown
    bool full_duplex = false;
  };
  [[nodiscard]] std::optional<Speed> speed(const std::string& interface);

 private:
  int request(const std::string& interface, void* command) const;  // 0 or errno
  const std::vector<std::string>& feature_names(const std::string& interface);

  UniqueFd socket_;
  std::vector<std::string> feature_names_;  // the same for every interface of a kernel
};

// "rx-gro" -> "gro", "tx-vlan-hw-insert" -> "txvlan": what a user types to `ethtool -K`.
[[nodiscard]] std::string_view feature_label(std::string_view feature);

}  // namespace shunt
