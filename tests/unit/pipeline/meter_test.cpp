// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <optional>
#include <set>
#include <vector>

#include "user/base/of_error.h"
#include "user/pipeline/switch.h"

using namespace shunt;
using Command = MeterMod::Command;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};

MeterBand band(std::uint32_t rate, std::uint32_t burst = 0) {
  MeterBand made;
  made.rate = rate;
  made.burst_size = burst;
  return made;
}

struct OneBridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");
  std::vector<std::uint16_t> written;  // slots

  OneBridge() {
    config.on_meter([this](const Meter& meter) { written.push_back(meter.slot); });
  }
  Change put(Command command, std::uint32_t meter, std::vector<MeterBand> bands = {band(1000)}) {
    MeterMod mod;
    mod.command = command;
    mod.config.id = meter;
    mod.config.bands = std::move(bands);
    return config.apply_meter(id, mod, kStart);
  }
  Change rule(std::uint32_t meter, std::uint16_t priority) {
    FlowMod mod;
    mod.priority = priority;
    mod.actions = {MeterAction{meter}, OutputAction{PortNo{1}}};
    return config.apply(id, std::span{&mod, 1}, kStart);
  }
  MeterRef meter(std::uint32_t number) {
    const auto& meters = *config.find_bridge("br0")->meters;
    const auto found = meters.find(number);
    return found == meters.end() ? nullptr : found->second;
  }
};

template <typename Work>
std::optional<OfErrorCode> refusal(OneBridge& bridge, Work work) {
  const auto state = bridge.config.state();
  try {
    work();
  } catch (const OfError& error) {
    CHECK(bridge.config.state() == state);
    return error.code();
  }
  return std::nullopt;
}

}  // namespace

TEST_SUITE("meters") {
  TEST_CASE("a meter's slot is written before the state that names it, and a modified one moves to a fresh slot") {
    OneBridge bridge;
    bridge.config.on_meter([&](const Meter& meter) {
      bridge.written.push_back(meter.slot);
      const MeterRef known = bridge.meter(meter.config.id);
      CHECK((known == nullptr || known->slot != meter.slot));
    });
    const std::uint64_t tag = tag_of(DependencyKind::kMeter, 4);
    CHECK(bridge.put(Command::kAdd, 4).tags == tag);
    const std::uint16_t first = bridge.meter(4)->slot;
    CHECK(first >= 1);
    CHECK(bridge.put(Command::kModify, 4, {band(2000)}).tags == tag);
    const std::uint16_t second = bridge.meter(4)->slot;
    CHECK(second != first);
    CHECK(bridge.meter(4)->config.bands[0].rate == 2000);
    CHECK(bridge.written == std::vector<std::uint16_t>{first, second});
    bridge.put(Command::kAdd, 5);
    CHECK(bridge.meter(5)->slot != first);  // programs may still run over it
    bridge.config.collect(bridge.config.version());
    bridge.put(Command::kAdd, 6);
    CHECK(bridge.meter(6)->slot == first);
  }

  TEST_CASE("what OpenFlow refuses of a meter has its code") {
    OneBridge bridge;
    const auto add = [&](std::uint32_t id, std::vector<MeterBand> bands) {
      return refusal(bridge, [&] { bridge.put(Command::kAdd, id, std::move(bands)); });
    };
    CHECK(add(0, {}) == OfErrorCode::kInvalidMeter);
    CHECK(add(kMeterMax + 1, {}) == OfErrorCode::kInvalidMeter);
    CHECK(add(kMeterAll, {}) == OfErrorCode::kInvalidMeter);
    CHECK(add(kMeterSlowpath, {}) == OfErrorCode::kInvalidMeter);
    CHECK(add(1, {band(0)}) == OfErrorCode::kBadRate);
    CHECK(add(1, std::vector<MeterBand>(SHUNT_METER_BANDS + 1, band(5))) == OfErrorCode::kOutOfBands);
    MeterBand wrong = band(5);
    wrong.type = SHUNT_BAND_NONE;
    CHECK(add(1, {wrong}) == OfErrorCode::kBadBand);
    wrong.type = SHUNT_BAND_DSCP_REMARK;
    CHECK(add(1, {wrong}) == OfErrorCode::kBadBandValue);
    CHECK(add(1, {band(5)}) == std::nullopt);
    CHECK(add(1, {band(5)}) == OfErrorCode::kMeterExists);
    CHECK(refusal(bridge, [&] { bridge.put(Command::kModify, 2); }) == OfErrorCode::kUnknownMeter);
    CHECK(bridge.put(Command::kDelete, 2).empty());
    CHECK(refusal(bridge, [&] { bridge.rule(2, 10); }) == OfErrorCode::kUnknownMeter);
  }

  TEST_CASE("there are as many meters as slots, over all bridges, and a refused request takes none") {
    OneBridge bridge;
    std::vector<MeterMod> mods(SHUNT_MAX_METERS - 1);
    for (std::size_t i = 0; i < mods.size(); ++i) mods[i].config.id = static_cast<std::uint32_t>(i + 1);
    const BridgeId other = bridge.config.add_bridge("br1");
    bridge.config.apply_meter(other, std::span{mods}.first(1), kStart);
    CHECK(refusal(bridge, [&] { bridge.config.apply_meter(bridge.id, mods, kStart); }) == OfErrorCode::kOutOfMeters);
    mods.pop_back();
    bridge.config.apply_meter(bridge.id, mods, kStart);
    std::set<std::uint16_t> slots;
    for (const auto& name : {"br0", "br1"})
      for (const auto& [id, meter] : *bridge.config.find_bridge(name)->meters) slots.insert(meter->slot);
    CHECK(slots.size() == SHUNT_MAX_METERS - 1);
    bridge.config.del_bridge("br0");
    bridge.config.collect(bridge.config.version());
    bridge.config.apply_meter(other, std::span{mods}.subspan(1), kStart);
  }

  TEST_CASE("the rules that use a meter go with it") {
    OneBridge bridge;
    bridge.put(Command::kAdd, 1);
    bridge.put(Command::kAdd, 2);
    bridge.rule(1, 10);
    bridge.rule(1, 11);
    bridge.rule(2, 12);
    CHECK(bridge.config.meter_references(bridge.id, 1) == 2);
    bridge.put(Command::kModify, 1);
    CHECK(bridge.config.meter_references(bridge.id, 1) == 2);
    const Change change = bridge.put(Command::kDelete, 1);
    REQUIRE(change.removed.size() == 2);
    CHECK(change.removed[0].reason == RemovedReason::kMeterDelete);
    CHECK(bridge.meter(1) == nullptr);
    CHECK(bridge.put(Command::kDelete, kMeterAll).removed.size() == 1);
    CHECK(bridge.config.list(bridge.id, FlowMod{}).size() == 1);
  }

  TEST_CASE("the datapath's bands ascend by rate, and a packet costs what the rate says") {
    MeterConfig config;
    config.burst = true;
    config.bands = {band(8000, 80), band(1000, 10)};
    const shunt_meter meter = encode_meter(config);
    CHECK(meter.flags == SHUNT_METER_IN_USE);
    REQUIRE(meter.band_count == 2);
    const double unit = 16.0 * 65536;                                                 // of a cost, a ns
    CHECK(static_cast<double>(meter.bands[0].cost) / unit == doctest::Approx(8000));  // ns a byte at 1 Mbit/s
    CHECK(static_cast<double>(meter.bands[1].cost) / unit == doctest::Approx(1000));
    CHECK(static_cast<double>(meter.bands[0].burst) / 16 == doctest::Approx(10e6));  // 10 kbit at 1 Mbit/s: 10 ms
    CHECK(sorted_bands(config)[0].rate == 1000);
    config.packets = true;
    config.burst = false;
    config.bands = {band(100), band(1'000'000)};
    const shunt_meter packets = encode_meter(config);
    CHECK(packets.flags == (SHUNT_METER_IN_USE | SHUNT_METER_PACKETS));
    CHECK(static_cast<double>(packets.bands[0].cost) / unit == doctest::Approx(1e7));
    CHECK(static_cast<double>(packets.bands[0].burst) / 16 == doctest::Approx(1e8));  // 10 packets, not 50 ms
    CHECK(static_cast<double>(packets.bands[1].burst) / 16 == doctest::Approx(5e7));  // 50 ms
    config.burst = true;
    config.bands = {band(1, 0xffffffff)};
    CHECK(encode_meter(config).bands[0].burst == std::uint64_t{1} << 62);
  }
}
