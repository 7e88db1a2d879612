// SPDX-License-Identifier: Apache-2.0
#include "user/worker/microflow_region.h"

#include <algorithm>
#include <atomic>

#include "bpf/datapath/microflow_units.h"

namespace shunt {
namespace {

static_assert(SHUNT_MAX_PORTS - 1 <= SHUNT_MICROFLOW_PORT);

constexpr std::uint32_t kSample = 256;

// The kernel side writes meanwhile.
template <typename T>
T load(const T& at) noexcept {
  return std::atomic_ref<T>{const_cast<T&>(at)}.load(std::memory_order_relaxed);
}
shunt_microflow_group load(const shunt_microflow_group& group) noexcept {
  shunt_microflow_group copy;
  for (std::size_t i = 0; i < SHUNT_MICROFLOW_UNITS; ++i) {
    const shunt_microflow_unit& unit = group.unit[i];
    copy.unit[i] = {{load(unit.key[0]), load(unit.key[1])},
                    load(unit.slot),
                    load(unit.output),
                    load(unit.in_port),
                    load(unit.check)};
  }
  return copy;
}

}  // namespace

void MicroflowRegion::follow(std::uint32_t flows) {
  wants_refill_ = false;
  const Sample sample = take_sample();
  const std::uint64_t for_flows = sample.keys == 0 ? flows : flows * sample.units / sample.keys;
  const std::uint64_t units = std::max(for_flows, size_ * sample.units / kSample);
  too_large_ = size_ > clamped(kMostRoom * units) ? too_large_ + 1 : 0;
  if (size_ < clamped(kLeastRoom * units) || too_large_ >= kCalm) {
    size_ = clamped(kRoom * units);
    too_large_ = 0;
  }
  by_keys_ = size_ > clamped(kMostRoom * for_flows) ? by_keys_ + 1 : 0;
  if (by_keys_ < kRefill) return;
  by_keys_ = 0;
  wants_refill_ = true;
}

// Groups for so many units.
std::uint32_t MicroflowRegion::clamped(std::uint64_t units) const {
  const std::uint64_t groups = std::max<std::uint64_t>(units / SHUNT_MICROFLOW_UNITS, kLeast);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(limit(), groups + groups % 2));
}

void MicroflowRegion::count(const shunt_microflow_group& group, Sample& sample) const {
  const shunt_microflow_group copy = load(group);
  for (std::uint32_t first = 0; first < SHUNT_MICROFLOW_UNITS; ++first) {
    const std::uint64_t valid = shunt_microflow_valid(&copy, first, seed_, multiplier_);
    const std::uint32_t port = copy.unit[first].in_port & SHUNT_MICROFLOW_PORT;
    if (valid == 0 || port >= ports_.size() || load(ports_[port].microflows) != valid) continue;
    const std::uint32_t units = shunt_microflow_units(copy.unit[first].in_port);
    sample.keys += 1;
    sample.units += units + units / 2;  // fewer have room in a group: more are in each other's way
  }
}

MicroflowRegion::Sample MicroflowRegion::take_sample() {
  Sample sample;
  for (std::uint32_t i = 0; i < kSample; ++i) count(groups_[random_() % size_], sample);
  return sample;
}

}  // namespace shunt
