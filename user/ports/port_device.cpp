// SPDX-License-Identifier: Apache-2.0
#include "user/ports/port_device.h"

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>
#include <utility>

#include "maps/types.h"
#include "user/base/error.h"
#include "user/base/printable.h"
#include "user/net/tap.h"
#include "user/net/xdp_features.h"
#include "user/ports/hardware.h"
#include "user/ports/lane_device.h"

namespace shunt {
namespace {

// What lets a stack hand over more than a frame at once. Native XDP on a veth turns it off at the peer; generic XDP
// gets such giants, longer than any port's MTU, and all of a TCP sender's first transmissions would be dropped.
constexpr std::array<std::string_view, 6> kSegmentation{"tx-tcp-segmentation",     "tx-tcp6-segmentation",
                                                        "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation",
                                                        "tx-udp-segmentation",     "tx-sctp-segmentation"};

// Drivers that take redirected frames on kernels that do not tell (before 6.3).
constexpr std::array<std::string_view, 13> kRedirectTargets{"bnxt_en", "ena",   "i40e",      "ice",    "igb",
                                                            "igc",     "ixgbe", "mlx5_core", "mvneta", "mvpp2",
                                                            "qede",    "sfc",   "virtio_net"};

DeviceKind classify(const Link& link, Netlink& netlink) {
  const auto refuse = [&](const std::string& why) { throw Error("'{}' cannot be a port: {}", link.name, why); };
  if (link.loopback) refuse("it is the loopback interface");
  if (link.alias.starts_with(kLocalAlias)) {
    refuse(fmt::format("it is the LOCAL interface of a Shunt bridge ({})", link.alias.substr(kLocalAlias.size())));
  }
  if (link.alias.starts_with(kLaneAlias))
    refuse(fmt::format("a Shunt instance works with it ({})", link.alias.substr(kLaneAlias.size())));
  if (link.master != Ifindex{}) {
    const auto master = netlink.find(link.master);
    refuse(
        fmt::format("it is a member of '{}'", master ? master->name : fmt::format("interface {}", link.master.value)));
  }
  if (!link.ethernet) refuse("it does not carry Ethernet frames");
  if (link.kind == "veth") return DeviceKind::kVeth;
  if (link.tap) return DeviceKind::kTap;
  if (!link.kind.empty()) refuse(fmt::format("a {} interface; ports are veth, TAP and physical interfaces", link.kind));
  return DeviceKind::kPhysical;
}

std::optional<VethPeer> try_reach(const Link& veth) {
  try {
    return VethPeer::reach(veth);
  } catch (const std::exception&) {
    return std::nullopt;  // cure_peer() warns of it
  }
}

}  // namespace

std::string_view to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kVeth:
      return "veth";
    case DeviceKind::kPhysical:
      return "physical";
    case DeviceKind::kTap:
      return "tap";
    case DeviceKind::kLocal:
      return "local";
  }
  return "unknown";
}

PortDevice PortDevice::prepare(const DeviceRequest& request) {
  PortDevice device;
  device.mode_ = request.mode;
  device.changes_ = request.changed;
  if (request.create_tap) device.make_tap(request);
  device.inspect(request.interface);
  device.choose_queues(request.queues);
  device.cure();
  device.bring_up();
  device.note_transmit();
  return device;
}

PortMode PortDevice::suitable_mode(const std::string& interface) {
  const auto link = Netlink{}.find(interface);
  if (!link || link->kind != "veth") return PortMode::kNative;
  const auto peer = try_reach(*link);
  return peer && !peer->runs_xdp() ? PortMode::kTcx : PortMode::kNative;
}

PortDevice& PortDevice::operator=(PortDevice&& other) noexcept {
  if (this == &other) return *this;
  restore();
  link_ = std::move(other.link_);
  kind_ = other.kind_;
  queues_ = other.queues_;
  mode_ = other.mode_;
  xdp_transmit_ = other.xdp_transmit_;
  takes_frags_ = other.takes_frags_;
  peer_ = std::move(other.peer_);
  changes_ = std::exchange(other.changes_, {});
  warnings_ = std::move(other.warnings_);
  return *this;
}

PortDevice::~PortDevice() { restore(); }

bool PortDevice::recheck() {
  const bool transmitted = xdp_transmit_;
  const std::uint32_t mtu = link_.mtu;
  const std::vector<std::string> warned = warnings_;
  try {
    auto link = Netlink{}.find(link_.index);
    if (!link) return false;
    link_ = std::move(*link);
    cure();
    note_transmit();
  } catch (const std::exception& error) {
    warnings_.emplace_back(error.what());
  }
  return transmitted != xdp_transmit_ || mtu != link_.mtu || warned != warnings_;
}

void PortDevice::restore() noexcept { changes_.undo_all(); }

void PortDevice::make_tap(const DeviceRequest& request) {
  check_link_name(request.interface);
  if (Netlink{}.find(request.interface)) throw Error("there is an interface '{}' already", request.interface);
  if (request.queues.value_or(1) != 1) throw Error("a TAP made on request has one queue, not {}", *request.queues);
  create_tap(request.interface);
  const auto link = Netlink{}.find(request.interface);
  if (!link) throw Error("TAP '{}' went away as soon as it was made", request.interface);
  changes_.record("tap", "TAP created", link->index, RemoveLink{});
}

void PortDevice::inspect(const std::string& name) {
  Netlink netlink;
  auto link = netlink.find(name);
  if (!link) throw Error("there is no interface '{}'", name);
  kind_ = classify(*link, netlink);
  link_ = std::move(*link);
}

void PortDevice::choose_queues(std::optional<unsigned> wanted) {
  if (wanted && (*wanted == 0 || *wanted > SHUNT_MAX_QUEUES)) {
    throw Error("{} queues: a port has 1 to {}", *wanted, SHUNT_MAX_QUEUES);
  }
  if (mode_ == PortMode::kTcx) {
    if (wanted)
      throw Error("'{}': queues are XDP's, and mode tcx has none: give --mode native, or no --queues", link_.name);
    queues_ = 1;  // to send on
    return;
  }
  const unsigned limit = wanted.value_or(SHUNT_MAX_QUEUES);
  Ethtool ethtool;
  const auto channels = ethtool.channels(link_.name);
  if (kind_ == DeviceKind::kTap) {
    queues_ = std::max(link_.tap_queues, 1u);
  } else if (channels) {
    queues_ = std::max(channels->receive(), 1u);
  } else {
    queues_ = std::max(ethtool.receive_rings(link_.name).value_or(1), 1u);
  }
  const unsigned least = least_queues(limit);
  const unsigned count = std::clamp(queues_, least, limit);
  if (count == queues_) return;
  // A frame that arrives on a queue without a socket could not go up: there must be none.
  if (!channels) {
    throw Error("'{}' has {} receive queues, which cannot be changed to {}", link_.name, queues_, count);
  }
  set_receive_queues(*channels, count);
  queues_ = count;
}

unsigned PortDevice::transmit_queues() const {
  if (mode_ == PortMode::kTcx) return 1;
  if (kind_ == DeviceKind::kTap) return queues_;  // a queue of a TAP is both
  const auto channels = Ethtool{}.channels(link_.name);
  return channels ? std::clamp(channels->transmit(), 1u, queues_) : 1;
}

// The kernel attaches XDP to a veth only where it has a receive queue for each of the peer's transmit queues.
unsigned PortDevice::least_queues(unsigned limit) const {
  unsigned least = 1;
  const auto peer = kind_ == DeviceKind::kVeth ? try_reach(link_) : std::nullopt;
  if (!peer) return least;
  peer->run([&](Ethtool& ethtool) {
    if (const auto channels = ethtool.channels(peer->name())) least = std::max(channels->transmit(), 1u);
  });
  if (least <= limit) return least;
  throw Error(
      "'{}': its {} has {} transmit queues, and XDP needs as many receive queues here, where {} are the limit; "
      "reduce them there: ethtool -L {} tx {}",
      link_.name, peer->describe(), least, limit, shell_word(peer->name()), limit);
}

void PortDevice::set_receive_queues(const Channels& now, unsigned count) {
  Channels chosen = now;
  if (count > now.receive()) {
    chosen.rx = count - now.combined;
  } else {
    chosen.combined = std::min(now.combined, count);
    chosen.rx = count - chosen.combined;
  }
  Ethtool{}.set_channels(link_.name, chosen);
  changes_.record("queues", fmt::format("{} receive queues instead of {}", count, now.receive()), link_.index,
                  SetChannels{now});
}

void PortDevice::bring_up() {
  Netlink netlink;
  if (!link_.up) {
    netlink.set_up(link_.index, true);
    changes_.record("up", "up", link_.index, SetDown{});
  }
  if (auto link = netlink.find(link_.index)) link_ = std::move(*link);
}

void PortDevice::cure() {
  warnings_.clear();
  xdp_transmit_ = true;
  peer_.reset();
  if (kind_ == DeviceKind::kVeth || kind_ == DeviceKind::kLocal) cure_peer();
  if (kind_ == DeviceKind::kPhysical) warnings_ = cure_hardware(link_, changes_);
}

void PortDevice::cure_peer() {
  try {
    const VethPeer peer = VethPeer::reach(link_);
    peer_ = peer.known_as();
    cure_peer_feature(peer, "rx-gro", true);
    if (mode_ == PortMode::kTcx) return;
    cure_peer_feature(peer, "tx-vlan-hw-insert", false);
    cure_peer_feature(peer, "tx-vlan-stag-hw-insert", false);
    if (mode_ != PortMode::kGeneric) return;
    for (const std::string_view segmentation : kSegmentation) cure_peer_feature(peer, segmentation, false);
  } catch (const std::exception& error) {
    xdp_transmit_ = false;
    warnings_.push_back(fmt::format(
        "{}: output goes through userspace, and VLAN tags that the peer's stack adds may be lost", error.what()));
  }
}

// Judged by what is requested: a veth has GRO in force also while it has an XDP program of its own, and loses it with
// that.
void PortDevice::cure_peer_feature(const VethPeer& peer, std::string_view feature, bool on) {
  const std::string name{feature};
  bool changed = false;
  peer.run([&](Ethtool& ethtool) {
    const auto features = ethtool.features(peer.name());
    const auto found = features.find(name);
    if (found == features.end() || found->second.requested == on) return;
    ethtool.set_feature(peer.name(), name, on);
    changed = true;
  });
  if (!changed) return;
  changes_.record("peer " + name, fmt::format("{}: {} {}", peer.describe(), feature_label(feature), on ? "on" : "off"),
                  link_.index, SetPeerFeature{peer.place(), name, !on});
}

// Where the kernel tells whether it redirects here (since 6.3) it has the last word: it refuses otherwise. Older ones
// drop what they cannot send there, and say nothing.
void PortDevice::note_transmit() {
  auto features = xdp_features(link_.index);
  const bool has_peer = kind_ == DeviceKind::kVeth || kind_ == DeviceKind::kLocal;
  takes_frags_ = features ? features->redirect_frags : has_peer;
  if (!features) {
    if (kind_ == DeviceKind::kPhysical)
      xdp_transmit_ = std::ranges::count(kRedirectTargets, Ethtool{}.driver(link_.name)) != 0;
    if (!xdp_transmit_ && warnings_.empty())
      warnings_.emplace_back("its driver is not known to take redirected frames: output goes through userspace");
    return;
  }
  if (has_peer && xdp_transmit_ && !features->redirect_target) {
    announce_peer();
    features = xdp_features(link_.index);
    if (!features) return;
  }
  xdp_transmit_ = features->redirect_target;
  if (!xdp_transmit_ && warnings_.empty()) {
    warnings_.emplace_back("the kernel does not redirect to this interface: output goes through userspace");
  }
}

// The kernel notes that a veth can be redirected to when the veth is opened, or when its peer's GRO is switched while
// the peer is up. GRO that was turned on before the peer came up is in force then, but not noted (seen on 6.18): all
// redirected frames would be dropped.
void PortDevice::announce_peer() {
  const auto peer = try_reach(link_);
  if (!peer) return;
  if (peer->is_up()) {
    peer->run([&](Ethtool& ethtool) {
      ethtool.set_feature(peer->name(), "rx-gro", false);
      ethtool.set_feature(peer->name(), "rx-gro", true);
    });
  } else if (link_.up) {
    // There is no carrier: nothing is lost by opening it again.
    Netlink netlink;
    netlink.set_up(link_.index, false);
    netlink.set_up(link_.index, true);
  }
}

}  // namespace shunt
