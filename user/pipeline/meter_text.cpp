// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/meter_text.h"

#include <array>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "user/base/of_error.h"
#include "user/flow/field_text.h"
#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/text_lines.h"

namespace shunt {
namespace {

using action_text::Item;
using action_text::Items;
using Command = MeterMod::Command;

constexpr std::size_t kMaxMeters = 1'000'000;  // of one file

struct VirtualMeter {
  std::string_view name;
  std::uint32_t id;
};
constexpr std::array<VirtualMeter, 2> kVirtual{{{"slowpath", kMeterSlowpath}, {"controller", kMeterController}}};

std::string meter_name(std::uint32_t id) {
  for (const VirtualMeter& meter : kVirtual)
    if (meter.id == id) return std::string{meter.name};
  return id == kMeterAll ? "all" : fmt::format("{}", id);
}

[[noreturn]] void refuse(std::size_t column, const std::string& message, OfErrorCode code) {
  throw TextError(column, message, code);
}

std::uint32_t parse_32(const Item& item, std::uint32_t min, std::uint32_t max, OfErrorCode code) {
  try {
    const auto value = static_cast<std::uint32_t>(parse_number(item.value, max, item.key, item.value_column));
    if (value < min) refuse(item.value_column, fmt::format("{} is at least {}", item.key, min), code);
    return value;
  } catch (const TextError& error) {
    refuse(error.column(), error.reason(), code);
  }
}

class MeterParser {
 public:
  explicit MeterParser(Command command) : deletes_{command == Command::kDelete} {
    mod_.command = command;
    mod_.config.id = kMeterAll;
    mod_.config.stats = false;
  }

  MeterMod parse(std::string_view text) {
    const std::size_t bands = text.find("bands=");
    Items items{text.substr(0, bands), 1};
    while (const auto item = items.next()) take(*item);
    if (!has_id_ && !deletes_) refuse(text.size() + 1, "the meter is missing: meter=N", OfErrorCode::kInvalidMeter);
    if (deletes_) {
      if (bands != std::string_view::npos) refuse(bands + 1, "a deletion has no bands", OfErrorCode::kBadBand);
      return std::move(mod_);
    }
    if (!has_unit_) refuse(text.size() + 1, "the unit is missing: kbps or pktps", OfErrorCode::kBadRate);
    if (bands == std::string_view::npos)
      refuse(text.size() + 1, "the bands are missing: bands=type=drop,rate=N", OfErrorCode::kBadBand);
    take_bands(text, bands);
    return std::move(mod_);
  }

 private:
  void take(const Item& item) {
    if (item.key == "meter" && item.has_value && !std::exchange(has_id_, true)) return set_id(item);
    const bool is_word = item.text == "kbps" || item.text == "pktps" || item.text == "burst" || item.text == "stats";
    if (!is_word || deletes_)
      refuse(item.column, fmt::format("'{}' is nothing that a meter has here", item.text), OfErrorCode::kInvalidMeter);
    const bool is_unit = item.text == "kbps" || item.text == "pktps";
    bool& given = is_unit ? has_unit_ : item.text == "burst" ? mod_.config.burst : mod_.config.stats;
    if (std::exchange(given, true))
      refuse(item.column, is_unit ? "a meter has one unit" : fmt::format("{} was given already", item.text),
             OfErrorCode::kBadFlags);
    if (item.text == "pktps") mod_.config.packets = true;
  }

  void set_id(const Item& item) {
    if (item.value == "all" && deletes_) return;
    for (const VirtualMeter& meter : kVirtual) {
      if (item.value != meter.name) continue;
      mod_.config.id = meter.id;
      return;
    }
    mod_.config.id = parse_32(item, 1, kMeterMax, OfErrorCode::kInvalidMeter);
  }

  void take_bands(std::string_view text, std::size_t bands) {
    constexpr std::string_view kKey = "bands=";
    const std::size_t begin = bands + kKey.size();
    Items items{text.substr(begin), begin + 1};
    std::optional<std::size_t> open;  // column of the band that is being read
    while (const auto item = items.next()) {
      if (item->key == "type" && item->has_value) {
        if (open) finish_band(*open);
        open = item->column;
        begin_band(*item);
      } else if (!open) {
        refuse(item->column, "a band begins with its type: type=drop or type=dscp_remark", OfErrorCode::kBadBand);
      } else {
        take_parameter(*item);
      }
    }
    if (!open) refuse(text.size() + 1, "the bands are missing: bands=type=drop,rate=N", OfErrorCode::kBadBand);
    finish_band(*open);
  }

  void begin_band(const Item& item) {
    has_rate_ = has_burst_size_ = false;
    MeterBand band;
    if (item.value == "dscp_remark")
      band.type = SHUNT_BAND_DSCP_REMARK;
    else if (item.value != "drop")
      refuse(item.value_column, fmt::format("'{}' is no type of band (drop, dscp_remark)", item.value),
             OfErrorCode::kBadBand);
    mod_.config.bands.push_back(band);
  }

  void take_parameter(const Item& item) {
    constexpr std::uint32_t kMax = std::numeric_limits<std::uint32_t>::max();
    MeterBand& band = mod_.config.bands.back();
    if (item.key == "rate" && !std::exchange(has_rate_, true)) {
      band.rate = parse_32(item, 1, kMax, OfErrorCode::kBadRate);
    } else if (item.key == "burst_size" && !std::exchange(has_burst_size_, true)) {
      if (!mod_.config.burst) refuse(item.column, "burst_size wants the meter's flag burst", OfErrorCode::kBadBurst);
      band.burst_size = parse_32(item, 0, kMax, OfErrorCode::kBadBurst);
    } else if (item.key == "prec_level" && band.precedence == 0) {
      if (band.type != SHUNT_BAND_DSCP_REMARK)
        refuse(item.column, "prec_level is of dscp_remark bands", OfErrorCode::kBadBandValue);
      band.precedence = static_cast<std::uint8_t>(parse_32(item, 1, 0xff, OfErrorCode::kBadBandValue));
    } else {
      refuse(item.column, fmt::format("'{}' is not rate=N, burst_size=N or prec_level=N, once each", item.text),
             OfErrorCode::kBadBand);
    }
  }

  void finish_band(std::size_t column) const {
    const MeterBand& band = mod_.config.bands.back();
    if (band.rate == 0) refuse(column, "the band's rate is missing", OfErrorCode::kBadRate);
    if (band.type == SHUNT_BAND_DSCP_REMARK && band.precedence == 0)
      refuse(column, "dscp_remark wants prec_level=N", OfErrorCode::kBadBandValue);
    if (mod_.config.bands.size() > SHUNT_METER_BANDS)
      refuse(column, fmt::format("more than {} bands", SHUNT_METER_BANDS), OfErrorCode::kOutOfBands);
  }

  MeterMod mod_;
  bool deletes_;
  bool has_id_ = false, has_unit_ = false;
  bool has_rate_ = false, has_burst_size_ = false;  // of the band that is being read
};

constexpr std::array<CommandWord<Command>, 3> kCommandWords{
    {{"add", Command::kAdd}, {"modify", Command::kModify}, {"delete", Command::kDelete}}};

std::string format_config(const MeterConfig& config, std::string_view band_separator) {
  std::string out = fmt::format("meter={} {}", meter_name(config.id), config.packets ? "pktps" : "kbps");
  if (config.burst) out += " burst";
  if (config.stats) out += " stats";
  out += " bands=";
  for (const MeterBand& band : config.bands) {
    out += band_separator;
    fmt::format_to(std::back_inserter(out), "type={} rate={}",
                   band.type == SHUNT_BAND_DSCP_REMARK ? "dscp_remark" : "drop", band.rate);
    if (config.burst) fmt::format_to(std::back_inserter(out), " burst_size={}", band.burst_size);
    if (band.type == SHUNT_BAND_DSCP_REMARK) fmt::format_to(std::back_inserter(out), " prec_level={}", band.precedence);
  }
  return out;
}

// What `meter list` prints goes over several lines: those of bands belong to the meter before.
bool continues(std::string_view line) { return line.substr(line.find_first_not_of(" \t")).starts_with("type="); }

}  // namespace

MeterMod parse_meter(std::string_view text, MeterMod::Command command) { return MeterParser{command}.parse(text); }

std::vector<MeterMod> parse_meters(std::string_view text, MeterMod::Command default_command) {
  std::vector<MeterMod> mods;
  LineReader lines{text};
  auto line = lines.next();
  while (line) {
    const TextLine first = *line;
    std::vector<TextLine> more;
    while ((line = lines.next()) && continues(line->text)) more.push_back(*line);
    if (mods.size() == kMaxMeters) throw LineError(first.number, 1, fmt::format("more than {} meters", kMaxMeters));
    const auto [command, offset] = leading_command(first.text, kCommandWords, default_command);
    std::string joined{first.text.substr(offset)};
    std::vector<std::size_t> begins;  // of `more` in `joined`
    for (const TextLine& part : more) {
      joined += ' ';
      begins.push_back(joined.size());
      joined += part.text;
    }
    try {
      mods.push_back(parse_meter(joined, command));
      mods.back().line = first.number;
    } catch (const TextError& error) {
      std::size_t part = begins.size();
      while (part > 0 && error.column() <= begins[part - 1]) --part;
      if (part == 0) throw LineError(first.number, error.column() + offset, error.reason(), error.code());
      throw LineError(more[part - 1].number, error.column() - begins[part - 1], error.reason(), error.code());
    }
  }
  return mods;
}

// Bands are refused as text.
void locate_meter(OfError& error, std::string_view text) {
  const std::string_view line = line_of(text, error.line());
  std::size_t column = 0;
  if (!error.item().empty()) {
    Items items{line, 1};
    while (const auto item = items.next())
      if (column == 0 && item->key == error.item()) column = item->column;
  }
  const std::size_t offset = error.line() == 0 ? 0 : leading_command(line, kCommandWords, Command::kAdd).second;
  error.set_column(column != 0 ? column : offset + first_column(line.substr(offset)));
}

std::string format_meter_spec(const MeterMod& mod) {
  if (mod.command == Command::kDelete) return "meter=" + meter_name(mod.config.id);
  return format_config(mod.config, " ");
}

std::string format_meter(const MeterConfig& config) { return format_config(config, "\n"); }

std::string format_meter_stats(const Meter& meter, const MeterStats& stats, TimePoint now) {
  std::string out = fmt::format(
      "meter:{} flow_count:{} packet_in_count:{} byte_in_count:{} duration:{} bands:", meter_name(meter.config.id),
      stats.flow_count, stats.packets, stats.bytes, format_duration(now - meter.created));
  for (std::size_t i = 0; i < stats.bands.size(); ++i)
    fmt::format_to(std::back_inserter(out), "\n{}: packet_count:{} byte_count:{}", i, stats.bands[i].packets,
                   stats.bands[i].bytes);
  return out;
}

}  // namespace shunt
