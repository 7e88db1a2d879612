// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/meter_codec.h"

#include <chrono>

#include "user/openflow/codec/message.h"

namespace shunt::openflow {
namespace {

enum MeterFlag : std::uint16_t { kKbps = 1, kPktps = 2, kBurst = 4, kStats = 8 };
constexpr std::uint16_t kDropBand = 1, kDscpRemarkBand = 2;
constexpr std::size_t kBandSize = 16;

MeterBand decode_band(Reader& in) {
  const std::uint16_t type = in.u16(), size = in.u16();
  if (type != kDropBand && type != kDscpRemarkBand)
    throw OfError(OfErrorCode::kBadBand, "meter band type {} is unknown", type);
  if (size != kBandSize) throw OfError(OfErrorCode::kBadLength, "a meter band of {} bytes", size);
  MeterBand band;
  band.type = type == kDropBand ? SHUNT_BAND_DROP : SHUNT_BAND_DSCP_REMARK;
  band.rate = in.u32();
  band.burst_size = in.u32();
  if (type == kDscpRemarkBand) {
    band.precedence = in.u8();
    in.skip(3);
  } else {
    in.skip(4);
  }
  return band;
}

std::uint16_t flags_of(const MeterConfig& config) {
  return static_cast<std::uint16_t>((config.packets ? kPktps : kKbps) | (config.burst ? kBurst : 0) |
                                    (config.stats ? kStats : 0));
}

void put_bands(Writer& out, const MeterConfig& config) {
  for (const MeterBand& band : config.bands) {
    const bool remark = band.type == SHUNT_BAND_DSCP_REMARK;
    out.u16(remark ? kDscpRemarkBand : kDropBand);
    out.u16(kBandSize);
    out.u32(band.rate);
    out.u32(band.burst_size);
    out.u8(remark ? band.precedence : std::uint8_t{0});
    out.zeros(3);
  }
}

}  // namespace

MeterMod decode_meter_mod(Bytes body) {
  Reader in{body};
  MeterMod mod;
  const std::uint16_t command = in.u16();
  if (command > static_cast<std::uint16_t>(MeterMod::Command::kDelete))
    throw OfError(OfErrorCode::kMeterBadCommand, "meter-mod command {} is unknown", command);
  mod.command = static_cast<MeterMod::Command>(command);
  const std::uint16_t flags = in.u16();
  mod.config.id = in.u32();
  if (mod.command == MeterMod::Command::kDelete) return mod;
  if ((flags & ~(kKbps | kPktps | kBurst | kStats)) != 0 || (flags & (kKbps | kPktps)) == (kKbps | kPktps))
    throw OfError(OfErrorCode::kMeterBadFlags, "meter flags {:#x}: kbps or pktps, burst, stats", flags);
  mod.config.packets = (flags & kPktps) != 0;
  mod.config.burst = (flags & kBurst) != 0;
  mod.config.stats = (flags & kStats) != 0;
  while (!in.done()) {
    if (mod.config.bands.size() == kMaxMeterBands)
      throw OfError(OfErrorCode::kOutOfBands, "more than {} bands", kMaxMeterBands);
    mod.config.bands.push_back(decode_band(in));
    if (!mod.config.burst) mod.config.bands.back().burst_size = 0;
  }
  return mod;
}

void encode_meter_mod(Writer& out, const MeterMod& mod, Version version, std::uint32_t xid) {
  const MessageScope scope{out, version, MessageKind::kMeterMod, xid};
  out.u16(static_cast<std::uint16_t>(mod.command));
  out.u16(flags_of(mod.config));
  out.u32(mod.config.id);
  put_bands(out, mod.config);
}

void encode_meter_stats(Writer& out, const Meter& meter, const MeterStats& stats, TimePoint now) {
  const std::size_t start = out.size();
  out.u32(meter.config.id);
  out.u16(0);
  out.zeros(6);
  out.u32(static_cast<std::uint32_t>(stats.flow_count));
  out.u64(stats.packets);
  out.u64(stats.bytes);
  put_duration(out, now - meter.created);
  for (const MeterStats::Band& band : stats.bands) {
    out.u64(band.packets);
    out.u64(band.bytes);
  }
  out.patch16(start + 4, out.size() - start);
}

void encode_meter_config(Writer& out, const MeterConfig& config) {
  const std::size_t start = out.size();
  out.u16(0);
  out.u16(flags_of(config));
  out.u32(config.id);
  put_bands(out, config);
  out.patch16(start, out.size() - start);
}

void encode_meter_features(Writer& out, std::uint32_t max_meters) {
  out.u32(max_meters);
  out.u32(1u << kDropBand | 1u << kDscpRemarkBand);
  out.u32(kKbps | kPktps | kBurst | kStats);
  out.u8(kMaxMeterBands);
  out.u8(0);  // colours
  out.zeros(2);
}

}  // namespace shunt::openflow
