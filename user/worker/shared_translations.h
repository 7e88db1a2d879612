// SPDX-License-Identifier: Apache-2.0
// One translation for all cached flows that are decided alike, found by its content: all but its version and its MACs,
// which are each flow's own (FlowMacs). Translations that tell a controller of their packets, sample or learn rules are
// not shared.
//
// It holds none: one that no flow has any more lets go of its rules.
//
// Threads: the revalidator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "user/worker/upcall.h"

namespace shunt {

class SharedTranslations {
 public:
  // An earlier one of the same content that somebody still has; else a copy, from now on: those that stay lie side by
  // side, and what others allocated between others that go comes free.
  [[nodiscard]] TranslationRef share(TranslationRef translation);

  // Whether that would be the same for both.
  [[nodiscard]] static bool are_alike(const Translation& a, const Translation& b);

  [[nodiscard]] std::size_t size() const { return used_; }  // dead ones included

 private:
  static constexpr std::size_t kMinPlaces = 64;
  struct Place {
    std::uint64_t hash = 0;  // of the content; 0: never used
    std::weak_ptr<const Translation> translation;
  };

  [[nodiscard]] Place& first_place(std::uint64_t hash) { return places_[hash & (places_.size() - 1)]; }
  [[nodiscard]] Place& next_place(Place& place) { return &place == &places_.back() ? places_.front() : *(&place + 1); }
  void make_room();

  // Open addressing, at most half full, in one piece: most look-ups wait for one line of it. Dead ones go when there is
  // no room.
  std::vector<Place> places_ = std::vector<Place>(kMinPlaces);
  std::size_t used_ = 0;
};

}  // namespace shunt
