// SPDX-License-Identifier: Apache-2.0
#include "user/ports/port_watcher.h"

#include <algorithm>
#include <utility>

namespace shunt {

void PortWatcher::adopt(DpPort port, const Link& link) {
  ports_[port] = {link.name, link.index, is_usable(link), link.mtu, link.peer, link.peer_netns};
}

void PortWatcher::await(DpPort port, const std::string& name) {
  ports_[port] = {};
  ports_[port].name = name;
}

void PortWatcher::forget(DpPort port) { ports_.erase(port); }

std::vector<PortAction> PortWatcher::on_event(const LinkEvent& event) {
  std::vector<PortAction> actions;
  const auto followed = find(event.link.index);
  if (event.kind == LinkEvent::Kind::kGone) {
    if (followed == ports_.end()) return {};
    followed->second.ifindex = {};
    actions.push_back({PortAction::Kind::kVanished, followed->first, event.link, {}});
  } else if (followed != ports_.end()) {
    compare(followed->first, followed->second, event.link, actions);
  } else {
    offer(event.link, actions);
  }
  return actions;
}

std::map<DpPort, PortWatcher::Port>::iterator PortWatcher::find(Ifindex index) {
  return std::ranges::find_if(ports_, [&](const auto& entry) { return entry.second.ifindex == index; });
}

// An interface that no port follows: one that waits for its name may have it.
void PortWatcher::offer(const Link& link, std::vector<PortAction>& actions) {
  const auto waiting = std::ranges::find_if(
      ports_, [&](const auto& entry) { return entry.second.ifindex == Ifindex{} && entry.second.name == link.name; });
  if (waiting != ports_.end()) actions.push_back({PortAction::Kind::kReturned, waiting->first, link, {}});
}

void PortWatcher::compare(DpPort id, Port& port, const Link& link, std::vector<PortAction>& actions) {
  const bool usable = is_usable(link);
  const bool moved = port.peer != link.peer || port.peer_netns != link.peer_netns;
  if (port.name != link.name) actions.push_back({PortAction::Kind::kRenamed, id, link, port.name});
  // A peer that comes up may have been away, or have been given other settings: looked at before frames are sent to it.
  if (moved || (usable && !port.usable)) actions.push_back({PortAction::Kind::kPeer, id, link, {}});
  if (port.mtu != link.mtu) actions.push_back({PortAction::Kind::kMtu, id, link, {}});
  if (port.usable != usable) actions.push_back({PortAction::Kind::kState, id, link, {}});
  adopt(id, link);
}

}  // namespace shunt
