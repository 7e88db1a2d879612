// SPDX-License-Identifier: Apache-2.0
// The methods of the control socket: each has a name, declared parameters and a handler over InstanceApi. docs/cli.md
// documents the names and what they return; both are stable.
//
// handle() is one of the three places where an Error ends: it becomes an error reply.
// Threads: the control thread only.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/clock.h"
#include "user/base/error.h"
#include "user/control/client_stream.h"
#include "user/control/controller_api.h"
#include "user/control/instance_api.h"
#include "user/control/json_rpc.h"
#include "user/control/params.h"
#include "user/stats/snapshot.h"

namespace shunt {

struct CommandContext {
  InstanceApi& instance;
  StatsSource& figures;
  const DaemonInfo& daemon;
  ControllerApi* controllers;  // null: none (tests)
  [[nodiscard]] ControllerApi& openflow() const {
    if (controllers == nullptr) throw Error("OpenFlow is not running");
    return *controllers;
  }
  ClientStream* client = nullptr;  // whoever asked, where replies are not all that it can get

  // Throws RpcError where there is none.
  [[nodiscard]] ClientStream& stream() const;
};

struct Method {
  std::string_view name;
  std::vector<ParamSpec> params;
  Json (*run)(const CommandContext& context, const Arguments& arguments);
};

// By subject, a file each. Every change answers with an object, which may be empty.
std::span<const Method> bridge_methods();
std::span<const Method> port_methods();
std::span<const Method> flow_methods();
std::span<const Method> cache_methods();
std::span<const Method> capture_methods();
std::span<const Method> config_methods();
std::span<const Method> controller_methods();
std::span<const Method> fdb_methods();
std::span<const Method> group_methods();
std::span<const Method> meter_methods();
std::span<const Method> monitor_methods();
std::span<const Method> packet_in_methods();
std::span<const Method> stats_methods();
std::span<const Method> table_methods();
std::span<const Method> top_methods();
std::span<const Method> trace_methods();
std::span<const Method> worker_methods();

class Commands {
 public:
  // `instance` and `controllers` must outlive the object.
  Commands(InstanceApi& instance, DaemonInfo daemon, ControllerApi* controllers = nullptr);

  // One request line -> its reply line. Whatever is wrong with the request becomes an error reply.
  [[nodiscard]] std::string handle(std::string_view line, ClientStream* client = nullptr);

  [[nodiscard]] std::vector<const Method*> methods() const;
  [[nodiscard]] StatsSource& figures() { return figures_; }

 private:
  [[nodiscard]] Json call(const RpcRequest& request, ClientStream* client);

  InstanceApi& instance_;
  DaemonInfo daemon_;
  StatsSource figures_;
  ControllerApi* controllers_;
  std::array<std::span<const Method>, 17> methods_;
};

}  // namespace shunt
