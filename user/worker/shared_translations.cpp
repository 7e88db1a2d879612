// SPDX-License-Identifier: Apache-2.0
#include "user/worker/shared_translations.h"

#include <cstring>
#include <functional>
#include <utility>

#include "bpf/datapath/mask.h"

namespace shunt {
namespace {

bool is_sharable(const Translation& t) {
  return t.learned.empty() && t.fin_timeouts.empty() && t.controllers.empty() && t.samples.empty() &&
         t.ttl_controllers.empty();
}

bool equal_actions(const DpActions& a, const DpActions& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(shunt_action)) == 0);
}

// But for what is each flow's own.
bool equal_content(const Translation& a, const Translation& b) {
  return a.rules == b.rules && equal_actions(a.actions, b.actions) && a.drop == b.drop &&
         a.needs_packet == b.needs_packet && a.may_be_bridged == b.may_be_bridged && a.bridged == b.bridged &&
         a.bridge == b.bridge && a.credits == b.credits && equal(a.mask, b.mask) &&
         a.dependencies.tags == b.dependencies.tags && a.dependencies.tables == b.dependencies.tables &&
         equal(a.dependencies.rewritten, b.dependencies.rewritten);
}

std::uint64_t hash_of(const Translation& t) {
  constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  std::uint64_t hash = t.dependencies.tags ^ static_cast<std::uint64_t>(t.drop) << 32;
  const auto add = [&hash](std::uint64_t word) { hash = shunt_hash_step(hash, word, kMultiplier); };
  for (const RuleRef& rule : t.rules) add(reinterpret_cast<std::uintptr_t>(rule.get()));
  for (const auto& counters : t.credits) add(reinterpret_cast<std::uintptr_t>(counters.get()));
  for (const shunt_action& action : t.actions) {
    std::uint64_t halves[2];
    static_assert(sizeof halves == sizeof action);
    std::memcpy(halves, &action, sizeof halves);
    add(halves[0]);
    if (halves[1] != 0) add(halves[1]);
  }
  for (const std::uint64_t word : to_words(t.mask)) add(word);
  return hash;
}

}  // namespace

TranslationRef SharedTranslations::share(TranslationRef translation) {
  if (!is_sharable(*translation)) return translation;
  const std::uint64_t hash = hash_of(*translation);
  const auto [begin, end] = known_.equal_range(hash);
  for (auto at = begin; at != end; ++at) {
    TranslationRef one = at->second.lock();
    if (one == nullptr) {  // its place is free
      at->second = translation;
      return translation;
    }
    if (equal_content(*one, *translation)) return one;
  }
  if (known_.size() >= purge_at_) {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    purge_at_ = 2 * known_.size() + kSlack;
  }
  known_.emplace(hash, translation);
  return translation;
}

}  // namespace shunt
