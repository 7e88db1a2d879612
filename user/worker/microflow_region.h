// SPDX-License-Identifier: Apache-2.0
// How much of the exact-match cache's array is in use: the first groups, and as few as the packets' keys want. The
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
  // Borrows; an even number of groups. The configuration's hash is what they were written with.
  MicroflowRegion(std::span<const shunt_microflow_group> groups, std::span<const shunt_port> ports,
                  const shunt_config& config)
      : groups_{groups},
        ports_{ports},
        seed_{config.hash_seed},
        multiplier_{config.hash_multiplier},
        size_{clamped(0)} {}

  [[nodiscard]] std::uint32_t size() const { return size_; }  // groups in use: an even number
  [[nodiscard]] std::uint32_t limit() const { return static_cast<std::uint32_t>(groups_.size()); }

  // Once a second, with the number of cached flows: grows at once, by two thirds or more, as each change makes all void
  // that is kept; shrinks when it has long been twice as large as is good.
  void follow(std::uint32_t flows);
  // Whether all that is kept should go, so that a sample tells what is still asked for: a key stays as long as no flow
  // of its port goes, even if its connection has ended. Now and then, where keys and not flows make the size.
  [[nodiscard]] bool wants_refill() const { return wants_refill_; }

 private:
  static constexpr std::uint32_t kLeast = 1024;
  // Units for each that keys want. With three, one key in a hundred finds its group full, with five one in a thousand
  // (longer ones: two or three, and one).
  static constexpr std::uint64_t kLeastRoom = 3, kRoom = 5, kMostRoom = 10;
  static constexpr unsigned kCalm = 10, kRefill = 60;  // calls of follow()

  std::span<const shunt_microflow_group> groups_;
  std::span<const shunt_port> ports_;
  std::uint64_t seed_, multiplier_;
  std::uint32_t size_;
  unsigned too_large_ = 0, by_keys_ = 0;  // for how many calls
  bool wants_refill_ = false;
  std::minstd_rand random_;

  [[nodiscard]] std::uint32_t clamped(std::uint64_t units) const;
  struct Sample {
    std::uint64_t keys = 0, units = 0;  // those wanted: half as much again as they take, of keys that take several
  };
  void count(const shunt_microflow_group& group, Sample& sample) const;
  [[nodiscard]] Sample take_sample();  // of kSample groups
};

}  // namespace shunt
