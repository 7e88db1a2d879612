// SPDX-License-Identifier: Apache-2.0
#include "user/net/link_monitor.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <set>
#include <utility>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::size_t kBufferSize = 64 * 1024;
// Of the socket: events of a few thousand links before the kernel has to throw some away.
constexpr int kSocketBufferSize = 1 << 20;

void append(std::vector<LinkEvent>& to, std::vector<LinkEvent> events) {
  for (LinkEvent& event : events) to.push_back(std::move(event));
}

}  // namespace

std::vector<LinkEvent> LinkTable::update(const Link& link) {
  const auto [at, is_new] = links_.try_emplace(link.index, link);
  if (is_new) return {{LinkEvent::Kind::kNew, link, {}}};
  const Link old = std::exchange(at->second, link);
  if (old == link) return {};
  if (old.name != link.name) return {{LinkEvent::Kind::kRenamed, link, old.name}};
  return {{LinkEvent::Kind::kChanged, link, {}}};
}

std::vector<LinkEvent> LinkTable::remove(Ifindex index) {
  const auto at = links_.find(index);
  if (at == links_.end()) return {};
  LinkEvent event{LinkEvent::Kind::kGone, std::move(at->second), {}};
  links_.erase(at);
  return {std::move(event)};
}

std::vector<LinkEvent> LinkTable::replace(const std::vector<Link>& links) {
  std::set<Ifindex> present;
  for (const Link& link : links) present.insert(link.index);
  // The gone first: a link that took over a gone one's name comes after it.
  std::vector<LinkEvent> events;
  for (const Link& link : this->links()) {
    if (!present.contains(link.index)) append(events, remove(link.index));
  }
  for (const Link& link : links) append(events, update(link));
  return events;
}

std::vector<Link> LinkTable::links() const {
  std::vector<Link> all;
  for (const auto& [index, link] : links_) all.push_back(link);
  return all;
}

void LinkMonitor::Close::operator()(mnl_socket* socket) const noexcept { mnl_socket_close(socket); }

LinkMonitor::LinkMonitor()
    : socket_{mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK)}, buffer_(kBufferSize) {
  // Subscribed before the dump: what happens in between is seen twice and not never.
  if (!socket_ || mnl_socket_bind(socket_.get(), RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) {
    throw_errno(errno, "netlink: follow links");
  }
  const int size = kSocketBufferSize;
  // Without privilege the system's limit applies instead; ENOBUFS is survived all the same.
  if (::setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) {
    static_cast<void>(::setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
  }
  static_cast<void>(table_.replace(dump_.links()));
}

int LinkMonitor::fd() const { return mnl_socket_get_fd(socket_.get()); }

std::vector<LinkEvent> LinkMonitor::read() {
  std::vector<LinkEvent> events;
  bool lost = false;
  for (;;) {
    const ssize_t received = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      if (errno != ENOBUFS && errno != ENOSPC) throw_errno(errno, "netlink: follow links");
      lost = true;
      continue;
    }
    if (lost) continue;  // the dump tells it better
    int left = static_cast<int>(received);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      append(events, take(message));
    }
  }
  // What happens between the drained socket and the dump is read again next time, which does no harm.
  if (lost) append(events, table_.replace(dump_.links()));
  return events;
}

std::vector<LinkEvent> LinkMonitor::take(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) return {};
  const auto link = parse_link(message);
  if (!link) return {};
  return message->nlmsg_type == RTM_NEWLINK ? table_.update(*link) : table_.remove(link->index);
}

}  // namespace shunt
