// SPDX-License-Identifier: Apache-2.0
// controller.add, controller.del, controller.list
#include "user/base/error.h"
#include "user/control/commands.h"

namespace shunt {
namespace {

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kTarget{.name = "target", .type = ParamType::kText, .required = true};

Json add(const CommandContext& context, const Arguments& arguments) {
  ControllerSettings controller{.target = arguments.text("target")};
  if (const auto count = arguments.integer("auxiliary")) controller.auxiliary = static_cast<unsigned>(*count);
  context.openflow().add_controller(arguments.text("bridge"), controller);
  return Json::object();
}

Json del(const CommandContext& context, const Arguments& arguments) {
  context.openflow().del_controller(arguments.text("bridge"), arguments.optional_text("target"));
  return Json::object();
}

Json list(const CommandContext& context, const Arguments& arguments) {
  Json controllers = Json::array();
  for (const ControllerStatus& status : context.openflow().controllers(arguments.text("bridge"))) {
    Json controller = {{"target", status.target},
                       {"connected", status.connected},
                       {"since_s", status.since.count()},
                       {"lost", status.lost},
                       {"version", nullptr},
                       {"role", nullptr},
                       {"error", nullptr},
                       {"connections", status.connections},
                       {"auxiliary", status.auxiliary},
                       {"auxiliary_connected", status.auxiliary_connected}};
    if (status.connected) {
      controller["version"] = status.version;
      controller["role"] = status.role;
    } else if (!status.last_error.empty()) {
      controller["error"] = status.last_error;
    }
    controllers.push_back(std::move(controller));
  }
  return {{"controllers", std::move(controllers)}};
}

}  // namespace

std::span<const Method> controller_methods() {
  static const std::vector<Method> methods = {
      {"controller.add",
       {kBridge,
        kTarget,
        {.name = "auxiliary", .type = ParamType::kInteger, .min = 0, .max = ControllerSettings::kMaxAuxiliary}},
       add},
      {"controller.del", {kBridge, {.name = "target", .type = ParamType::kText}}, del},
      {"controller.list", {kBridge}, list},
  };
  return methods;
}

}  // namespace shunt
