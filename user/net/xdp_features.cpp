// SPDX-License-Identifier: Apache-2.0
#include "user/net/xdp_features.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <memory>

#include "user/net/attributes.h"

namespace shunt {
namespace {

// linux/netdev.h, of Linux 6.3: newer than the headers this is built with.
constexpr const char* kFamily = "netdev";
constexpr std::uint8_t kDevGet = 1;              // NETDEV_CMD_DEV_GET
constexpr std::uint16_t kDevIfindex = 1;         // NETDEV_A_DEV_IFINDEX
constexpr std::uint16_t kDevXdpFeatures = 3;     // NETDEV_A_DEV_XDP_FEATURES
constexpr std::uint64_t kActBasic = 1 << 0;      // NETDEV_XDP_ACT_BASIC
constexpr std::uint64_t kActXmit = 1 << 2;       // NETDEV_XDP_ACT_NDO_XMIT
constexpr std::uint64_t kActZeroCopy = 1 << 3;   // NETDEV_XDP_ACT_XSK_ZEROCOPY
constexpr std::uint64_t kActFrags = 1 << 5;      // NETDEV_XDP_ACT_RX_SG
constexpr std::uint64_t kActXmitFrags = 1 << 6;  // NETDEV_XDP_ACT_NDO_XMIT_SG

struct Close {
  void operator()(mnl_socket* socket) const noexcept { mnl_socket_close(socket); }
};

// One request, one reply: an attribute's number, or nothing for any refusal.
template <typename Fill>
std::optional<std::uint64_t> ask(mnl_socket* socket, std::uint16_t family, std::uint8_t command, std::uint16_t wanted,
                                 Fill fill) {
  alignas(nlmsghdr) std::array<char, 16 * 1024> buffer{};
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = family;
  message->nlmsg_flags = NLM_F_REQUEST;
  auto* generic = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(message, sizeof(genlmsghdr)));
  generic->cmd = command;
  generic->version = 1;
  fill(message);
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return std::nullopt;
  const ssize_t received = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
  if (received < 0 || !mnl_nlmsg_ok(message, static_cast<int>(received)) || message->nlmsg_type == NLMSG_ERROR) {
    return std::nullopt;
  }
  std::optional<std::uint64_t> value;
  for_each_attribute(message, sizeof(genlmsghdr), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != wanted) return;
    if (mnl_attr_get_payload_len(attribute) == sizeof(std::uint16_t)) value = mnl_attr_get_u16(attribute);
    if (mnl_attr_get_payload_len(attribute) == sizeof(std::uint64_t)) value = mnl_attr_get_u64(attribute);
  });
  return value;
}

}  // namespace

std::optional<XdpFeatures> xdp_features(Ifindex index) {
  const std::unique_ptr<mnl_socket, Close> socket{mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC)};
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return std::nullopt;
  const auto family = ask(socket.get(), GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID,
                          [](nlmsghdr* message) { mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, kFamily); });
  if (!family) return std::nullopt;
  const auto features = ask(socket.get(), static_cast<std::uint16_t>(*family), kDevGet, kDevXdpFeatures,
                            [&](nlmsghdr* message) { mnl_attr_put_u32(message, kDevIfindex, index.value); });
  if (!features) return std::nullopt;
  const auto has = [&](std::uint64_t bit) { return (*features & bit) != 0; };
  return XdpFeatures{has(kActBasic), has(kActXmit), has(kActZeroCopy), has(kActFrags), has(kActXmitFrags)};
}

}  // namespace shunt
