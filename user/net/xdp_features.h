// SPDX-License-Identifier: Apache-2.0
// What XDP can do on an interface, as its driver declares it (the netdev family of generic netlink, since Linux 6.3).
// Threads: any; asks in the calling thread's namespace.
#pragma once

#include <optional>

#include "user/base/strong_types.h"

namespace shunt {

struct XdpFeatures {
  bool native = false;           // XDP in the driver
  bool redirect_target = false;  // frames can be redirected to it (ndo_xdp_xmit), at the moment
  bool zero_copy = false;        // AF_XDP without copies
  bool multi_buffer = false;     // receives frames of several buffers
  bool redirect_frags = false;   // such frames can be redirected to it
};

// Nothing where the kernel does not tell (older than 6.3, or no such interface).
[[nodiscard]] std::optional<XdpFeatures> xdp_features(Ifindex index);

}  // namespace shunt
