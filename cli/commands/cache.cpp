// SPDX-License-Identifier: Apache-2.0
// shunt cache list|stats|flush|why
#include <iostream>

#include "cli/command.h"
#include "cli/commands/trace_text.h"

namespace shunt::cli {
namespace {

std::string flow_line(const Json& flow) {
  std::string where = cell(flow.at("where"));
  if (!flow.at("reason").is_null()) where += fmt::format("({})", cell(flow.at("reason")));
  const std::string used =
      flow.at("used_s").is_null() ? "never" : fmt::format("{:.3f}s", flow.at("used_s").get<double>());
  return fmt::format("{}, packets:{}, bytes:{}, used:{}, {}, actions:{}\n", cell(flow.at("key")),
                     cell(flow.at("packets")), cell(flow.at("bytes")), used, where, cell(flow.at("actions")));
}

int list(const Invocation& invocation) {
  Json params = Json::object();
  if (const auto limit = invocation.number("limit")) params["limit"] = *limit;
  return invocation.show("cache.list", params, [](const Json& answer) {
    std::string text;
    for (const Json& flow : answer.at("flows")) text += flow_line(flow);
    std::cout << text;
    const std::size_t shown = answer.at("flows").size();
    const auto total = answer.at("total").get<std::size_t>();
    if (shown < total) std::cerr << fmt::format("{} of {} flows: --limit shows more\n", shown, total);
  });
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.2f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.2f}", static_cast<double>(part) / static_cast<double>(whole));
}

// What the loaded XDP program can do and why, and what was left out of it.
template <typename Line>
void show_program(const Json& program, const Line& line) {
  std::string size = cell(program.at("instructions")) + " instructions";
  if (!program.at("compiled_instructions").is_null())
    size += fmt::format(", of {} that were compiled", cell(program.at("compiled_instructions")));
  line("program",
       size + (program.at("refused").get<bool>() ? "; the verifier refused a smaller one (see the log)" : ""));
  for (const Json& feature : program.at("features"))
    line("  has " + cell(feature.at("name")), cell(feature.at("because")));
  const auto names = [&](const std::string& title, const Json& list) {
    std::string text;
    for (const Json& name : list) text += (text.empty() ? "" : " ") + cell(name);
    if (!text.empty()) line(title, text);
  };
  names("  left out", program.at("left_out"));
  names("  being loaded", program.at("loading"));
}

void show_stats(const Json& answer) {
  const auto count = [&](const char* name) { return answer.at(name).get<std::uint64_t>(); };
  const auto line = [](std::string_view name, const std::string& value) {
    std::cout << fmt::format("{:<22}{}\n", name, value);
  };
  const std::uint64_t exact = count("exact_hits"), megaflow = count("megaflow_hits"), misses = count("misses");
  const std::uint64_t all = exact + megaflow + misses;
  line("flows", fmt::format("{} of {}", count("flows"), count("flow_limit")));
  line("masks", fmt::format("{}", count("masks")));
  line("output groups", fmt::format("{}", count("groups")));
  line("exact-match hits", fmt::format("{} ({})", exact, percent(exact, all)));
  line("megaflow hits", fmt::format("{} ({})", megaflow, percent(megaflow, all)));
  line("misses", fmt::format("{} ({})", misses, percent(misses, all)));
  line("look-ups a packet", ratio(count("lookups"), all));
  for (const auto& [reason, packets] : answer.at("upcalls").items())
    if (packets != 0) line("upcalls, " + reason, cell(packets));
  line("upcalls handled",
       fmt::format("{}, {} ns each", count("upcalls_handled"),
                   count("upcalls_handled") == 0 ? 0 : count("upcall_ns") / count("upcalls_handled")));
  line("flows published", fmt::format("{} ({} under the exact mask, {} translated anew because something had changed)",
                                      count("published"), count("exact_fallback"), count("rejected_stale")));
  if (count("rejected_full") + count("put_off") != 0)
    line("flows not cached", fmt::format("{} for want of room, {} put off, for too many of their port waited",
                                         count("rejected_full"), count("put_off")));
  line("flows removed", fmt::format("{} idle, {} evicted", count("expired"), count("evicted")));
  line("flows revalidated", fmt::format("{}", count("revalidated")));
  line("exact-match cache",
       fmt::format("{} of {} elements in use", count("exact_match_elements"), count("exact_match_limit")));
  line("index overflow", fmt::format("{} flows", count("index_overflow")));
  if (count("events_lost") != 0)
    line("events lost",
         fmt::format("{} packet-ins, rules to learn or samples: the daemon was behind", count("events_lost")));
  if (count("packet_ins_lost") != 0)
    line("packet-ins lost", fmt::format("{}: nobody had read them in time", count("packet_ins_lost")));
  line("frames", fmt::format("{} free of {}", count("umem_free"), count("umem_frames")));
  show_program(answer.at("program"), line);
}

int stats(const Invocation& invocation) { return invocation.show("cache.stats", Json::object(), show_stats); }

int flush(const Invocation& invocation) {
  invocation.call("cache.flush");
  return kDone;
}

int why(const Invocation& invocation) {
  Json params = {{"key", invocation.text("KEY")}};
  if (const auto bridge = invocation.optional_text("bridge")) params["bridge"] = *bridge;
  return invocation.show("cache.why", params, [](const Json& answer) {
    std::cout << "cached: " << flow_line(answer.at("cached"));
    show_rules(answer.at("trace").at("rules"));
    show_steps(answer.at("trace"));
    show_outcome(answer.at("trace"));
  });
}

}  // namespace

std::span<const Command> cache_commands() {
  static const std::vector<Command> commands = {
      {"cache",
       "list",
       {},
       "the cached flows: key, counters, where they run, actions",
       {{"limit", "N", "show at most this many, default 1000"}},
       true,
       list},
      {"cache", "stats", {}, "hits by level, misses, upcalls by reason, frames", {}, true, stats},
      {"cache",
       "why",
       {"KEY"},
       "the cached flow that a packet meets, and the rules that made it; KEY: fields, or a line of 'cache list'",
       {{"bridge", "BR", "whose port in_port is; needed where there are several bridges"}},
       true,
       why},
      {"cache", "flush", {}, "forget all cached flows; they are learned anew", {}, false, flush},
  };
  return commands;
}

}  // namespace shunt::cli
