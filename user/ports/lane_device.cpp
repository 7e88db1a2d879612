// SPDX-License-Identifier: Apache-2.0
#include "user/ports/lane_device.h"

#include <algorithm>
#include <exception>
#include <string_view>

#include "user/base/error.h"
#include "user/net/ethtool.h"
#include "user/ports/port_device.h"

namespace shunt {
namespace {

// Longer than any port's frames; what XDP with several buffers takes on a veth.
constexpr std::uint32_t kMtu = 65535;
// Of the entry: each has the kernel do in software, on the way, what a card would have done.
constexpr std::string_view kOffloads[] = {"tx-checksum-ip-generic", "tx-checksum-sctp", "tx-vlan-hw-insert",
                                          "tx-vlan-stag-hw-insert"};

Link find(Netlink& netlink, const std::string& name) {
  auto link = netlink.find(name);
  if (!link) throw Error("the lane's interface '{}' went away as soon as it was made", name);
  return *link;
}

std::string alias_of(const std::string& instance) { return fmt::format("{}{}", kLaneAlias, instance); }

}  // namespace

LaneDevice::LaneDevice(const std::string& instance, unsigned queues) : queues_{std::max(queues, 1u)} {
  find_or_make(instance);
  try {
    make_fit();
  } catch (...) {
    Netlink{}.remove(entry_.index);
    throw;
  }
}

LaneDevice::~LaneDevice() {
  if (kept_) return;
  try {
    Netlink{}.remove(entry_.index);
  } catch (const std::exception&) {  // somebody else has
  }
}

void LaneDevice::remove_left_behind(const std::string& instance) {
  Netlink netlink;
  for (const Link& link : netlink.links())
    if (link.alias == alias_of(instance)) netlink.remove(link.index);
}

void LaneDevice::find_or_make(const std::string& instance) {
  Netlink netlink;
  const std::string alias = alias_of(instance), exit_alias = alias + " (exit)";
  for (const Link& link : netlink.links()) {
    if (link.alias == alias) entry_ = link;
    if (link.alias == exit_alias) exit_ = link;
  }
  if (entry_.index != Ifindex{} && exit_.index == entry_.peer) return;
  const auto free_name = [&](const char* end) {
    return local_port_name(instance, end, [&](const std::string& name) { return netlink.find(name).has_value(); });
  };
  const std::string in = free_name("lane entry"), out = free_name("lane exit");
  netlink.add_veth({in, std::nullopt}, {out, std::nullopt});
  entry_ = find(netlink, in);
  exit_ = find(netlink, out);
  netlink.set_alias(entry_.index, alias);
  netlink.set_alias(exit_.index, exit_alias);
}

void LaneDevice::make_fit() {
  Netlink netlink;
  Ethtool ethtool;
  // The exit first: XDP wants a receive queue there for each transmit queue of the entry.
  if (const auto channels = ethtool.channels(exit_.name)) {
    queues_ = std::min(queues_, channels->max_rx);
    Channels wanted = *channels;
    wanted.rx = queues_;
    if (wanted.rx != channels->rx) ethtool.set_channels(exit_.name, wanted);
  }
  if (const auto channels = ethtool.channels(entry_.name)) {
    Channels wanted = *channels;
    wanted.tx = queues_;
    if (wanted.tx != channels->tx) ethtool.set_channels(entry_.name, wanted);
  }
  for (const Link& end : {entry_, exit_}) netlink.set_mtu(end.index, kMtu);
  for (const std::string_view offload : kOffloads)
    if (!ethtool.set_feature(entry_.name, offload, false))
      throw Error("the lane's interface '{}': {} cannot be turned off", entry_.name, offload);
  for (const Link& end : {exit_, entry_}) netlink.set_up(end.index, true);
}

}  // namespace shunt
