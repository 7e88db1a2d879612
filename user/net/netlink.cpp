// SPDX-License-Identifier: Apache-2.0
#include "user/net/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "user/base/error.h"
#include "user/net/attributes.h"

namespace shunt {
namespace {

constexpr std::size_t kBufferSize =
    64 * 1024;  // a dump's message is at most 32 KiB, a link with many functions beyond 8
constexpr std::size_t kRequestSize = 4096;
constexpr std::uint8_t kTunTypeTap = 2;  // IFF_TAP, as IFLA_TUN_TYPE tells it

// What the kernel appends to a refusal ("Invalid MTU"), or nothing.
std::string explanation(const nlmsghdr* message) {
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  std::size_t offset = sizeof *error;
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string text;
  for_each_attribute(message, static_cast<unsigned>(offset), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG) text = mnl_attr_get_str(attribute);
  });
  return text;
}

void parse_link_info(const nlattr* info, Link& link) {
  const nlattr* data = nullptr;
  for_each_nested(info, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND) link.kind = mnl_attr_get_str(attribute);
    if (mnl_attr_get_type(attribute) == IFLA_INFO_DATA) data = attribute;
  });
  if (link.kind != "tun" || data == nullptr) return;
  for_each_nested(data, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_TUN_TYPE) link.tap = mnl_attr_get_u8(attribute) == kTunTypeTap;
    if (mnl_attr_get_type(attribute) == IFLA_TUN_NUM_QUEUES) link.tap_queues = mnl_attr_get_u32(attribute);
  });
}

void parse_xdp(const nlattr* xdp, Link& link) {
  for_each_nested(xdp, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_XDP_PROG_ID) link.xdp_program = mnl_attr_get_u32(attribute);
    if (mnl_attr_get_type(attribute) == IFLA_XDP_ATTACHED) {
      link.xdp_generic = mnl_attr_get_u8(attribute) == XDP_ATTACHED_SKB;
    }
  });
}

void parse_attribute(const nlattr* attribute, Link& link) {
  switch (mnl_attr_get_type(attribute)) {
    case IFLA_IFNAME:
      link.name = mnl_attr_get_str(attribute);
      break;
    case IFLA_IFALIAS:
      link.alias = mnl_attr_get_str(attribute);
      break;
    case IFLA_ADDRESS:
      if (mnl_attr_get_payload_len(attribute) == link.mac.bytes.size()) {
        link.mac = MacAddr::from_wire(mnl_attr_get_payload(attribute));
      }
      break;
    case IFLA_MTU:
      link.mtu = mnl_attr_get_u32(attribute);
      break;
    case IFLA_MIN_MTU:
      link.min_mtu = mnl_attr_get_u32(attribute);
      break;
    case IFLA_MAX_MTU:
      link.max_mtu = mnl_attr_get_u32(attribute);
      break;
    case IFLA_NUM_RX_QUEUES:
      link.rx_queues = mnl_attr_get_u32(attribute);
      break;
    case IFLA_NUM_TX_QUEUES:
      link.tx_queues = mnl_attr_get_u32(attribute);
      break;
    case IFLA_MASTER:
      link.master = Ifindex{mnl_attr_get_u32(attribute)};
      break;
    case IFLA_LINK:
      link.peer = Ifindex{mnl_attr_get_u32(attribute)};
      break;
    case IFLA_LINK_NETNSID:
      link.peer_netns = static_cast<std::int32_t>(mnl_attr_get_u32(attribute));
      break;
    case IFLA_LINKINFO:
      parse_link_info(attribute, link);
      break;
    case IFLA_XDP:
      parse_xdp(attribute, link);
      break;
    default:
      break;
  }
}

// Room for a request: attributes are checked against it where their length is a user's.
struct Request {
  alignas(nlmsghdr) std::array<char, kRequestSize> bytes{};
  nlmsghdr* header(std::uint16_t type, std::uint16_t flags) {
    nlmsghdr* message = mnl_nlmsg_put_header(bytes.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    return message;
  }
};

ifinfomsg* put_ifinfo(nlmsghdr* message, Ifindex index) {
  auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = static_cast<int>(index.value);
  return info;
}

void put_veth_end(nlmsghdr* message, const Netlink::VethEnd& end) {
  mnl_attr_put_strz(message, IFLA_IFNAME, end.name.c_str());
  if (end.mac) mnl_attr_put(message, IFLA_ADDRESS, end.mac->bytes.size(), end.mac->bytes.data());
}

}  // namespace

std::optional<Link> parse_link(const nlmsghdr* message) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  if (info->ifi_family != AF_UNSPEC) return std::nullopt;
  Link link;
  link.index = Ifindex{static_cast<std::uint32_t>(info->ifi_index)};
  link.ethernet = info->ifi_type == ARPHRD_ETHER;
  link.loopback = (info->ifi_flags & IFF_LOOPBACK) != 0;
  link.up = (info->ifi_flags & IFF_UP) != 0;
  link.carrier = (info->ifi_flags & IFF_LOWER_UP) != 0;
  link.promiscuous = (info->ifi_flags & IFF_PROMISC) != 0;
  bool wireless = false;
  for_each_attribute(message, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    wireless |= mnl_attr_get_type(attribute) == IFLA_WIRELESS;
    parse_attribute(attribute, link);
  });
  if (wireless) return std::nullopt;
  return link;
}

void check_link_name(const std::string& name) {
  const auto refused = [](unsigned char c) { return c <= ' ' || c == 0x7f || c == '/' || c == ':'; };
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." || std::ranges::any_of(name, refused)) {
    throw Error("'{}' cannot be an interface's name: 1 to {} characters, no space, no '/', no ':'", name, IFNAMSIZ - 1);
  }
}

void Netlink::Close::operator()(mnl_socket* socket) const noexcept { mnl_socket_close(socket); }

Netlink::Netlink() : socket_{mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC)}, buffer_(kBufferSize) {
  if (!socket_ || mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) throw_errno(errno, "netlink: open");
  // Refusals in words where the kernel has them; it is no loss where it does not know the option.
  int on = 1;
  static_cast<void>(mnl_socket_setsockopt(socket_.get(), NETLINK_EXT_ACK, &on, sizeof on));
}

std::vector<Link> Netlink::links() {
  // A dump during which links change is marked, and repeated: it may lack a link that never went away.
  for (int attempt = 0;; ++attempt) {
    Request request;
    nlmsghdr* message = request.header(RTM_GETLINK, NLM_F_DUMP);
    put_ifinfo(message, {});
    std::vector<Link> found;
    bool interrupted = false;
    transact(message, "netlink: list links", [&](const nlmsghdr* reply) {
      interrupted |= (reply->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (reply->nlmsg_type != RTM_NEWLINK) return;
      if (auto link = parse_link(reply)) found.push_back(std::move(*link));
    });
    constexpr int kAttempts = 10;
    if (!interrupted || attempt == kAttempts) return found;
  }
}

std::optional<Link> Netlink::find(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) return std::nullopt;
  Request request;
  nlmsghdr* message = request.header(RTM_GETLINK, NLM_F_ACK);
  put_ifinfo(message, {});
  mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
  std::optional<Link> found;
  try {
    transact(message, fmt::format("netlink: look up '{}'", name),
             [&](const nlmsghdr* reply) { found = parse_link(reply); });
  } catch (const std::system_error& error) {
    if (error.code().value() != ENODEV) throw;
  }
  return found;
}

std::optional<Link> Netlink::find(Ifindex index) {
  if (index.value == 0) return std::nullopt;
  Request request;
  nlmsghdr* message = request.header(RTM_GETLINK, NLM_F_ACK);
  put_ifinfo(message, index);
  std::optional<Link> found;
  try {
    transact(message, fmt::format("netlink: look up interface {}", index.value),
             [&](const nlmsghdr* reply) { found = parse_link(reply); });
  } catch (const std::system_error& error) {
    if (error.code().value() != ENODEV) throw;
  }
  return found;
}

void Netlink::add_veth(const VethEnd& one, const VethEnd& other) {
  check_link_name(one.name);
  check_link_name(other.name);
  Request request;
  nlmsghdr* message = request.header(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
  put_ifinfo(message, {});
  put_veth_end(message, one);
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  nlattr* peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  put_veth_end(message, other);
  mnl_attr_nest_end(message, peer);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, info);
  transact(message, fmt::format("netlink: create veth pair '{}', '{}'", one.name, other.name), [](const nlmsghdr*) {});
}

void Netlink::remove(Ifindex index) {
  change(RTM_DELLINK, index, "remove", [](nlmsghdr*, ifinfomsg*) {});
}

void Netlink::set_up(Ifindex index, bool up) { set_flag(index, IFF_UP, up, up ? "set up" : "set down"); }

void Netlink::set_promiscuous(Ifindex index, bool on) { set_flag(index, IFF_PROMISC, on, "set promiscuous mode of"); }

void Netlink::rename(Ifindex index, const std::string& name) {
  check_link_name(name);
  change(RTM_NEWLINK, index, fmt::format("rename to '{}'", name),
         [&](nlmsghdr* message, ifinfomsg*) { mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str()); });
}

void Netlink::set_mac(Ifindex index, MacAddr mac) {
  change(RTM_NEWLINK, index, "set address of", [&](nlmsghdr* message, ifinfomsg*) {
    mnl_attr_put(message, IFLA_ADDRESS, mac.bytes.size(), mac.bytes.data());
  });
}

void Netlink::set_mtu(Ifindex index, std::uint32_t mtu) {
  change(RTM_NEWLINK, index, fmt::format("set MTU {} of", mtu),
         [&](nlmsghdr* message, ifinfomsg*) { mnl_attr_put_u32(message, IFLA_MTU, mtu); });
}

void Netlink::set_alias(Ifindex index, const std::string& alias) {
  // IFALIASZ bounds what the kernel takes.
  if (alias.size() >= 256) throw Error("an interface's alias has at most 255 bytes: '{}'", alias);
  change(RTM_NEWLINK, index, "set alias of",
         [&](nlmsghdr* message, ifinfomsg*) { mnl_attr_put(message, IFLA_IFALIAS, alias.size(), alias.data()); });
}

std::optional<std::int32_t> Netlink::namespace_id(int netns_fd) {
  Request request;
  nlmsghdr* message = request.header(RTM_GETNSID, NLM_F_ACK);
  mnl_nlmsg_put_extra_header(message, sizeof(rtgenmsg));
  mnl_attr_put_u32(message, NETNSA_FD, static_cast<std::uint32_t>(netns_fd));
  std::optional<std::int32_t> id;
  transact(message, "netlink: namespace id", [&](const nlmsghdr* reply) {
    for_each_attribute(reply, sizeof(rtgenmsg), [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) != NETNSA_NSID) return;
      const auto value = static_cast<std::int32_t>(mnl_attr_get_u32(attribute));
      if (value >= 0) id = value;  // NETNSA_NSID_NOT_ASSIGNED is negative
    });
  });
  return id;
}

void Netlink::set_flag(Ifindex index, unsigned flag, bool on, const char* what) {
  change(RTM_NEWLINK, index, what, [&](nlmsghdr*, ifinfomsg* info) {
    info->ifi_flags = on ? flag : 0;
    info->ifi_change = flag;
  });
}

template <typename Fill>
void Netlink::change(std::uint16_t type, Ifindex index, const std::string& what, Fill fill) {
  Request request;
  nlmsghdr* message = request.header(type, NLM_F_ACK);
  fill(message, put_ifinfo(message, index));
  transact(message, fmt::format("netlink: {} interface {}", what, index.value), [](const nlmsghdr*) {});
}

// Sends, and calls `each` for every message of the reply until the acknowledgement or the end of the dump.
template <typename Each>
void Netlink::transact(nlmsghdr* message, const std::string& what, Each each) {
  message->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) < 0) throw_errno(errno, what);
  for (;;) {
    const ssize_t received = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    if (received < 0) {
      if (errno == EINTR) continue;
      throw_errno(errno, what);
    }
    int left = static_cast<int>(received);
    for (const auto* reply = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(reply, left);
         reply = mnl_nlmsg_next(reply, &left)) {
      if (reply->nlmsg_seq != sequence_) continue;  // of a request that ended by an exception
      if (reply->nlmsg_type == NLMSG_DONE) return;
      if (reply->nlmsg_type != NLMSG_ERROR) {
        each(reply);
        continue;
      }
      const int error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply))->error;
      if (error == 0) return;
      const std::string why = explanation(reply);
      throw_errno(error, why.empty() ? what : fmt::format("{} ({})", what, why));
    }
  }
}

}  // namespace shunt
