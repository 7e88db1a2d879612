// SPDX-License-Identifier: Apache-2.0
// Links (network interfaces) over rtnetlink: what they are, and what is changed about them. Never over sysfs, which
// shows the namespace of whoever mounted it. A Netlink speaks to the namespace that the calling thread was in when it
// was made.
//
// Errors: std::system_error naming the operation and the link, with the kernel's own explanation where it gives one.
// Threads: one object, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "user/base/strong_types.h"

struct mnl_socket;
struct nlmsghdr;

namespace shunt {

// One link as the kernel describes it.
struct Link {
  Ifindex index;
  std::string name;
  std::string kind;       // IFLA_INFO_KIND: "veth", "tun", "bridge"; empty: a hardware driver's
  std::string alias;      // IFLA_IFALIAS, a text for humans
  bool ethernet = false;  // ARPHRD_ETHER: frames start with an Ethernet header
  bool loopback = false;
  bool up = false;           // IFF_UP: by the administrator
  bool carrier = false;      // IFF_LOWER_UP: by the wire, or the veth's peer
  bool promiscuous = false;  // as set by a user, not by packet sockets
  MacAddr mac;
  std::uint32_t mtu = 0, min_mtu = 0, max_mtu = 0;  // bytes without the Ethernet header; 0: the kernel names no bound
  std::uint32_t rx_queues = 0, tx_queues = 0;       // allocated, not in use: see ethtool.h for those in use
  Ifindex master;                                   // 0: none
  Ifindex peer;                                     // IFLA_LINK: a veth's other end, in `peer_netns`; 0: none
  std::optional<std::int32_t> peer_netns;           // namespace id of `peer`; none: this namespace
  std::uint32_t xdp_program = 0;                    // id; 0: none
  bool xdp_generic = false;
  bool tap = false;              // of a "tun" link: carries Ethernet
  std::uint32_t tap_queues = 0;  // of a TAP: opened queues
  friend bool operator==(const Link&, const Link&) = default;
};

// True when frames can pass: set up, and the wire is there.
[[nodiscard]] inline bool is_usable(const Link& link) { return link.up && link.carrier; }

// Throws Error where the kernel would not take `name` for a link: 1 to 15 bytes, no '/', no ':', no space, not "." or
// "..".
void check_link_name(const std::string& name);

class Netlink {
 public:
  Netlink();

  [[nodiscard]] std::vector<Link> links();
  [[nodiscard]] std::optional<Link> find(const std::string& name);
  [[nodiscard]] std::optional<Link> find(Ifindex index);

  struct VethEnd {
    std::string name;
    std::optional<MacAddr> mac;  // none: the kernel makes one up
  };
  void add_veth(const VethEnd& one, const VethEnd& other);
  void remove(Ifindex index);  // a veth's peer goes with it
  void set_up(Ifindex index, bool up);
  void set_promiscuous(Ifindex index, bool on);
  void rename(Ifindex index, const std::string& name);
  void set_mac(Ifindex index, MacAddr mac);
  void set_mtu(Ifindex index, std::uint32_t mtu);
  void set_alias(Ifindex index, const std::string& alias);

  // This namespace's id for the one that `netns_fd` refers to, if it has one.
  [[nodiscard]] std::optional<std::int32_t> namespace_id(int netns_fd);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const noexcept;
  };
  void set_flag(Ifindex index, unsigned flag, bool on, const char* what);
  template <typename Fill>
  void change(std::uint16_t type, Ifindex index, const std::string& what, Fill fill);
  template <typename Each>
  void transact(nlmsghdr* message, const std::string& what, Each each);

  std::unique_ptr<mnl_socket, Close> socket_;
  std::vector<std::byte> buffer_;
  std::uint32_t sequence_ = 0;
};

// Reads an RTM_NEWLINK or RTM_DELLINK message; nothing for those that are not about a link as such (a bridge's view of
// its members, wireless events).
[[nodiscard]] std::optional<Link> parse_link(const nlmsghdr* message);

}  // namespace shunt
