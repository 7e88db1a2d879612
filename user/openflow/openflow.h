// SPDX-License-Identifier: Apache-2.0
// OpenFlow for all bridges of an instance: their endpoints, and the turns in which sessions do their work.
//
// A turn lets every session do a piece of work within one InstanceApi::batch(), and sends what they wrote after it: one
// wait puts in force what all of them changed. Thread: control.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "user/control/controller_api.h"
#include "user/control/event_loop.h"
#include "user/control/instance.h"
#include "user/openflow/endpoint.h"

namespace shunt::openflow {

class OpenFlow final : public ControllerApi, private RuleObserver {
 public:
  OpenFlow(EventLoop& loop, InstanceApi& instance, std::string rundir, TlsFiles tls);
  ~OpenFlow() override;
  OpenFlow(const OpenFlow&) = delete;
  OpenFlow& operator=(const OpenFlow&) = delete;

  // What the instance is to tell: set these of its listener.
  void listen(InstanceListener& listener);
  // Sessions that wait for a program go on: Instance::on_program().
  void resume();

  void add_controller(const std::string& bridge, const ControllerSettings& controller) override;
  void del_controller(const std::string& bridge, const std::optional<std::string>& target) override;
  [[nodiscard]] std::vector<ControllerStatus> controllers(const std::string& bridge) const override;
  [[nodiscard]] BridgeOpenFlow bridge_openflow(const std::string& bridge) const override;
  void set_bridge_openflow(const std::string& bridge, std::optional<std::uint64_t> datapath_id,
                           std::optional<FailMode> fail_mode) override;

 private:
  void rule_added(BridgeId bridge, const RuleRef& rule) override;
  void rule_removed(BridgeId bridge, const Rule& rule, std::optional<RemovedReason> reason) override;
  void rule_touched(BridgeId, const RuleRef&) override {}

  void add_bridge(const std::string& name);
  void schedule();
  void turn();
  [[nodiscard]] Endpoint& endpoint(const std::string& bridge) const;
  [[nodiscard]] BridgeAgent* find(BridgeId id) const;

  EventLoop& loop_;
  InstanceApi& instance_;
  const std::string rundir_;
  const TlsFiles tls_;
  std::map<std::string, std::unique_ptr<Endpoint>> endpoints_;
  EventLoop::TimerId timer_;
  bool scheduled_ = false;
  std::shared_ptr<OpenFlow*> self_;  // what was posted must not reach one that is gone
};

}  // namespace shunt::openflow
