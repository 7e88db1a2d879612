// SPDX-License-Identifier: Apache-2.0
// shunt monitor
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <iostream>
#include <string_view>
#include <utility>

#include "cli/command.h"
#include "cli/pace.h"

namespace shunt::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::pair<std::string_view, const char*>, 4> kSubjects{
    {{"ports", "port"}, {"macs", "mac"}, {"flows", "flow"}, {"controllers", "controller"}}};

// "ports,macs" as the daemon's parameters.
void choose_subjects(std::string_view text, Json& request) {
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    bool known = false;
    for (const auto& [name, parameter] : kSubjects) {
      if (word != name) continue;
      request[parameter] = true;
      known = true;
    }
    if (!known)
      throw UsageError("'{}' cannot be watched: say ports, macs, flows, controllers, or some of them with commas",
                       word);
  }
}

std::string clock_time(double seconds) {
  const auto whole = static_cast<std::time_t>(seconds);
  std::tm local{};
  ::localtime_r(&whole, &local);
  std::array<char, 16> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  return fmt::format("{}.{:03}", std::string_view{text.data(), size},
                     static_cast<int>((seconds - std::floor(seconds)) * 1000));
}

std::string line_of(const Json& event) {
  std::string line = fmt::format("{} {} {} {}", clock_time(event.at("time").get<double>()), cell(event.at("bridge")),
                                 cell(event.at("subject")), cell(event.at("event")));
  if (event.contains("mac")) line += fmt::format(" {} vlan {}", cell(event.at("mac")), cell(event.at("vlan")));
  if (event.contains("port") && !event.at("port").is_null()) line += fmt::format(" port {}", cell(event.at("port")));
  if (event.contains("ofport")) line += fmt::format(" ofport {}", cell(event.at("ofport")));
  if (event.contains("before") && !event.at("before").is_null())
    line += fmt::format(" before {}", cell(event.at("before")));
  if (event.contains("controller")) line += fmt::format(" {}", cell(event.at("controller")));
  if (event.contains("rule")) line += fmt::format(" {}", cell(event.at("rule")));
  if (event.contains("reason") && !event.at("reason").is_null())
    line += fmt::format(" reason {}", cell(event.at("reason")));
  return line;
}

int monitor(const Invocation& invocation) {
  Json request = Json::object();
  if (const auto bridge = invocation.optional_text("bridge")) request["bridge"] = *bridge;
  if (const auto subjects = invocation.optional_text("SUBJECTS")) choose_subjects(*subjects, request);
  const auto seconds = invocation.seconds("seconds");
  end_on_signals();
  Client& client = invocation.client();
  client.call("monitor", request);
  std::cerr << "watching\n";
  const TimePoint end =
      seconds ? Clock::now() + std::chrono::milliseconds{static_cast<std::int64_t>(*seconds * 1000)} : TimePoint::max();
  while (!is_interrupted() && Clock::now() < end) {
    const auto notification = client.next_notification(200ms);
    if (!notification) continue;
    const bool missed = notification->method == "missed";
    if (invocation.json())
      std::cout << (missed ? Json{{"missed", notification->params.at("count")}} : notification->params).dump() << '\n';
    else if (missed)
      std::cout << fmt::format("(missed: {} events)\n", cell(notification->params.at("count")));
    else
      std::cout << line_of(notification->params) << '\n';
    std::cout.flush();
    if (!std::cout) throw Error("standard output cannot be written");
  }
  return kDone;
}

}  // namespace

std::span<const Command> monitor_commands() {
  static const std::vector<Command> commands = {
      {"monitor",
       "",
       {"[SUBJECTS]"},
       "show as it happens what becomes of ports, macs, flows (rules) and controllers, until interrupted",
       {{"bridge", "BR", "of this bridge only"}, {"seconds", "S", "end after S seconds"}},
       true,
       monitor},
  };
  return commands;
}

}  // namespace shunt::cli
