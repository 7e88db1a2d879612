// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/meter.h"

#include <algorithm>

namespace shunt {

namespace {

// A second in the schedule's unit (maps/meter.h).
constexpr std::uint64_t kSecond = std::uint64_t{1'000'000'000} << SHUNT_METER_TIME_SHIFT;
constexpr std::uint64_t kMaxBurst = std::uint64_t{1} << 62;  // the schedule compares signed numbers
constexpr double kDefaultBurst = 0.05;                       // s
constexpr double kMinBurstBytes = 16384, kMinBurstPackets = 10;

shunt_meter_band encode_band(const MeterBand& band, const MeterConfig& config) {
  shunt_meter_band encoded{};
  encoded.type = band.type;
  encoded.precedence = band.precedence;
  if (band.rate == 0) return encoded;
  // kbit/s: 125 bytes a second for each.
  const double units_a_second = config.packets ? band.rate : band.rate * 125.0;
  const double units = static_cast<double>(kSecond) / units_a_second;
  encoded.cost = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(units * (1u << SHUNT_METER_COST_SHIFT) + 0.5));
  const double burst =
      config.burst && band.burst_size != 0
          ? (config.packets ? band.burst_size : band.burst_size * 125.0)
          : std::max(units_a_second * kDefaultBurst, config.packets ? kMinBurstPackets : kMinBurstBytes);
  encoded.burst = static_cast<std::uint64_t>(std::min(burst * units, static_cast<double>(kMaxBurst)));
  return encoded;
}

}  // namespace

std::vector<MeterBand> sorted_bands(const MeterConfig& config) {
  std::vector<MeterBand> bands = config.bands;
  std::stable_sort(bands.begin(), bands.end(), [](const MeterBand& a, const MeterBand& b) { return a.rate < b.rate; });
  return bands;
}

shunt_meter encode_meter(const MeterConfig& config) {
  shunt_meter meter{};
  meter.flags = SHUNT_METER_IN_USE;
  if (config.packets) meter.flags |= SHUNT_METER_PACKETS;
  for (const MeterBand& band : sorted_bands(config)) {
    if (meter.band_count == SHUNT_METER_BANDS) break;
    meter.bands[meter.band_count++] = encode_band(band, config);
  }
  return meter;
}

}  // namespace shunt
