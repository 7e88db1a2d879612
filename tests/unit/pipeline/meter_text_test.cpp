// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/meter_text.h"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <string>

#include "user/base/of_error.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using Command = MeterMod::Command;

namespace {

MeterMod parsed(std::string_view text, Command command = Command::kAdd) { return parse_meter(text, command); }

std::string refusal(std::string_view text, Command command = Command::kAdd) {
  try {
    (void)parsed(text, command);
  } catch (const TextError& error) {
    return error.what();
  }
  return "accepted";
}

OfErrorCode code_of(std::string_view text) {
  try {
    (void)parsed(text);
  } catch (const TextError& error) {
    REQUIRE(error.code());
    return *error.code();
  }
  FAIL("accepted");
  return {};
}

bool same(const MeterConfig& a, const MeterConfig& b) {
  return a.id == b.id && a.packets == b.packets && a.burst == b.burst && a.stats == b.stats && a.bands == b.bands;
}

MeterConfig random_meter(std::mt19937_64& random) {
  MeterConfig config;
  config.id = static_cast<std::uint32_t>(random() % kMeterMax) + 1;
  if (random() % 8 == 0) config.id = kMeterController;
  config.packets = random() % 2 == 0;
  config.burst = random() % 2 == 0;
  config.stats = random() % 2 == 0;
  for (std::uint64_t i = 0, count = random() % SHUNT_METER_BANDS + 1; i < count; ++i) {
    MeterBand band;
    band.rate = static_cast<std::uint32_t>(random() | 1);
    if (config.burst) band.burst_size = static_cast<std::uint32_t>(random());
    if (random() % 2 == 0) {
      band.type = SHUNT_BAND_DSCP_REMARK;
      band.precedence = static_cast<std::uint8_t>(random() % 255 + 1);
    }
    config.bands.push_back(band);
  }
  return config;
}

}  // namespace

TEST_SUITE("meters as text") {
  TEST_CASE("a meter is shown as ovs-ofctl dump-meters does, and that is read again") {
    const MeterMod mod = parsed("meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100");
    CHECK(mod.config.id == 1);
    CHECK_FALSE(mod.config.packets);
    CHECK(mod.config.burst);
    CHECK(mod.config.stats);
    CHECK(format_meter(mod.config) == "meter=1 kbps burst stats bands=\ntype=drop rate=1000 burst_size=100");
    CHECK(same(parsed(format_meter(mod.config)).config, mod.config));
    const MeterMod two = parsed("meter=2 pktps bands=type=dscp_remark,rate=800,prec_level=1,type=drop rate=1000");
    CHECK(two.config.packets);
    REQUIRE(two.config.bands.size() == 2);
    CHECK(two.config.bands[0].type == SHUNT_BAND_DSCP_REMARK);
    CHECK(two.config.bands[0].precedence == 1);
    CHECK(format_meter(two.config) ==
          "meter=2 pktps bands=\ntype=dscp_remark rate=800 prec_level=1\ntype=drop rate=1000");
    CHECK(format_meter_spec(two) == "meter=2 pktps bands= type=dscp_remark rate=800 prec_level=1 type=drop rate=1000");
    CHECK(parsed("meter=controller,kbps,bands=type=drop,rate=1").config.id == kMeterController);
    CHECK(parsed("meter=slowpath,kbps,bands=type=drop,rate=1").config.id == kMeterSlowpath);
  }

  TEST_CASE("deletions name a meter, or all") {
    CHECK(parsed("meter=3", Command::kDelete).config.id == 3);
    CHECK(parsed("meter=all", Command::kDelete).config.id == kMeterAll);
    CHECK(parsed("", Command::kDelete).config.id == kMeterAll);
    CHECK(refusal("meter=3,kbps", Command::kDelete).find("column 9") == 0);
    CHECK(refusal("meter=3,bands=type=drop,rate=1", Command::kDelete) == "column 9: a deletion has no bands");
  }

  TEST_CASE("what is wrong has OpenFlow's name and its column") {
    CHECK(refusal("kbps,bands=type=drop,rate=5") == "column 28: the meter is missing: meter=N");
    CHECK(code_of("meter=0,kbps,bands=type=drop,rate=5") == OfErrorCode::kInvalidMeter);
    CHECK(code_of("meter=all,kbps,bands=type=drop,rate=5") == OfErrorCode::kInvalidMeter);
    CHECK(code_of("meter=0xffff0001,kbps,bands=type=drop,rate=5") == OfErrorCode::kInvalidMeter);
    CHECK(refusal("meter=1,bands=type=drop,rate=5").find("kbps or pktps") != std::string::npos);
    CHECK(refusal("meter=1,kbps,pktps,bands=type=drop,rate=5") == "column 14: a meter has one unit");
    CHECK(code_of("meter=1,kbps") == OfErrorCode::kBadBand);
    CHECK(code_of("meter=1,kbps,bands=") == OfErrorCode::kBadBand);
    CHECK(refusal("meter=1,kbps,bands=rate=5") ==
          "column 20: a band begins with its type: type=drop or type=dscp_remark");
    CHECK(code_of("meter=1,kbps,bands=type=shape,rate=5") == OfErrorCode::kBadBand);
    CHECK(code_of("meter=1,kbps,bands=type=drop,rate=0") == OfErrorCode::kBadRate);
    CHECK(refusal("meter=1,kbps,bands=type=drop") == "column 20: the band's rate is missing");
    CHECK(code_of("meter=1,kbps,bands=type=drop,rate=4294967296") == OfErrorCode::kBadRate);
    CHECK(code_of("meter=1,kbps,bands=type=drop,rate=5,burst_size=5") == OfErrorCode::kBadBurst);
    CHECK(code_of("meter=1,kbps,bands=type=drop,rate=5,prec_level=1") == OfErrorCode::kBadBandValue);
    CHECK(code_of("meter=1,kbps,bands=type=dscp_remark,rate=5") == OfErrorCode::kBadBandValue);
    CHECK(code_of("meter=1,kbps,bands=type=dscp_remark,rate=5,prec_level=0") == OfErrorCode::kBadBandValue);
    CHECK(refusal("meter=1,kbps,bands=type=drop,rate=5,rate=6") ==
          "column 37: 'rate=6' is not rate=N, burst_size=N or prec_level=N, once each");
    std::string many = "meter=1,kbps,bands=";
    for (int i = 0; i <= SHUNT_METER_BANDS; ++i) many += "type=drop,rate=5,";
    CHECK(code_of(many) == OfErrorCode::kOutOfBands);
    CHECK(code_of("meter=1,kbps,burst,burst,bands=type=drop,rate=5") == OfErrorCode::kBadFlags);
    CHECK(refusal("meter=1,gbps,bands=type=drop,rate=5").find("'gbps'") != std::string::npos);
  }

  TEST_CASE("a file may be what was listed, and errors are found in it") {
    const auto mods = parse_meters(
        "# limits\nmeter=1 kbps bands=\ntype=drop rate=1000\ntype=dscp_remark rate=800 prec_level=1\n\n"
        "modify meter=2,pktps,bands=type=drop,rate=5 # slow\ndelete meter=all\n",
        Command::kAdd);
    REQUIRE(mods.size() == 3);
    CHECK(mods[0].config.bands.size() == 2);
    CHECK(mods[0].line == 2);
    CHECK(mods[1].command == Command::kModify);
    CHECK(mods[1].line == 6);
    CHECK(mods[2].command == Command::kDelete);
    const auto place_of = [](std::string_view text) -> std::string {
      try {
        (void)parse_meters(text, Command::kAdd);
      } catch (const LineError& error) {
        return fmt::format("{}:{}", error.line(), error.column());
      }
      return "accepted";
    };
    CHECK(place_of("meter=1 kbps bands=\ntype=drop rate=1000\n type=drop rate=zero\n") == "3:17");
    CHECK(place_of("meter=1 kbps bands=type=drop rate=1\n add meter=2 kbps stats stats bands=type=drop rate=1\n") ==
          "2:25");
  }

  TEST_CASE("what a meter counted is shown as ovs-ofctl meter-stats does") {
    Meter meter;
    meter.config = parsed("meter=1,kbps,bands=type=drop,rate=1000").config;
    const MeterStats stats{.flow_count = 2, .packets = 5, .bytes = 490, .bands = {{3, 294}}};
    CHECK(format_meter_stats(meter, stats, meter.created + std::chrono::milliseconds{3042}) ==
          "meter:1 flow_count:2 packet_in_count:5 byte_in_count:490 duration:3.042s bands:\n"
          "0: packet_count:3 byte_count:294");
  }

  TEST_CASE("a random meter that is written and read again is the same meter") {
    std::mt19937_64 random{7};
    for (int i = 0; i < 2'000; ++i) {
      MeterMod mod;
      mod.config = random_meter(random);
      const std::string text = format_meter_spec(mod);
      CAPTURE(text);
      MeterMod again;
      CHECK_NOTHROW(again = parsed(text));
      CHECK(same(again.config, mod.config));
      const auto listed = parse_meters(format_meter(mod.config), Command::kAdd);
      REQUIRE(listed.size() == 1);
      CHECK(same(listed[0].config, mod.config));
    }
  }
}
