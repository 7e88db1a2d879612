// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/packet_buffers.h"

#include <doctest/doctest.h>

#include <optional>

using namespace shunt;
using namespace shunt::openflow;

namespace {

std::optional<OfErrorCode> refusal(PacketBuffers& buffers, std::uint32_t id) {
  try {
    (void)buffers.take(id);
  } catch (const OfError& error) {
    return error.code();
  }
  return std::nullopt;
}

}  // namespace

TEST_SUITE("openflow packet buffers") {
  TEST_CASE("a packet is taken once, and nothing else under its number") {
    PacketBuffers buffers;
    const std::uint32_t id = buffers.put({{1, 2, 3}, PortNo{4}});
    CHECK(refusal(buffers, id + 1) == OfErrorCode::kBufferUnknown);
    const BufferedPacket packet = buffers.take(id);
    CHECK(packet.frame == std::vector<std::uint8_t>{1, 2, 3});
    CHECK(packet.in_port == PortNo{4});
    CHECK(refusal(buffers, id) == OfErrorCode::kBufferEmpty);
  }

  TEST_CASE("the oldest makes way, and its number leads to no other packet") {
    PacketBuffers buffers;
    const std::uint32_t first = buffers.put({{1}, PortNo{1}});
    const std::uint32_t second = buffers.put({{2}, PortNo{1}});
    for (std::uint32_t i = 0; i < PacketBuffers::kCount - 1; ++i) buffers.put({{3}, PortNo{1}});
    CHECK(refusal(buffers, first) == OfErrorCode::kBufferUnknown);
    CHECK(buffers.take(second).frame == std::vector<std::uint8_t>{2});
  }
}
