// SPDX-License-Identifier: Apache-2.0
// config.show, config.diff, config.load, config.undo
#include "user/config/config_file.h"
#include "user/config/config_load.h"
#include "user/control/commands.h"

namespace shunt {
namespace {

const ParamSpec kConfig{.name = "config", .type = ParamType::kText, .required = true};  // a file's text
const ParamSpec kDryRun{.name = "dry_run", .type = ParamType::kFlag};

Json show(const CommandContext& context, const Arguments&) {
  return {{"config", format_config(running_config(context.instance))}};
}

Json diff(const CommandContext& context, const Arguments& arguments) {
  return {{"changes", diff_config(context.instance, arguments.text("config"))}};
}

Json load(const CommandContext& context, const Arguments& arguments) {
  if (arguments.flag("dry_run")) return diff(context, arguments);
  return {{"changes", load_config(context.instance, arguments.text("config"))}};
}

Json undo(const CommandContext& context, const Arguments& arguments) {
  return {{"changes", undo_config(context.instance, arguments.flag("dry_run"))}};
}

}  // namespace

std::span<const Method> config_methods() {
  static const std::vector<Method> methods = {
      {"config.show", {}, show},
      {"config.diff", {kConfig}, diff},
      {"config.load", {kConfig, kDryRun}, load},
      {"config.undo", {kDryRun}, undo},
  };
  return methods;
}

}  // namespace shunt
