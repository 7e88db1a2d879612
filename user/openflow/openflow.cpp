// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/openflow.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "user/base/error.h"

namespace shunt::openflow {

OpenFlow::OpenFlow(EventLoop& loop, InstanceApi& instance, std::string rundir, TlsFiles tls)
    : loop_{loop},
      instance_{instance},
      rundir_{std::move(rundir)},
      tls_{std::move(tls)},
      timer_{loop_.every(std::chrono::seconds{1},
                         [this] {
                           for (const auto& [name, each] : endpoints_) each->on_second();
                         })},
      self_{std::make_shared<OpenFlow*>(this)} {
  for (const std::string& bridge : instance_.bridges()) {
    add_bridge(bridge);
    if (const auto found = endpoints_.find(bridge); found != endpoints_.end())
      found->second->restore(instance_.openflow(bridge));
  }
}

OpenFlow::~OpenFlow() {
  *self_ = nullptr;
  loop_.cancel(timer_);
}

void OpenFlow::listen(InstanceListener& listener) {
  listener.on_bridge = [this](const std::string& name, bool added) {
    if (added)
      add_bridge(name);
    else
      endpoints_.erase(name);
  };
  listener.on_port = [this](BridgeId id, InstanceListener::PortEvent event, const PortStatus& port) {
    if (BridgeAgent* agent = find(id)) agent->port_changed(event, port);
    schedule();
  };
  listener.on_packet_in = [this](const PacketInEvent& event) {
    if (BridgeAgent* agent = find(event.bridge)) agent->packet_in(event);
    schedule();
  };
  listener.on_openflow = [this](const std::string& bridge, const OpenFlowSettings& settings, bool adapts_rules) {
    endpoint(bridge).adopt(settings, adapts_rules);
  };
  listener.rules = this;
  listener.on_flow_removed = [this](const RemovedRule& removed) {
    if (BridgeAgent* agent = find(removed.bridge)) agent->flow_removed(removed);
    schedule();
  };
}

void OpenFlow::resume() {
  for (const auto& [name, each] : endpoints_) each->resume();
  schedule();
}

// A bridge whose socket cannot be made works without one.
void OpenFlow::add_bridge(const std::string& name) {
  try {
    endpoints_[name] = std::make_unique<Endpoint>(loop_, instance_, name, rundir_, tls_, [this] { schedule(); });
  } catch (const std::exception& error) {
    endpoints_.erase(name);
    spdlog::error("bridge '{}' has no OpenFlow: {}", name, error.what());
  }
}

void OpenFlow::schedule() {
  if (std::exchange(scheduled_, true)) return;
  loop_.post([self = self_] {
    if (*self != nullptr) (*self)->turn();
  });
}

void OpenFlow::turn() {
  scheduled_ = false;
  bool more = false;
  try {
    instance_.batch([&] {
      for (const auto& [name, each] : endpoints_) more = each->run() || more;
    });
  } catch (const std::exception& error) {
    // Who was answered must not think so.
    spdlog::error("OpenFlow: changes are not in force, and who asked for them is cut off: {}", error.what());
    for (const auto& [name, each] : endpoints_) each->take_back_answers();
    more = true;
  }
  for (const auto& [name, each] : endpoints_) each->flush();
  if (more) schedule();
}

Endpoint& OpenFlow::endpoint(const std::string& bridge) const {
  const auto found = endpoints_.find(bridge);
  if (found == endpoints_.end()) throw Error("no bridge '{}'; `shunt bridge list` shows those there are", bridge);
  return *found->second;
}

BridgeAgent* OpenFlow::find(BridgeId id) const {
  for (const auto& [name, each] : endpoints_)
    if (each->agent().id() == id) return &each->agent();
  return nullptr;
}

void OpenFlow::rule_added(BridgeId bridge, const RuleRef& rule) {
  if (BridgeAgent* agent = find(bridge); agent != nullptr && agent->rule_added(rule)) schedule();
}

void OpenFlow::rule_removed(BridgeId bridge, const Rule& rule, std::optional<RemovedReason> reason) {
  if (BridgeAgent* agent = find(bridge); agent != nullptr && agent->rule_removed(rule, reason)) schedule();
}

void OpenFlow::add_controller(const std::string& bridge, const ControllerSettings& controller) {
  (void)endpoint(bridge);
  OpenFlowSettings settings = instance_.openflow(bridge);
  if (std::ranges::find(settings.controllers, controller.target, &ControllerSettings::target) !=
      settings.controllers.end())
    throw Error("bridge '{}' has the controller '{}' already", bridge, controller.target);
  settings.controllers.push_back(controller);
  std::ranges::sort(settings.controllers, {}, &ControllerSettings::target);
  instance_.set_openflow(bridge, settings, true);
}

void OpenFlow::del_controller(const std::string& bridge, const std::optional<std::string>& target) {
  (void)endpoint(bridge);
  OpenFlowSettings settings = instance_.openflow(bridge);
  const std::size_t gone = std::erase_if(settings.controllers, [&](const ControllerSettings& controller) {
    return !target || controller.target == *target;
  });
  if (target && gone == 0)
    throw Error("bridge '{}' has no controller '{}'; see 'shunt controller list {}'", bridge, *target, bridge);
  instance_.set_openflow(bridge, settings, true);
}

std::vector<ControllerStatus> OpenFlow::controllers(const std::string& bridge) const {
  return endpoint(bridge).status();
}

BridgeOpenFlow OpenFlow::bridge_openflow(const std::string& bridge) const {
  const Endpoint& found = endpoint(bridge);
  return {found.agent().datapath_id(), found.fail_mode()};
}

void OpenFlow::set_bridge_openflow(const std::string& bridge, std::optional<std::uint64_t> datapath_id,
                                   std::optional<FailMode> fail_mode) {
  (void)endpoint(bridge);
  OpenFlowSettings settings = instance_.openflow(bridge);
  if (datapath_id) settings.datapath_id = *datapath_id;
  if (fail_mode) settings.fail_mode = *fail_mode;
  instance_.set_openflow(bridge, settings, true);
}

}  // namespace shunt::openflow
