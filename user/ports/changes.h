// SPDX-License-Identifier: Apache-2.0
// What a port changed outside Shunt: in words for users, and what takes it back. Both can be written down, so that a
// later daemon restores what one that was killed has changed. Threads: control.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "user/base/strong_types.h"
#include "user/net/ethtool.h"
#include "user/net/netlink.h"
#include "user/ports/veth_peer.h"

namespace shunt {

// Of an interface of ours, looked up by index: it may have another name by then.
struct RemoveLink {};
struct SetDown {};
struct LeavePromiscuous {};
struct SetChannels {
  Channels before;
};
struct SetFeature {
  std::string feature;
  bool on = false;
};
// Of a veth's peer: as it is reached then by our end, else where it was.
struct SetPeerFeature {
  PeerPlace peer;
  std::string feature;
  bool on = false;
};
using Undo = std::variant<RemoveLink, SetDown, LeavePromiscuous, SetChannels, SetFeature, SetPeerFeature>;

class Changes {
 public:
  // `key` names what was changed ("peer rx-gro"): recorded twice, it is still restored once, to what it was first.
  // `link` is our interface; where it has gone with what was changed, that is no error.
  void record(std::string key, std::string text, Ifindex link, Undo undo);

  [[nodiscard]] std::vector<std::string> texts() const;  // oldest first
  void undo_all() noexcept;                              // newest first; nothing is left
  void forget() noexcept { changes_.clear(); }

  // JSON; empty where there are none. parse() throws Error.
  [[nodiscard]] std::string format() const;
  [[nodiscard]] static Changes parse(std::string_view text);

 private:
  struct Change {
    std::string key;
    std::string text;
    Ifindex link;
    Undo undo;
  };
  std::vector<Change> changes_;
};

}  // namespace shunt
