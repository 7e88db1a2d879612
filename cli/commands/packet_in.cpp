// SPDX-License-Identifier: Apache-2.0
// shunt packet-in
#include <iostream>

#include "cli/command.h"

namespace shunt::cli {
namespace {

constexpr std::size_t kShownBytes = 32;  // of a frame; --json has all that was sent

std::string line_of(const Json& packet) {
  std::string line = fmt::format("{:.3f}s ago, reason={}, table={}, cookie={}, in_port={}, length={}",
                                 packet.at("age_s").get<double>(), cell(packet.at("reason")), cell(packet.at("table")),
                                 cell(packet.at("cookie")), cell(packet.at("in_port")), cell(packet.at("length")));
  if (packet.at("controller_id") != 0) line += fmt::format(", id={}", cell(packet.at("controller_id")));
  if (packet.at("userdata") != "") line += fmt::format(", userdata={}", cell(packet.at("userdata")));
  for (const auto& [name, value] : packet.at("fields").items()) line += fmt::format(", {}={}", name, cell(value));
  const std::string frame = cell(packet.at("frame"));
  line += fmt::format(", data={}{}", frame.substr(0, 2 * kShownBytes), frame.size() > 2 * kShownBytes ? "..." : "");
  return line;
}

int packet_in(const Invocation& invocation) {
  return invocation.show("packet_in", {{"bridge", invocation.text("BR")}}, [](const Json& answer) {
    for (const Json& packet : answer.at("packets")) std::cout << line_of(packet) << '\n';
  });
}

}  // namespace

std::span<const Command> packet_in_commands() {
  static const std::vector<Command> commands = {
      {"packet-in", "", {"BR"}, "take and show what 'controller' actions sent; the last 256 wait", {}, true, packet_in},
  };
  return commands;
}

}  // namespace shunt::cli
