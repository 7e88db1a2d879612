// SPDX-License-Identifier: Apache-2.0
#include "user/worker/youth.h"

#include <algorithm>
#include <utility>

namespace shunt {

// What is finished is read first: counts that are equal were so at that moment, for neither goes down.
bool Youth::is_quiet(std::uint32_t bucket) const noexcept {
  auto& order = const_cast<shunt_order&>(order_[bucket]);
  const std::uint32_t finished = std::atomic_ref{order.finished}.load(std::memory_order_acquire);
  return std::atomic_ref{order.handed_up}.load(std::memory_order_acquire) == finished;
}

TimePoint Youth::ends_before(TimePoint now) {
  for (const Reached& reached : workers_)
    if (now - reached.time.load(std::memory_order_acquire) > kLate) late_ = now;
  if (now - looked_ >= kLook) look(now);
  const auto longest = now - late_ < kLength ? kLongestLate : kLongest;
  return std::clamp(cleared_, now - longest, now - kLength);
}

void Youth::look(TimePoint now) {
  looked_ = now;
  std::erase_if(busy_, [this](std::uint32_t bucket) { return is_quiet(bucket); });
  if (!busy_.empty()) return;
  cleared_ = std::exchange(mark_, now);
  for (std::uint32_t bucket = 0; bucket < order_.size(); ++bucket)
    if (!is_quiet(bucket)) busy_.push_back(bucket);
}

}  // namespace shunt
