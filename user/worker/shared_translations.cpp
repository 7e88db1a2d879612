// SPDX-License-Identifier: Apache-2.0
#include "user/worker/shared_translations.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "bpf/datapath/mask.h"

namespace shunt {
namespace {

using Controllers = std::vector<Translation::Controller>;

// What hears of TTLs that run out is alike for all that a router forwards; the rest of what follows hangs on the
// packet.
bool is_sharable(const Translation& t) {
  const Translation::FollowUps& then = *t.follow_ups;
  return then.learned.empty() && then.fin_timeouts.empty() && then.controllers.empty() && then.samples.empty();
}

bool is_same(const Translation::Controller& a, const Translation::Controller& b) {
  return a.action == b.action && a.rule == b.rule && a.table == b.table &&
         std::memcmp(&a.fields, &b.fields, sizeof a.fields) == 0 && a.in_port == b.in_port && a.paused == b.paused &&
         a.only_old == b.only_old;
}

bool equal_receivers(const Translation& a, const Translation& b) {
  return std::ranges::equal(
      a.follow_ups->ttl_controllers, b.follow_ups->ttl_controllers,
      [](const Controllers& x, const Controllers& y) { return std::ranges::equal(x, y, is_same); });
}

// But for what is each flow's own.
bool equal_content(const Translation& a, const Translation& b) {
  return a.rules == b.rules && equal(a.actions, b.actions) && a.drop == b.drop && a.needs_packet == b.needs_packet &&
         a.may_be_bridged == b.may_be_bridged && a.bridged == b.bridged && a.bridge == b.bridge &&
         a.credits == b.credits && equal(a.mask, b.mask) && a.dependencies.tags == b.dependencies.tags &&
         a.dependencies.tables == b.dependencies.tables &&
         equal(*a.dependencies.rewritten, *b.dependencies.rewritten) && equal_receivers(a, b);
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
  // Registers may hold what is each packet's own.
  for (const Controllers& controllers : t.follow_ups->ttl_controllers)
    for (const Translation::Controller& controller : controllers) {
      PipelineKey key{};
      static_cast<PipelineFields&>(key) = controller.fields;
      for (const std::uint64_t word : to_words(key)) add(word);
    }
  return hash == 0 ? 1 : hash;
}

}  // namespace

bool SharedTranslations::are_alike(const Translation& a, const Translation& b) {
  return is_sharable(a) && is_sharable(b) && equal_content(a, b);
}

TranslationRef SharedTranslations::share(TranslationRef translation) {
  if (!is_sharable(*translation)) return translation;
  const std::uint64_t hash = hash_of(*translation);
  Place* place = &first_place(hash);
  for (; place->hash != 0; place = &next_place(*place)) {
    if (place->hash != hash) continue;
    TranslationRef one = place->translation.lock();
    if (one == nullptr) break;  // its place is free
    if (equal_content(*one, *translation)) return one;
  }
  if (place->hash == 0) ++used_;
  auto kept = std::make_shared<const Translation>(*translation);
  *place = {hash, kept};
  if (2 * used_ > places_.size()) make_room();
  return kept;
}

// Twice as many places as those that live want.
void SharedTranslations::make_room() {
  std::vector<Place> all = std::move(places_);
  std::erase_if(all, [](const Place& place) { return place.translation.expired(); });
  used_ = all.size();
  places_ = std::vector<Place>(std::bit_ceil(std::max(kMinPlaces, 4 * used_)));
  for (Place& place : all) {
    Place* to = &first_place(place.hash);
    while (to->hash != 0) to = &next_place(*to);
    *to = std::move(place);
  }
}

}  // namespace shunt
