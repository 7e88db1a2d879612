// SPDX-License-Identifier: Apache-2.0
// A veth's other end, wherever it is: in this namespace, or in one that has to be found and entered.
// Threads: control.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "user/net/ethtool.h"
#include "user/net/netlink.h"
#include "user/net/netns.h"

namespace shunt {

// Where a peer was, to find it again when the end that we had is gone.
struct PeerPlace {
  std::optional<NamespaceId> netns;  // none: ours
  Ifindex index;
};

// What an operator knows a peer by, fit to be shown. `place`: "netns blue", "process 123", the path of another mount;
// empty: ours.
struct PeerName {
  std::string interface, place;
};

class VethPeer {
 public:
  // Throws Error saying why it cannot be reached: no namespace found, not ours to enter, gone.
  [[nodiscard]] static VethPeer reach(const Link& veth);
  [[nodiscard]] static VethPeer reach(const PeerPlace& place);

  // As the kernel takes it, for calls: whoever rules the peer's namespace chose its bytes. To be shown: known_as().
  [[nodiscard]] const std::string& name() const { return link_.name; }
  [[nodiscard]] bool is_up() const { return link_.up; }  // when it was reached
  [[nodiscard]] bool runs_xdp() const { return link_.xdp_program != 0; }
  [[nodiscard]] PeerPlace place() const;
  [[nodiscard]] PeerName known_as() const;
  // "peer veth1", "peer eth0 in /run/netns/blue", "peer eth0 in the namespace of process 123".
  [[nodiscard]] std::string describe() const;
  // In front of a command that is shown to be pasted here, to be run there: "ip netns exec blue ",
  // "nsenter --net=/proc/123/ns/net "; empty: it is here.
  [[nodiscard]] std::string enter() const;

  // Runs `function` in the peer's namespace, and throws what it throws.
  void run(const std::function<void(Ethtool&)>& function) const;

 private:
  VethPeer() = default;
  void look_up(Ifindex index);

  Link link_;
  std::optional<Namespace> netns_;  // none: ours
};

}  // namespace shunt
