// SPDX-License-Identifier: Apache-2.0
// Packets that wait for a controller to say what becomes of them (buffer_id), of one bridge.
//
// Bounded: the oldest makes way. A buffer is taken once; its number is not used again soon, so that a late taker gets
// an error and not another packet. Thread: control.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "user/base/of_error.h"
#include "user/base/strong_types.h"

namespace shunt::openflow {

struct BufferedPacket {
  std::vector<std::uint8_t> frame;
  PortNo in_port;
};

class PacketBuffers {
 public:
  static constexpr std::uint32_t kCount = 256;

  std::uint32_t put(BufferedPacket&& packet) {
    Slot& slot = slots_[next_ % kCount];
    slot = {next_, true, std::move(packet)};
    const std::uint32_t id = next_;
    // kNoBuffer is none.
    next_ = (next_ + 1) & 0x7fffffff;
    return id;
  }
  // Throws OfError: it was taken already, or there is none of that number (any more).
  [[nodiscard]] const BufferedPacket& at(std::uint32_t id) const {
    const Slot& slot = slots_[id % kCount];
    if (slot.id != id) throw OfError(OfErrorCode::kBufferUnknown, "no buffer {:#x}", id);
    if (!slot.full) throw OfError(OfErrorCode::kBufferEmpty, "buffer {:#x} was used already", id);
    return slot.packet;
  }
  BufferedPacket take(std::uint32_t id) {
    (void)at(id);
    Slot& slot = slots_[id % kCount];
    slot.full = false;
    return std::exchange(slot.packet, {});
  }

 private:
  struct Slot {
    std::uint32_t id = 0xffffffff;
    bool full = false;
    BufferedPacket packet;
  };
  std::array<Slot, kCount> slots_;
  std::uint32_t next_ = 0x100;
};

}  // namespace shunt::openflow
