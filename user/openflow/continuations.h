// SPDX-License-Identifier: Apache-2.0
// Packets that controller(pause) stopped and that a controller may resume, of one bridge. It gets a number, not the
// pipeline's state: nobody can make up one, or change it.
//
// Bounded: the oldest makes way. Each is resumed once. Numbers begin at random, so that those of an earlier daemon are
// none. Thread: control.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <utility>

#include "user/base/of_error.h"
#include "user/pipeline/translate.h"

namespace shunt::openflow {

struct PausedPacket {
  ContinuationRef at;
  PipelineFields fields{};
};

class Continuations {
 public:
  static constexpr std::size_t kCount = 1024;

  std::uint64_t put(PausedPacket&& packet) {
    slots_[next_ % kCount] = {next_, std::move(packet)};
    return next_++;
  }
  // Throws OfError: it was resumed already, or made way.
  PausedPacket take(std::uint64_t id) {
    Slot& slot = slots_[id % kCount];
    if (slot.id != id || slot.packet.at == nullptr)
      throw OfError(OfErrorCode::kStaleResume, "no paused packet {:#x}", id);
    return std::exchange(slot.packet, {});
  }

 private:
  struct Slot {
    std::uint64_t id = 0;
    PausedPacket packet{};
  };
  std::array<Slot, kCount> slots_;
  std::uint64_t next_ = static_cast<std::uint64_t>(std::random_device{}()) << 32 | 1;
};

}  // namespace shunt::openflow
