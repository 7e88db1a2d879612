// SPDX-License-Identifier: Apache-2.0
#include "user/worker/eviction.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "maps/port.h"

namespace shunt {
namespace {

using Candidates = std::span<EvictionCandidate>;

// They sorted by port: a run for each that has some, in `sorted`.
std::vector<Candidates> by_port(std::span<const EvictionCandidate> candidates,
                                std::vector<EvictionCandidate>& sorted) {
  std::vector<std::size_t> ends(SHUNT_MAX_PORTS + 1);
  for (const EvictionCandidate& each : candidates) ++ends[each.port + 1U];
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  sorted.resize(candidates.size());
  for (const EvictionCandidate& each : candidates) sorted[ends[each.port]++] = each;
  std::vector<Candidates> runs;
  for (std::size_t port = 0, begin = 0; port < SHUNT_MAX_PORTS; begin = ends[port++])
    if (ends[port] != begin) runs.push_back(std::span{sorted}.subspan(begin, ends[port] - begin));
  return runs;
}

struct Share {
  std::size_t kept;      // of each port at most
  std::size_t one_more;  // so many ports that keep that many lose one more
};

// For `count` to go in all, which is no more than all of them.
Share fair_share(std::span<const Candidates> ports, std::size_t count) {
  const auto gone = [&](std::size_t kept) {
    std::size_t sum = 0;
    for (const Candidates& port : ports) sum += port.size() - std::min(port.size(), kept);
    return sum;
  };
  std::size_t enough = 0, too_few = 1;  // go where so many are kept
  for (const Candidates& port : ports) too_few = std::max(too_few, port.size() + 1);
  while (too_few - enough > 1) {
    const std::size_t kept = enough + (too_few - enough) / 2;
    (gone(kept) >= count ? enough : too_few) = kept;
  }
  return {too_few, count - gone(too_few)};
}

}  // namespace

std::vector<std::uint32_t> choose_victims(std::vector<EvictionCandidate> candidates, std::size_t count) {
  std::vector<std::uint32_t> slots;
  count = std::min(count, candidates.size());
  if (count == 0) return slots;
  const auto last = candidates.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::ranges::nth_element(candidates, last, {}, &EvictionCandidate::hits);
  const std::uint8_t hits = last->hits;
  const auto alike = std::partition(candidates.begin(), candidates.end(),
                                    [hits](const EvictionCandidate& each) { return each.hits < hits; });
  const auto others = std::partition(alike, candidates.end(),
                                     [hits](const EvictionCandidate& each) { return each.hits == hits; });
  for (auto each = candidates.begin(); each != alike; ++each) slots.push_back(each->slot);

  std::vector<EvictionCandidate> sorted;
  const std::vector<Candidates> ports = by_port({alike, others}, sorted);
  auto [kept, one_more] = fair_share(ports, count - slots.size());
  for (const Candidates& port : ports) {
    std::size_t going = port.size() - std::min(port.size(), kept);
    if (port.size() >= kept && one_more > 0) {
      ++going;
      --one_more;
    }
    std::ranges::nth_element(port, port.begin() + static_cast<std::ptrdiff_t>(going), {}, &EvictionCandidate::used);
    for (const EvictionCandidate& each : port.first(going)) slots.push_back(each.slot);
  }
  return slots;
}

}  // namespace shunt
