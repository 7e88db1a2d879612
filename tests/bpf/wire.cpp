// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/wire.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "bpf/datapath/sum.h"
#include "user/base/error.h"

namespace shunt::test {
namespace {

// struct virtio_net_hdr, whose header no C++ compiler takes (a member is named `class`).
struct VnetHeader {
  std::uint8_t flags;  // 1: needs_csum
  std::uint8_t gso_type;
  std::uint16_t hdr_len, gso_size, csum_start, csum_offset;
};
constexpr std::uint8_t kNeedsChecksum = 1;

void complete(Bytes& frame, OpenChecksum open) {
  std::uint32_t sum = 0;
  for (std::size_t at = open.start; at < frame.size(); ++at)
    sum += std::to_integer<std::uint32_t>(frame[at]) << ((at - open.start) % 2 * 8);
  const auto checksum = static_cast<std::uint16_t>(~shunt_sum_fold(sum));
  constexpr std::size_t kOfUdp = 6;
  shunt_store16(reinterpret_cast<std::uint8_t*>(&frame.at(std::size_t{open.start} + open.offset)),
                checksum == 0 && open.offset == kOfUdp ? 0xffff : checksum);
}

}  // namespace

Wire::Wire(const std::string& interface)
    : socket_{check(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "packet socket")} {
  run_command(fmt::format("ethtool -K {} gro on", interface));
  const int on = 1;
  check(::setsockopt(socket_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on), "PACKET_VNET_HDR");
  check(::setsockopt(socket_.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof on), "PACKET_AUXDATA");
  check(::setsockopt(socket_.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on), "PACKET_IGNORE_OUTGOING");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
  check(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind to " + interface);
}

void Wire::send(const Bytes& frame, std::optional<OpenChecksum> open) {
  VnetHeader header{};
  if (open) {
    header.flags = kNeedsChecksum;
    header.csum_start = open->start;
    header.csum_offset = open->offset;
  }
  Bytes bytes(sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  check(static_cast<int>(::send(socket_.get(), bytes.data(), bytes.size(), 0)), "send a frame");
}

std::optional<Bytes> Wire::receive(std::chrono::milliseconds timeout) {
  pollfd readable{socket_.get(), POLLIN, 0};
  if (check(::poll(&readable, 1, static_cast<int>(timeout.count())), "poll") == 0) return std::nullopt;
  Bytes frame(10'000);
  VnetHeader header{};
  iovec bytes[]{{&header, sizeof header}, {frame.data(), frame.size()}};
  alignas(cmsghdr) std::array<char, 128> control{};
  msghdr message{};
  message.msg_iov = bytes;
  message.msg_iovlen = std::size(bytes);
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const int received = check(static_cast<int>(::recvmsg(socket_.get(), &message, 0)), "receive a frame");
  frame.resize(static_cast<std::size_t>(received) - sizeof header);
  if ((header.flags & kNeedsChecksum) != 0) complete(frame, {header.csum_start, header.csum_offset});
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    tpacket_auxdata aux{};
    if (c->cmsg_type != PACKET_AUXDATA) continue;
    std::memcpy(&aux, CMSG_DATA(c), sizeof aux);
    if ((aux.tp_status & TP_STATUS_VLAN_VALID) == 0) continue;
    const std::uint16_t tag[]{htons(aux.tp_vlan_tpid), htons(aux.tp_vlan_tci)};
    const auto* at = reinterpret_cast<const std::byte*>(tag);
    frame.insert(frame.begin() + 12, at, at + sizeof tag);
  }
  return frame;
}

}  // namespace shunt::test
