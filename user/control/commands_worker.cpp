// SPDX-License-Identifier: Apache-2.0
// worker.list
#include "user/control/commands.h"

namespace shunt {
namespace {

Json queue_json(const WorkerStatus::Queue& queue) {
  Json json = {{"bridge", nullptr},
               {"port", nullptr},
               {"queue", queue.queue.value},
               {"load", queue.load},
               {"wanted", queue.wanted}};
  if (!queue.port.empty()) {
    json["bridge"] = queue.bridge;
    json["port"] = queue.port;
  }
  return json;
}

Json list(const CommandContext& context, const Arguments&) {
  Json workers = Json::array();
  for (const WorkerStatus& worker : context.instance.worker_list()) {
    Json queues = Json::array();
    for (const WorkerStatus::Queue& queue : worker.queues) queues.push_back(queue_json(queue));
    Json json = {{"worker", workers.size()}, {"core", nullptr}, {"load", worker.load}, {"queues", std::move(queues)}};
    if (worker.core) json["core"] = *worker.core;
    workers.push_back(std::move(json));
  }
  return {{"workers", std::move(workers)}};
}

}  // namespace

std::span<const Method> worker_methods() {
  static const std::vector<Method> methods = {{"worker.list", {}, list}};
  return methods;
}

}  // namespace shunt
