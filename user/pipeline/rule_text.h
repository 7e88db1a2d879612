// SPDX-License-Identifier: Apache-2.0
// Rules as text, in Open vSwitch's syntax (ovs-ofctl(8), ovs-fields(7), ovs-actions(7)); docs/rules.md is the user's
// guide.
//
// parse(format(x)) is x, for everything that a rule can hold. Parsing is strict: what is not understood, said twice or
// out of range is refused with its column; nothing is ignored. Where ovs-ofctl quietly drops a match whose prerequisite
// is missing (tp_src without tcp), the text is refused. Threads: any.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/clock.h"
#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/pipeline/port_names.h"
#include "user/pipeline/rule.h"

namespace shunt {

// A refusal that points into a text of several lines; both count from 1.
class LineError : public Error {
 public:
  LineError(std::size_t line, std::size_t column, const std::string& message,
            std::optional<OfErrorCode> code = std::nullopt)
      : Error("line {}, column {}: {}", line, column, message),
        line_{line},
        column_{column},
        reason_{message},
        code_{code} {}
  [[nodiscard]] std::size_t line() const { return line_; }
  [[nodiscard]] std::size_t column() const { return column_; }
  [[nodiscard]] const std::string& reason() const { return reason_; }  // what() without line and column
  [[nodiscard]] std::optional<OfErrorCode> code() const { return code_; }

 private:
  std::size_t line_, column_;
  std::string reason_;
  std::optional<OfErrorCode> code_;
};

// One rule: "table=0,priority=100,tcp,tp_dst=80,actions=output:2". Throws TextError.
// On delete (also the filter of `flow list`) there are no actions, and cookie=VALUE/MASK and out_port=PORT select.
FlowMod parse_flow(std::string_view text, FlowMod::Command command, const PortNames& names);

// What format_flow_spec() made, without names, of a rule that the switch has taken. Its fields may lack prerequisites:
// those of rules that `learn` or a protocol made were never asked for.
FlowMod parse_formatted_flow(std::string_view text);

// A file of at most a million rules: a rule a line, '#' comments, blank lines. A line may begin with add, modify,
// modify_strict, delete or delete_strict; without, it is `default_command`. Throws LineError.
std::vector<FlowMod> parse_flows(std::string_view text, FlowMod::Command default_command, const PortNames& names);

// Sets the column of a refusal of what `text` asks for: a rule that parse_flow() took, or, where the error has a line,
// a file that parse_flows() took. Of the action that the error is about; else of the rule.
void locate_flow(OfError& error, std::string_view text, FlowMod::Command command, const PortNames& names);

// "tcp,in_port=1,nw_dst=10.0.0.0/8"; empty where every packet matches. Ports that `names` knows are shown by name.
std::string format_match(const Match& match, const PortNames& names = {});
// "priority=100,tcp,nw_dst=10.0.0.0/8 actions=output:2": what `flow add` takes.
std::string format_flow_spec(const FlowMod& mod, const PortNames& names = {});
// A line of `flow list`, as of `ovs-ofctl dump-flows`: "cookie=0x0, duration=3.142s, table=0, n_packets=5, n_bytes=490,
// idle_timeout=10, send_flow_rem importance=3, idle_age=2, priority=100,tcp actions=output:2".
std::string format_flow(const Rule& rule, TimePoint now, const PortNames& names = {});
// "3.042s", "3s": as Open vSwitch shows how long a thing is there.
std::string format_duration(TimePoint::duration age);

}  // namespace shunt
