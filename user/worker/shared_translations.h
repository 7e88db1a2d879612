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
#include <unordered_map>

#include "user/worker/upcall.h"

namespace shunt {

class SharedTranslations {
 public:
  // An earlier one of the same content that somebody still has; else this one, from now on.
  [[nodiscard]] TranslationRef share(TranslationRef translation);

  [[nodiscard]] std::size_t size() const { return known_.size(); }  // dead ones included

 private:
  static constexpr std::size_t kSlack = 64;

  std::unordered_multimap<std::uint64_t, std::weak_ptr<const Translation>> known_;  // by hash of the content
  std::size_t purge_at_ = kSlack;  // entries; dead ones go when there are so many
};

}  // namespace shunt
