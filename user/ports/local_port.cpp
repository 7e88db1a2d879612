// SPDX-License-Identifier: Apache-2.0
// LOCAL ports: see port_device.h. Their ends carry an alias, by which they are known to every instance.
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "user/base/error.h"
#include "user/net/netlink.h"
#include "user/net/netns.h"
#include "user/ports/port_device.h"

namespace shunt {
namespace {

// FNV-1a: the same everywhere and always, which std::hash does not promise.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  // FNV's upper bits say little about the last bytes: mix them in.
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93;
  return value ^ value >> 32;
}

std::string host_alias(const std::string& instance, const std::string& bridge) {
  return fmt::format("{}{}/{}", kLocalAlias, instance, bridge);
}

// Tells machines apart. Empty on those that have none, which then differ by their namespace only.
std::string machine_id() {
  std::ifstream file{"/etc/machine-id"};
  std::string id;
  std::getline(file, id);
  return id;
}

// The port's end of a pair that a killed daemon of this instance made, or nothing where there is no such interface.
std::optional<Link> find_left_behind(Netlink& netlink, const std::string& instance, const std::string& bridge) {
  const auto host = netlink.find(bridge);
  if (!host) return std::nullopt;
  if (host->kind == "veth" && !host->peer_netns && host->alias == host_alias(instance, bridge)) {
    if (auto port = netlink.find(host->peer); port && port->alias == host->alias) return port;
  }
  throw Error("there is an interface '{}' already: a bridge's own interface has its name", bridge);
}

}  // namespace

std::string local_port_name(const std::string& instance, const std::string& bridge,
                            const std::function<bool(const std::string&)>& taken) {
  constexpr unsigned kAttempts = 1000;
  for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
    // 12 of 16 digits: "sh-" and they are 15 bytes.
    const std::string name =
        fmt::format("sh-{:012x}", hash(fmt::format("{}/{}/{}", instance, bridge, attempt)) & 0xffff'ffff'ffff);
    if (!taken(name)) return name;
  }
  throw Error("no name is free for the LOCAL port of '{}'", bridge);
}

MacAddr local_mac(std::string_view seed) {
  MacAddr mac = MacAddr::from_number(hash(seed) & 0xffff'ffff'ffff);
  mac.bytes[0] = static_cast<std::uint8_t>((mac.bytes[0] & 0xfc) | 0x02);
  return mac;
}

PortDevice PortDevice::prepare_local(const std::string& instance, const std::string& bridge, PortMode mode,
                                     const Changes& changed) {
  check_link_name(bridge);
  Netlink netlink;
  PortDevice device;
  device.kind_ = DeviceKind::kLocal;
  device.mode_ = mode;
  auto port = find_left_behind(netlink, instance, bridge);
  const bool is_new = !port;
  if (!is_new) device.changes_ = changed;
  if (is_new) {
    const auto seed = fmt::format("{}/{}/{}/{}", machine_id(), current_namespace().id.inode, instance, bridge);
    const std::string name =
        local_port_name(instance, bridge, [&](const std::string& wanted) { return netlink.find(wanted).has_value(); });
    netlink.add_veth({bridge, local_mac(seed)}, {name, std::nullopt});
    port = netlink.find(name);
    if (!port) throw Error("the interface of bridge '{}' went away as soon as it was made", bridge);
  }
  device.link_ = *port;
  device.changes_.record("local", fmt::format("interface {} created", bridge), port->index, RemoveLink{});
  if (is_new) {
    netlink.set_alias(port->index, host_alias(instance, bridge));
    netlink.set_alias(port->peer, host_alias(instance, bridge));
  }
  device.choose_queues(std::nullopt);
  device.cure();
  device.bring_up();
  device.note_transmit();
  return device;
}

}  // namespace shunt
