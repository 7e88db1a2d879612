// SPDX-License-Identifier: Apache-2.0
// The other end of a veth, as a wire: frames go in and come out by a packet socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "tests/bpf/switch_fixture.h"
#include "user/base/unique_fd.h"

namespace shunt::test {

// A checksum that its sender left to the card: the field, `offset` bytes behind `start`, holds the pseudo-header's sum,
// and covers all from `start` on. Bytes from the frame's start.
struct OpenChecksum {
  std::uint16_t start, offset;
};

class Wire {
 public:
  // Also lets redirected frames arrive: a veth takes them where its peer has NAPI, by GRO.
  explicit Wire(const std::string& interface);
  void send(const Bytes& frame, std::optional<OpenChecksum> open = {});
  // The next frame that came in, with the tag that the kernel took off put back, and a checksum that is still open
  // completed; nothing within the time: none.
  std::optional<Bytes> receive(std::chrono::milliseconds timeout);

 private:
  UniqueFd socket_;
};

}  // namespace shunt::test
