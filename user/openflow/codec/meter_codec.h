// SPDX-License-Identifier: Apache-2.0
// Messages about meters: meter-mod, and multipart replies. Threads: any.
#pragma once

#include <cstdint>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/version.h"
#include "user/pipeline/meter.h"

namespace shunt::openflow {

inline constexpr std::uint8_t kMaxMeterBands = SHUNT_METER_BANDS;

[[nodiscard]] MeterMod decode_meter_mod(Bytes body);
void encode_meter_mod(Writer& out, const MeterMod& mod, Version version, std::uint32_t xid);

// Entries of the replies to kMeter and kMeterConfig; the reply to kMeterFeatures.
void encode_meter_stats(Writer& out, const Meter& meter, const MeterStats& stats, TimePoint now);
void encode_meter_config(Writer& out, const MeterConfig& config);
void encode_meter_features(Writer& out, std::uint32_t max_meters);

}  // namespace shunt::openflow
