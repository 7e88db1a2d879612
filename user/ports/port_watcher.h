// SPDX-License-Identifier: Apache-2.0
// What a link's event means for the ports: pure decisions, no system call. Ports are known by their datapath port,
// which they keep whatever becomes of their interface: a port whose interface vanished waits for one of the same name.
//
//   for (const LinkEvent& event : monitor.read())
//     for (const PortAction& action : watcher.on_event(event)) ...
//
// Invariant: two ports never follow the same interface.
// Threads: control.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "user/base/strong_types.h"
#include "user/net/link_monitor.h"

namespace shunt {

struct PortAction {
  enum class Kind {
    kVanished,  // the interface is gone: ifindex 0, XDP state forgotten, PortDevice::restore()
    kReturned,  // an interface of the port's name is there: prepare it, then adopted() or keep waiting
    kRenamed,   // the port's name is link.name from now on
    kState,     // up or down: is_usable(link)
    kMtu,       // link.mtu
    kPeer,      // a veth's peer moved, or it is up anew: PortDevice::recheck()
  };
  Kind kind;
  DpPort port;
  Link link;             // as it is now; kVanished: as it was
  std::string old_name;  // of kRenamed
};

class PortWatcher {
 public:
  // Follows a port's interface from now on. The same port again: what it knew is replaced (after kReturned was acted
  // on).
  void adopt(DpPort port, const Link& link);
  // A port without an interface, which waits for one of this name.
  void await(DpPort port, const std::string& name);
  void forget(DpPort port);

  // In the order in which they are to be carried out. After kReturned the port waits on until adopt() is called, and is
  // offered the interface again at its next event: a failed attempt needs no bookkeeping by the caller.
  [[nodiscard]] std::vector<PortAction> on_event(const LinkEvent& event);

 private:
  struct Port {
    std::string name;
    Ifindex ifindex;  // 0: waiting
    bool usable = false;
    std::uint32_t mtu = 0;
    Ifindex peer;
    std::optional<std::int32_t> peer_netns;
  };
  std::map<DpPort, Port>::iterator find(Ifindex index);
  void offer(const Link& link, std::vector<PortAction>& actions);
  void compare(DpPort id, Port& port, const Link& link, std::vector<PortAction>& actions);

  std::map<DpPort, Port> ports_;
};

}  // namespace shunt
