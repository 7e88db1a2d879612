// SPDX-License-Identifier: Apache-2.0
// Meters as configured (OpenFlow 1.3.5 section 5.7). What they measure is in the datapath's `meters` map
// (maps/meter.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "maps/meter.h"
#include "user/base/clock.h"

namespace shunt {

inline constexpr std::uint32_t kMeterMax = 0xffff0000;         // OFPM_MAX
inline constexpr std::uint32_t kMeterSlowpath = 0xfffffffd;    // OFPM_SLOWPATH
inline constexpr std::uint32_t kMeterController = 0xfffffffe;  // OFPM_CONTROLLER
inline constexpr std::uint32_t kMeterAll = 0xffffffff;

struct MeterBand {
  shunt_band_type type = SHUNT_BAND_DROP;
  std::uint32_t rate = 0;        // kbit/s, or packets a second
  std::uint32_t burst_size = 0;  // kbit, or packets; 0: a default (user/pipeline/meter.cpp says which)
  std::uint8_t precedence = 0;   // kDscpRemark
  friend bool operator==(const MeterBand&, const MeterBand&) = default;
};

struct MeterConfig {
  std::uint32_t id = 0;
  bool packets = false;  // pktps; else kbps
  bool burst = false;    // the flag; bursts have a default without
  bool stats = true;
  std::vector<MeterBand> bands;
};

struct Meter {
  MeterConfig config;
  std::uint16_t slot = 0;  // in `meters`; a modified meter moves to a fresh one
  TimePoint created{};
};
using MeterRef = std::shared_ptr<const Meter>;

struct MeterMod {
  enum class Command { kAdd, kModify, kDelete };
  Command command = Command::kAdd;
  MeterConfig config;  // id kMeterAll on kDelete
  std::size_t line = 0;
};

// What the datapath runs: the meter's slot, whole, with nothing counted. Bands in the order of maps/meter.h.
//
// A band without a burst size may send, in a row, 50 ms of its rate, and at least 16 KiB or 10 packets. (OpenFlow
// leaves that open; Open vSwitch takes a whole second.)
[[nodiscard]] shunt_meter encode_meter(const MeterConfig& config);
// The config's bands in the order that encode_meter() gives them.
[[nodiscard]] std::vector<MeterBand> sorted_bands(const MeterConfig& config);

struct MeterStats {
  std::uint64_t flow_count = 0;  // rules that name it
  std::uint64_t packets = 0, bytes = 0;
  struct Band {
    std::uint64_t packets = 0, bytes = 0;
  };
  std::vector<Band> bands;
};

}  // namespace shunt
