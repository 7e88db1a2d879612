// SPDX-License-Identifier: Apache-2.0
// Translation of what spreads packets over links by a hash: multipath, bundle (ovs-actions(7)).
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "user/pipeline/flow_hash.h"
#include "user/pipeline/translator.h"

namespace shunt {

namespace {

// Above so many links, a weight for each would cost too much: Open vSwitch has the same limit.
constexpr std::uint32_t kMaxWeightedLinks = 64;
constexpr std::uint32_t kNoPort16 = 0xffff;  // OpenFlow 1.0's OFPP_NONE

// The candidate with the highest weight, and of equal ones the first.
template <typename IsCandidate>
std::optional<std::uint32_t> highest_weight(std::uint32_t hash, std::uint32_t count, IsCandidate is_candidate) {
  std::optional<std::uint32_t> best;
  std::uint32_t best_weight = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t weight = rehash(hash, i);
    if ((best && weight <= best_weight) || !is_candidate(i)) continue;
    best = i;
    best_weight = weight;
  }
  return best;
}

// Hashes again until a link comes out that is there. More of them are not than are at most once in two rounds.
std::uint32_t iterate(std::uint32_t hash, std::uint32_t count, std::uint32_t arg) {
  constexpr std::uint32_t kRounds = 64;
  if (arg < count || arg / 2 > count) arg = std::bit_ceil(count);
  for (std::uint32_t round = 0; round < kRounds; ++round)
    if (const std::uint32_t link = rehash(hash, round) % arg; link < count) return link;
  return hash % count;
}

std::uint32_t choose_link(const MultipathAction& multipath, std::uint32_t hash) {
  using Algorithm = MultipathAction::Algorithm;
  const std::uint32_t count = std::max(multipath.link_count, std::uint32_t{1});
  switch (multipath.algorithm) {
    case Algorithm::kModuloN:
      return hash % count;
    case Algorithm::kHashThreshold:
      return static_cast<std::uint32_t>(std::uint64_t{hash} * count >> 32);
    case Algorithm::kHighestRandomWeight:
      if (count <= kMaxWeightedLinks) return *highest_weight(hash, count, [](std::uint32_t) { return true; });
      [[fallthrough]];
    case Algorithm::kIterativeHash:
      return iterate(hash, count, multipath.arg);
  }
  return 0;
}

}  // namespace

std::uint32_t Translator::hash_packet(HashFields fields, std::uint16_t basis) {
  PipelineMask examined{};
  const std::uint32_t hash = hash_fields(working_, fields, basis, examined);
  examine(examined);
  return hash;
}

void Translator::run(const MultipathAction& multipath) {
  const std::uint32_t hash = hash_packet(multipath.fields, multipath.basis);
  const std::uint32_t link = choose_link(multipath, hash);
  note([&] { return fmt::format("link {} of {}", link, multipath.link_count); });
  write_to(multipath.target, link);
}

void Translator::run(const BundleAction& bundle) {
  const auto is_live = [&](std::uint32_t i) {
    const BridgePort* port = find_port(bundle.members[i]);
    return port != nullptr && port->up;
  };
  const auto count = static_cast<std::uint32_t>(bundle.members.size());
  std::optional<std::uint32_t> member;
  if (bundle.algorithm == BundleAction::Algorithm::kActiveBackup) {
    for (std::uint32_t i = 0; i < count && !member; ++i)
      if (is_live(i)) member = i;
  } else {
    member = highest_weight(hash_packet(bundle.fields, bundle.basis), count, is_live);
  }
  note([&] {
    return member ? fmt::format("member {}", bundle.members[*member].value) : std::string{"no member is live"};
  });

  if (bundle.target)
    write_to(*bundle.target, member ? bundle.members[*member].value & 0xffff : kNoPort16);
  else if (member)
    output(bundle.members[*member], 0, false);
  else
    fail(SHUNT_DROP_NO_OUTPUT_PORT);
}

}  // namespace shunt
