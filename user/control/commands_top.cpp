// SPDX-License-Identifier: Apache-2.0
// top: all figures at once, and the busiest flows
#include "user/control/commands.h"
#include "user/control/stats_json.h"

namespace shunt {
namespace {

Json top(const CommandContext& context, const Arguments& arguments) {
  const StatsSnapshot snapshot = context.figures.take();
  const FlowOrder order = arguments.optional_text("order") == "bytes" ? FlowOrder::kBytes : FlowOrder::kPackets;
  return stats_json(snapshot, context.instance.top_flows(arguments.integer("flows").value_or(kTopFlows), order));
}

}  // namespace

std::span<const Method> top_methods() {
  static const std::vector<Method> methods = {
      {"top",
       {{.name = "flows", .type = ParamType::kInteger, .min = 0, .max = kMostTopFlows},
        {.name = "order", .type = ParamType::kChoice, .choices = "packets|bytes"}},
       top},
  };
  return methods;
}

}  // namespace shunt
