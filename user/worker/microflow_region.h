// SPDX-License-Identifier: Apache-2.0
// How much of the exact-match cache's array is in use: the first elements, and as few as the packets' keys want. The
// array has room for as many flows as there may ever be; keys of a few thousand flows that were spread over all of it
// would each lie in a page of their own, and cost a miss of the TLB a packet.
//
// Flows say at least how many keys there are, but a wide one has a key for each value of its fields: so a sample is
// taken of how full the region is. Threads: the revalidator.
#pragma once

#include <cstdint>
#include <random>
#include <span>

#include "maps/flow.h"
#include "maps/port.h"

namespace shunt {

class MicroflowRegion {
 public:
  // Borrows; a power of two of elements.
  MicroflowRegion(std::span<const shunt_microflow> elements, std::span<const shunt_port> ports)
      : elements_{elements}, ports_{ports}, size_{clamped(0)} {}

  [[nodiscard]] std::uint32_t size() const { return size_; }  // elements in use: a power of two
  [[nodiscard]] std::uint32_t limit() const { return static_cast<std::uint32_t>(elements_.size()); }

  // Once a second, with the number of cached flows: grows at once, shrinks when it has long been too large.
  void follow(std::uint32_t flows);
  // Whether all that is kept should go, so that a sample tells what is still asked for: a key stays as long as no flow
  // of its port goes, even if its connection has ended. Now and then, where keys and not flows make the size.
  [[nodiscard]] bool wants_refill() const { return wants_refill_; }

 private:
  static constexpr std::uint32_t kLeast = 4096;
  static constexpr std::uint32_t kRoom = 4;  // elements a key: those of a pair are seldom asked for by a third
  static constexpr unsigned kCalm = 10, kRefill = 60;  // calls of follow()

  std::span<const shunt_microflow> elements_;
  std::span<const shunt_port> ports_;
  std::uint32_t size_;
  unsigned too_large_ = 0, by_keys_ = 0;  // for how many calls
  bool wants_refill_ = false;
  std::minstd_rand random_;

  [[nodiscard]] std::uint32_t clamped(std::uint64_t size) const;
  [[nodiscard]] bool is_live(const shunt_microflow& element) const;
  [[nodiscard]] std::uint32_t count_keys();  // by a sample
};

}  // namespace shunt
