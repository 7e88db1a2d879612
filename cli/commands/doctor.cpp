// SPDX-License-Identifier: Apache-2.0
// shunt doctor
#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>

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
  facts.generic = port.at("mode") == "generic";
  facts.zero_copy = port.at("zero_copy").get<bool>();
  facts.xdp_transmit = port.at("xdp_transmit").get<bool>();
  facts.queues = port.at("queues").get<unsigned>();
  facts.mtu = port.at("mtu").get<std::uint32_t>();
  return facts;
}

doctor::SwitchFacts ask_switch(const Invocation& invocation) {
  doctor::SwitchFacts on;
  on.version = cell(invocation.call("version").at("version"));
  const Json stats = invocation.call("cache.stats");
  const auto take = [&stats](const char* name, std::uint64_t& value) { value = stats.at(name).get<std::uint64_t>(); };
  take("flows", on.flows);
  take("flow_limit", on.flow_limit);
  take("evicted", on.evicted);
  take("exact_fallback", on.exact_fallback);
  take("umem_frames", on.umem_frames);
  take("umem_free", on.umem_free);
  take("events_lost", on.events_lost);
  const Json ports = invocation.call("port.list"), drops = invocation.call("drops");
  for (const Json& port : ports.at("ports")) on.ports.push_back(port_of(port));
  for (const Json& drop : drops.at("drops"))
    for (doctor::PortFacts& port : on.ports)
      if (port.bridge == cell(drop.at("bridge")) && port.name == cell(drop.at("port")))
        port.drops[cell(drop.at("reason"))] = drop.at("packets").get<std::uint64_t>();
  return on;
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
  try {
    facts.on = ask_switch(invocation);
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
