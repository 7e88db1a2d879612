// SPDX-License-Identifier: Apache-2.0
// The lane: a veth pair of an instance's own, on which TC hands to XDP what it leaves to it (bpf/lane.bpf.h). What goes
// in at the entry comes out at the exit as a wire would have carried it, because the entry has no offloads: the kernel
// cuts what is too long into segments (the exit's XDP program sees to that), completes checksums, and puts tags into
// frames.
//
// Threads: control.
#pragma once

#include <string>

#include "user/net/netlink.h"

namespace shunt {

class LaneDevice {
 public:
  // Makes the pair, with so many queues, or takes over the one that a killed daemon of the instance left behind. Both
  // ends are up. Throws std::system_error or Error, and leaves nothing behind.
  LaneDevice(const std::string& instance, unsigned queues);
  ~LaneDevice();  // removes it, unless it is kept
  LaneDevice(const LaneDevice&) = delete;
  LaneDevice& operator=(const LaneDevice&) = delete;

  [[nodiscard]] const Link& entry() const { return entry_; }
  [[nodiscard]] const Link& exit() const { return exit_; }
  [[nodiscard]] unsigned queues() const { return queues_; }
  void keep() noexcept { kept_ = true; }

  // What a daemon of the instance that was killed left behind, and this one has no use for.
  static void remove_left_behind(const std::string& instance);

 private:
  void find_or_make(const std::string& instance);
  void make_fit();

  Link entry_, exit_;
  unsigned queues_;
  bool kept_ = false;
};

// The alias of both ends begins so; the instance's name follows.
inline constexpr std::string_view kLaneAlias = "shunt lane: ";

}  // namespace shunt
