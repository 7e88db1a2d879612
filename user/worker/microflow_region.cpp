// SPDX-License-Identifier: Apache-2.0
#include "user/worker/microflow_region.h"

#include <algorithm>
#include <atomic>
#include <bit>

namespace shunt {
namespace {

constexpr std::uint32_t kSample = 256;

// The kernel side writes meanwhile.
template <typename T>
T load(const T& at) noexcept {
  return std::atomic_ref<T>{const_cast<T&>(at)}.load(std::memory_order_relaxed);
}

}  // namespace

void MicroflowRegion::follow(std::uint32_t flows) {
  wants_refill_ = false;
  const std::uint32_t keys = count_keys();
  const std::uint32_t wanted = clamped(std::uint64_t{kRoom} * std::max(flows, keys));
  too_large_ = wanted < size_ ? too_large_ + 1 : 0;
  if (wanted > size_ || too_large_ >= kCalm) {
    size_ = wanted;
    too_large_ = 0;
  }
  by_keys_ = size_ > clamped(std::uint64_t{kRoom} * flows) ? by_keys_ + 1 : 0;
  if (by_keys_ < kRefill) return;
  by_keys_ = 0;
  wants_refill_ = true;
}

std::uint32_t MicroflowRegion::clamped(std::uint64_t size) const {
  const auto all = static_cast<std::uint32_t>(elements_.size());
  return std::min(all, std::bit_ceil(static_cast<std::uint32_t>(std::clamp<std::uint64_t>(size, kLeast, 1U << 31))));
}

bool MicroflowRegion::is_live(const shunt_microflow& element) const {
  const std::uint64_t valid = load(element.valid);
  const std::uint32_t port = load(element.in_port) & SHUNT_MICROFLOW_PORT;
  return valid != 0 && port < ports_.size() && load(ports_[port].microflows) == valid;
}

std::uint32_t MicroflowRegion::count_keys() {
  std::uint32_t live = 0;
  for (std::uint32_t i = 0; i < kSample; ++i)
    live += is_live(elements_[random_() & (size_ - 1)]) ? 1 : 0;
  return static_cast<std::uint32_t>(std::uint64_t{size_} * live / kSample);
}

}  // namespace shunt
