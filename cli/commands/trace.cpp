// SPDX-License-Identifier: Apache-2.0
// shunt trace
#include <algorithm>
#include <iostream>
#include <string>

#include "cli/command.h"
#include "cli/commands/trace_text.h"
#include "cli/given_text.h"
#include "cli/pcap_file.h"

namespace shunt::cli {
namespace {

void show_trace(const Json& trace) {
  std::cout << fmt::format("flow: {}\nbridge {}\n", cell(trace.at("flow")), cell(trace.at("bridge")));
  show_steps(trace);
  show_outcome(trace);
  std::string where = cell(trace.at("where"));
  if (!trace.at("reason").is_null()) where += fmt::format(" ({})", cell(trace.at("reason")));
  std::cout << fmt::format("served by: {}\n", where);
}

int trace_flow(const Invocation& invocation, const std::string& flow) {
  const Json answer =
      call_with_text(invocation, "trace", {{"bridge", invocation.text("BR")}}, GivenText{flow, ""}, "flow", "flow");
  if (invocation.json())
    show_json(answer);
  else
    show_trace(answer);
  return kDone;
}

std::string hex(std::span<const std::uint8_t> bytes) { return fmt::format("{:02x}", fmt::join(bytes, "")); }

// Each frame of a capture. With --json an array of traces.
int trace_capture(const Invocation& invocation, const std::string& file) {
  PcapFile capture{file};
  Json all = Json::array();
  std::size_t number = 0;
  while (const auto frame = capture.next()) {
    ++number;
    const Json params = {{"bridge", invocation.text("BR")},
                         {"in_port", invocation.text("in-port")},
                         {"frame", hex(frame->bytes)},
                         {"length", frame->length}};
    Json answer;
    try {
      answer = invocation.call("trace", params);
    } catch (const Refused& refused) {
      throw Error("{}: frame {}: {}", file, number, refused.what());
    }
    if (invocation.json()) {
      all.push_back(std::move(answer));
      continue;
    }
    std::cout << fmt::format("{}frame {}, {} bytes\n", number == 1 ? "" : "\n", number, frame->length);
    show_trace(answer);
  }
  if (invocation.json()) show_json(all);
  if (number == 0) throw Error("'{}' holds no frame", file);
  return kDone;
}

int trace(const Invocation& invocation) {
  const auto flow = invocation.optional_text("FLOW");
  const auto file = invocation.optional_text("pcap");
  if (flow.has_value() == file.has_value()) throw UsageError("give FLOW or --pcap FILE");
  if (file && !invocation.has("in-port")) throw UsageError("--pcap wants --in-port PORT: where the frames come in");
  if (flow && invocation.has("in-port")) throw UsageError("--in-port is for --pcap: FLOW has in_port=PORT");
  return file ? trace_capture(invocation, *file) : trace_flow(invocation, *flow);
}

// Steps under each other: a table's rule and actions, an action's changes, and what a resubmit led to.
std::size_t indent_of(const Json& step) {
  const std::string kind = cell(step.at("kind"));
  std::size_t level = 2;
  if (kind == "table") level = 0;
  if (kind == "rule" || kind == "miss") level = 1;
  if (kind == "change" || kind == "note") level = 3;
  return std::min<std::size_t>(step.at("depth").get<std::size_t>() * 6 + level * 2, 120);
}

}  // namespace

void show_steps(const Json& trace) {
  std::string text;
  for (const Json& step : trace.at("steps"))
    text +=
        fmt::format("{:{}}{}{}\n", "", indent_of(step), step.at("kind") == "note" ? ">> " : "", cell(step.at("text")));
  std::cout << text;
}

void show_outcome(const Json& trace) {
  std::cout << fmt::format("mask: {}\ndatapath actions: {}\n", cell(trace.at("mask")), cell(trace.at("actions")));
  if (!trace.at("drop").is_null())
    std::cout << fmt::format("dropped: {}: {}\n", cell(trace.at("drop").at("reason")),
                             cell(trace.at("drop").at("help")));
  if (trace.at("nearest").is_null()) return;
  const Json& near = trace.at("nearest");
  const std::string match = cell(near.at("match"));
  std::cout << fmt::format("nearest rule that would have let it pass:\n  table={}, priority={}{}{} actions={}\n",
                           cell(near.at("table")), cell(near.at("priority")), match.empty() ? "" : ",", match,
                           cell(near.at("actions")));
  for (const Json& difference : near.at("differences")) std::cout << fmt::format("    {}\n", cell(difference));
}

void show_rules(const Json& rules) {
  std::string text;
  for (const Json& rule : rules) {
    const std::string match = cell(rule.at("match"));
    text += fmt::format("made by: table={}, cookie={}, n_packets={}, priority={}{}{} actions={}\n",
                        cell(rule.at("table")), cell(rule.at("cookie")), cell(rule.at("packets")),
                        cell(rule.at("priority")), match.empty() ? "" : ",", match, cell(rule.at("actions")));
  }
  std::cout << text;
}

std::span<const Command> trace_commands() {
  static const std::vector<Command> commands = {
      {"trace",
       "",
       {"BR", "[FLOW]"},
       "what the rules do with a packet, step by step; FLOW: its fields, as in_port=veth1,tcp,nw_dst=10.0.0.2",
       {{"pcap", "FILE", "instead of FLOW: each frame of a capture (pcap or pcapng)"},
        {"in-port", "PORT", "with --pcap: the port that the frames come in at"}},
       true,
       trace},
  };
  return commands;
}

}  // namespace shunt::cli
