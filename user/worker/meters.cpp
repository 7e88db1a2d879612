// SPDX-License-Identifier: Apache-2.0
#include "user/worker/meters.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "user/base/error.h"

namespace shunt {
namespace {

std::uint64_t load(const __u64& counter) { return __atomic_load_n(&counter, __ATOMIC_RELAXED); }

// In which place of the datapath's bands, which ascend by rate, each band of the configuration is (encode_meter()).
std::vector<std::size_t> places_of(const std::vector<MeterBand>& bands) {
  std::vector<std::size_t> order(bands.size()), places(bands.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return bands[a].rate < bands[b].rate; });
  for (std::size_t place = 0; place < order.size(); ++place) places[order[place]] = place;
  return places;
}

}  // namespace

void write_meter(std::span<shunt_meter> meters, const Meter& meter) {
  if (meter.slot == 0 || meter.slot >= meters.size()) throw Error("meter slot {} is out of range", meter.slot);
  meters[meter.slot] = encode_meter(meter.config);
}

bool is_as_configured(std::span<const shunt_meter> meters, const Meter& meter) {
  if (meter.slot >= meters.size()) return false;
  shunt_meter there = meters[meter.slot];
  const shunt_meter wanted = encode_meter(meter.config);
  // But for what it has measured.
  there.packets = wanted.packets;
  there.bytes = wanted.bytes;
  for (std::size_t i = 0; i < SHUNT_METER_BANDS; ++i) {
    there.bands[i].next = wanted.bands[i].next;
    there.bands[i].packets = wanted.bands[i].packets;
    there.bands[i].bytes = wanted.bands[i].bytes;
  }
  return std::memcmp(&there, &wanted, sizeof there) == 0;
}

MeterStats read_meter(std::span<const shunt_meter> meters, const Meter& meter) {
  MeterStats stats;
  if (meter.slot == 0 || meter.slot >= meters.size()) return stats;
  const shunt_meter& slot = meters[meter.slot];
  stats.packets = load(slot.packets);
  stats.bytes = load(slot.bytes);
  for (const std::size_t place : places_of(meter.config.bands)) {
    if (place >= SHUNT_METER_BANDS) break;
    stats.bands.push_back({load(slot.bands[place].packets), load(slot.bands[place].bytes)});
  }
  return stats;
}

}  // namespace shunt
