// SPDX-License-Identifier: Apache-2.0
#include "user/ports/veth_peer.h"

#include <string_view>
#include <utility>

#include "user/base/error.h"
#include "user/base/printable.h"

namespace shunt {
namespace {

constexpr std::string_view kNamed = "/run/netns/", kProcess = "/proc/";

}  // namespace

VethPeer VethPeer::reach(const Link& veth) {
  VethPeer peer;
  if (veth.peer == Ifindex{}) throw Error("'{}' has no peer", veth.name);
  if (veth.peer_netns) {
    peer.netns_ = find_namespace(*veth.peer_netns);
    if (!peer.netns_) throw Error("the namespace of the peer of '{}' is not to be found", veth.name);
  }
  peer.look_up(veth.peer);
  return peer;
}

VethPeer VethPeer::reach(const PeerPlace& place) {
  VethPeer peer;
  if (place.netns && *place.netns != current_namespace().id) {
    peer.netns_ = find_namespace(*place.netns);
    if (!peer.netns_) throw Error("the namespace of the peer is gone");
  }
  peer.look_up(place.index);
  return peer;
}

PeerPlace VethPeer::place() const { return {netns_ ? netns_->id : current_namespace().id, link_.index}; }

PeerName VethPeer::known_as() const {
  const std::string name = printable(link_.name);
  if (!netns_) return {name, ""};
  const std::string where = printable(netns_->where);
  if (where.starts_with(kNamed)) return {name, fmt::format("netns {}", where.substr(kNamed.size()))};
  if (!where.starts_with(kProcess)) return {name, where};
  const std::string process = where.substr(kProcess.size());
  return {name, fmt::format("process {}", process.substr(0, process.find('/')))};
}

std::string VethPeer::describe() const {
  const auto [name, place] = known_as();
  if (place.empty()) return "peer " + name;
  if (place.starts_with("process ")) return fmt::format("peer {} in the namespace of {}", name, place);
  return fmt::format("peer {} in {}", name, printable(netns_->where));
}

std::string VethPeer::enter() const {
  if (!netns_) return {};
  const std::string_view where = netns_->where;
  if (where.starts_with(kNamed)) return fmt::format("ip netns exec {} ", shell_word(where.substr(kNamed.size())));
  return fmt::format("nsenter --net={} ", shell_word(where));
}

void VethPeer::run(const std::function<void(Ethtool&)>& function) const {
  const auto body = [&function] {
    Ethtool ethtool;
    function(ethtool);
  };
  if (netns_) {
    run_in_namespace(netns_->fd.get(), body);
  } else {
    body();
  }
}

void VethPeer::look_up(Ifindex index) {
  std::optional<Link> found;
  const auto body = [&] { found = Netlink{}.find(index); };
  if (netns_) {
    run_in_namespace(netns_->fd.get(), body);
  } else {
    body();
  }
  if (!found || found->kind != "veth") throw Error("the veth peer with index {} is gone", index.value);
  link_ = std::move(*found);
}

}  // namespace shunt
