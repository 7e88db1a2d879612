// SPDX-License-Identifier: Apache-2.0
// What a port changed outside Shunt: in words for users, and with what takes it back.
// Threads: control.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "user/base/strong_types.h"
#include "user/net/netlink.h"

namespace shunt {

class Changes {
 public:
  // `key` names what was changed ("peer rx-gro"): recorded twice, it is still restored once, to what it was first.
  // `undo` may throw where its object has gone; that is no error.
  void record(std::string key, std::string text, std::function<void()> undo);
  // The same for a change of a link: `undo` gets the link as it is then, and is not called where it has gone.
  void record(std::string key, std::string text, Ifindex index, std::function<void(Netlink&, const Link&)> undo);

  [[nodiscard]] std::vector<std::string> texts() const;  // oldest first
  void undo_all() noexcept;                              // newest first; nothing is left
  void forget() noexcept { changes_.clear(); }

 private:
  struct Change {
    std::string key;
    std::string text;
    std::function<void()> undo;
  };
  std::vector<Change> changes_;
};

}  // namespace shunt
