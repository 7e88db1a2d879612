// SPDX-License-Identifier: Apache-2.0
// Meters as text, in Open vSwitch's syntax (ovs-ofctl(8), "Meter Syntax"); docs/rules.md is the user's guide.
//
// parse(format(x)) is x. Threads: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/clock.h"
#include "user/base/of_error.h"
#include "user/pipeline/meter.h"

namespace shunt {

// "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100,type=dscp_remark,rate=800,prec_level=1".
// kDelete: "meter=1" or "meter=all" (also an empty text). Throws TextError.
MeterMod parse_meter(std::string_view text, MeterMod::Command command);

// A file: a meter a line, '#' comments, blank lines; a line that begins with "type=" belongs to the meter before it. A
// line may begin with add, modify or delete; without, it is `default_command`. Sets MeterMod::line. Throws LineError
// (rule_text.h).
std::vector<MeterMod> parse_meters(std::string_view text, MeterMod::Command default_command);

// Sets the column of a refusal of what `text` asks for: a meter that parse_meter() took, or, where the error has a
// line, a file that parse_meters() took. Of the setting that the error is about; else of the meter.
void locate_meter(OfError& error, std::string_view text);

// What parse_meter() takes with the mod's command.
std::string format_meter_spec(const MeterMod& mod);
// As of `ovs-ofctl dump-meters`, a line for the meter and one for each band: "meter=1 kbps burst stats
// bands=\ntype=drop rate=1000 burst_size=100". parse_meter() and parse_meters() take it.
std::string format_meter(const MeterConfig& config);
// As of `ovs-ofctl meter-stats`: "meter:1 flow_count:1 packet_in_count:5 byte_in_count:490 duration:3.042s bands:
// 0: packet_count:0 byte_count:0".
std::string format_meter_stats(const Meter& meter, const MeterStats& stats, TimePoint now);

}  // namespace shunt
