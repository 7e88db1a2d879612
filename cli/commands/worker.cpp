// SPDX-License-Identifier: Apache-2.0
// shunt worker list
#include <string>
#include <vector>

#include "cli/command.h"

namespace shunt::cli {
namespace {

std::string percent(const Json& load) { return fmt::format("{:.1f} %", load.get<double>() * 100); }

int list(const Invocation& invocation) {
  return invocation.show("worker.list", Json::object(), [](const Json& answer) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& worker : answer.at("workers")) {
      const std::string core = worker.at("core").is_null() ? "any" : cell(worker.at("core"));
      rows.push_back({cell(worker.at("worker")), core, percent(worker.at("load")), "", "", "", ""});
      for (const Json& queue : worker.at("queues")) {
        const bool is_lane = queue.at("port").is_null();
        rows.push_back({"", "", "", is_lane ? "(lane)" : cell(queue.at("port")), cell(queue.at("queue")),
                        percent(queue.at("load")), queue.at("wanted").get<bool>() ? "as set" : "by load"});
      }
    }
    show_table({">WORKER", ">CORE", ">LOAD", "PORT", ">QUEUE", ">LOAD", "PLACED"}, rows);
  });
}

}  // namespace

std::span<const Command> worker_commands() {
  static const std::vector<Command> commands = {
      {"worker", "list", {}, "what each worker has to do, and which queues it serves", {}, true, list}};
  return commands;
}

}  // namespace shunt::cli
