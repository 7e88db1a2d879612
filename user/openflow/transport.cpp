// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/transport.h"

#include <sys/socket.h>

#include <cerrno>

namespace shunt::openflow {

namespace {

Transport::Result result_of(ssize_t size) {
  if (size > 0) return {Transport::Outcome::kMoved, static_cast<std::size_t>(size)};
  const bool later = size < 0 && (errno == EAGAIN || errno == EINTR || errno == EINPROGRESS || errno == ENOTCONN);
  return {later ? Transport::Outcome::kWait : Transport::Outcome::kClosed};
}

}  // namespace

Transport::Result Transport::read(std::span<std::uint8_t> into) {
  return result_of(::recv(fd(), into.data(), into.size(), 0));
}

Transport::Result Transport::write(std::span<const std::uint8_t> from) {
  if (from.empty()) return {Outcome::kWait};
  return result_of(::send(fd(), from.data(), from.size(), MSG_NOSIGNAL));
}

void Transport::end_writing() { ::shutdown(fd(), SHUT_WR); }

}  // namespace shunt::openflow
