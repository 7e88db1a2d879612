// SPDX-License-Identifier: Apache-2.0
// shunt doctor
#include <algorithm>
#include <array>
#include <chrono>
#include <iostream>
#include <map>
#include <string_view>
#include <thread>
#include <utility>

#include "cli/command.h"
#include "user/doctor/checks.h"

namespace shunt::cli {
namespace {

using doctor::Finding;
using doctor::Severity;

constexpr int kWarnings = 3, kErrors = 4;                                           // exit statuses; 1 and 2 are taken
constexpr std::array<std::string_view, 3> kSeverities{"note", "warning", "error"};  // by Severity

doctor::PortFacts port_of(const Json& port) {
  doctor::PortFacts facts;
  facts.bridge = cell(port.at("bridge"));
  facts.name = cell(port.at("name"));
  facts.kind = cell(port.at("kind"));
  facts.state = cell(port.at("state"));
  facts.mode = port_mode_from(cell(port.at("mode"))).value_or(PortMode::kNative);
  facts.zero_copy = port.at("zero_copy").get<bool>();
  facts.xdp_transmit = port.at("xdp_transmit").get<bool>();
  facts.queues = port.at("queues").get<unsigned>();
  facts.mtu = port.at("mtu").get<std::uint32_t>();
  return facts;
}

constexpr std::chrono::seconds kMoment{1};  // between two readings: what is still being counted shows

doctor::Count count_of(const Json& before, const Json& after, const char* name) {
  const auto then = before.value(name, std::uint64_t{0}), now = after.value(name, std::uint64_t{0});
  return {now, now - std::min(then, now)};
}

std::string key_of(const Json& port) { return cell(port.at("bridge")) + '/' + cell(port.at("name")); }

doctor::FillFacts fill_of(const Json& fill) {
  const Json& whose = fill.at(fill.at("port").is_null() ? "bridge" : "port");
  return {whose.is_null() ? "" : cell(whose), cell(fill.at("summary")), cell(fill.at("cost")), cell(fill.at("remedy"))};
}

// Fills in what the daemon knows.
void ask_switch(const Invocation& invocation, doctor::Facts& facts) {
  doctor::SwitchFacts on;
  const Json version = invocation.call("version");
  on.version = cell(version.at("version"));
  const Json before = invocation.call("top", {{"flows", 0}});
  std::this_thread::sleep_for(kMoment);
  const Json after = invocation.call("top", {{"flows", 0}});
  const Json &cache_before = before.at("cache"), &cache = after.at("cache");
  on.evicted = count_of(cache_before, cache, "evicted");
  on.exact_fallback = count_of(cache_before, cache, "exact_fallback");
  on.events_lost = count_of(cache_before, cache, "events_lost");
  for (const Json& fill : after.at("fills"))
    if (fill.at("nearly_full").get<bool>()) on.nearly_full.push_back(fill_of(fill));
  std::map<std::string, Json> drops_before;
  for (const Json& port : before.at("ports")) drops_before[key_of(port)] = port.at("drop_reasons");
  for (const Json& port : after.at("ports")) {
    on.ports.push_back(port_of(port));
    const auto earlier = drops_before.find(key_of(port));
    for (const auto& [reason, packets] : port.at("drop_reasons").items())
      on.ports.back().drops[reason] =
          count_of(earlier == drops_before.end() ? port.at("drop_reasons") : earlier->second, port.at("drop_reasons"),
                   reason.c_str());
  }
  facts.umem_bytes = cache.at("umem_frames").get<std::uint64_t>() * doctor::kFrameBytes;
  facts.rights = doctor::read_daemon_rights(version.at("pid").get<int>());
  facts.on = std::move(on);
}

void show(const Finding& finding) {
  std::cout << fmt::format("{:<8} {}{}{}\n", kSeverities[static_cast<std::size_t>(finding.severity)], finding.subject,
                           finding.subject.empty() ? "" : ": ", finding.what);
  if (!finding.cost.empty()) std::cout << "         " << finding.cost << '\n';
  if (!finding.remedy.empty()) std::cout << "         try: " << finding.remedy << '\n';
}

Json json_of(const Finding& finding) {
  Json json = {{"severity", kSeverities[static_cast<std::size_t>(finding.severity)]},
               {"check", finding.check},
               {"subject", nullptr},
               {"what", finding.what},
               {"cost", finding.cost},
               {"remedy", finding.remedy}};
  if (!finding.subject.empty()) json["subject"] = finding.subject;
  return json;
}

int examine(const Invocation& invocation) {
  doctor::Facts facts;
  facts.client_version = SHUNT_VERSION;
  facts.host = doctor::read_host("");
  facts.rights = doctor::read_rights("/proc/self");
  try {
    ask_switch(invocation, facts);
  } catch (const Error& error) {
    facts.no_daemon = error.what();
  }
  if (facts.on) std::ranges::for_each(facts.on->ports, doctor::read_port);
  const std::vector<Finding> findings = doctor::examine(facts);
  if (invocation.json()) {
    Json list = Json::array();
    for (const Finding& finding : findings) list.push_back(json_of(finding));
    show_json({{"checks", doctor::all_checks().size()}, {"daemon", facts.on.has_value()}, {"findings", list}});
  } else {
    std::ranges::for_each(findings, show);
    std::cout << fmt::format("{} checks, {} findings\n", doctor::all_checks().size(), findings.size());
  }
  if (findings.empty() || findings.front().severity == Severity::kNote) return kDone;
  return findings.front().severity == Severity::kError ? kErrors : kWarnings;
}

}  // namespace

std::span<const Command> doctor_commands() {
  static const std::vector<Command> commands = {
      {"doctor",
       "",
       {},
       "look for what makes the switch slow or lose packets, and say what mends it; ends with 0, 3 (warnings), 4 "
       "(errors)",
       {},
       true,
       examine},
  };
  return commands;
}

}  // namespace shunt::cli
