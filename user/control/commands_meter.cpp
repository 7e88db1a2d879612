// SPDX-License-Identifier: Apache-2.0
// meter.add, meter.mod, meter.del, meter.list, meter.stats
#include <chrono>

#include "user/control/commands.h"
#include "user/pipeline/meter_text.h"

namespace shunt {
namespace {

using Command = MeterMod::Command;

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kMeter{.name = "meter", .type = ParamType::kText};    // one
const ParamSpec kMeters{.name = "meters", .type = ParamType::kText};  // a file's text

// What the caller gave: one meter, or a file's text. A deletion of nothing in particular is one of every meter.
std::vector<MeterMod> parse_mods(const Arguments& arguments, Command command) {
  if (arguments.has("meter") && arguments.has("meters"))
    throw RpcError(RpcCode::kInvalidParams, "'meter' is one meter, 'meters' the text of a file: give one of them");
  if (arguments.has("meters")) return parse_meters(arguments.text("meters"), command);
  if (!arguments.has("meter") && command != Command::kDelete)
    throw RpcError(RpcCode::kInvalidParams, "parameter 'meter' or 'meters' is missing");
  return {parse_meter(arguments.optional_text("meter").value_or(""), command)};
}

template <Command kCommand>
Json change(const CommandContext& context, const Arguments& arguments) {
  const std::vector<MeterMod> mods = parse_mods(arguments, kCommand);
  try {
    context.instance.meter_mod(arguments.text("bridge"), mods);
  } catch (OfError& error) {  // the switch's refusals point into the text, too
    const bool file = arguments.has("meters");
    const std::string text = file ? arguments.text("meters") : arguments.optional_text("meter").value_or("");
    if (file == (error.line() != 0)) locate_meter(error, text);
    throw;
  }
  return {{"meters", mods.size()}};
}

Json band_json(const MeterBand& band, const MeterStats::Band& stats) {
  const bool remark = band.type == SHUNT_BAND_DSCP_REMARK;
  Json json = {{"type", remark ? "dscp_remark" : "drop"},
               {"rate", band.rate},
               {"burst_size", band.burst_size},
               {"precedence", nullptr},
               {"packets", stats.packets},
               {"bytes", stats.bytes}};
  if (remark) json["precedence"] = band.precedence;
  return json;
}

enum class Line { kSpec, kStats };

// `text` is the line that a person reads: of the meter, or of its counters.
template <Line kLine>
Json list(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const auto wanted = arguments.integer("id");
  const TimePoint now = Clock::now();
  Json meters = Json::array();
  for (const MeterStatus& status : context.instance.meter_list(bridge)) {
    const MeterConfig& config = status.meter->config;
    if (wanted && config.id != *wanted) continue;
    Json bands = Json::array();
    for (std::size_t i = 0; i < config.bands.size(); ++i)
      bands.push_back(
          band_json(config.bands[i], i < status.stats.bands.size() ? status.stats.bands[i] : MeterStats::Band{}));
    meters.push_back(
        {{"id", config.id},
         {"unit", config.packets ? "pktps" : "kbps"},
         {"burst", config.burst},
         {"flows", status.stats.flow_count},
         {"packets", status.stats.packets},
         {"bytes", status.stats.bytes},
         {"duration_s", std::chrono::duration<double>(now - status.meter->created).count()},
         {"bands", std::move(bands)},
         {"text", kLine == Line::kSpec ? format_meter(config) : format_meter_stats(*status.meter, status.stats, now)}});
  }
  if (wanted && meters.empty()) throw Error("bridge '{}' has no meter {}", bridge, *wanted);
  return {{"meters", std::move(meters)}};
}

}  // namespace

std::span<const Method> meter_methods() {
  static const ParamSpec id{.name = "id", .type = ParamType::kInteger, .min = 1, .max = kMeterMax};
  static const std::vector<Method> methods = {
      {"meter.add", {kBridge, kMeter, kMeters}, change<Command::kAdd>},
      {"meter.mod", {kBridge, kMeter, kMeters}, change<Command::kModify>},
      {"meter.del", {kBridge, kMeter, kMeters}, change<Command::kDelete>},
      {"meter.list", {kBridge, id}, list<Line::kSpec>},
      {"meter.stats", {kBridge, id}, list<Line::kStats>},
  };
  return methods;
}

}  // namespace shunt
