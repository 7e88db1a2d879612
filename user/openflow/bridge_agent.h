// SPDX-License-Identifier: Apache-2.0
// One bridge as its controllers see it: what its sessions share, and who of them hears of what happens.
// Thread: control.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "user/control/instance.h"
#include "user/openflow/codec/port_codec.h"
#include "user/openflow/packet_buffers.h"

namespace shunt::openflow {

class Session;

[[nodiscard]] PortDescription description_of(const PortStatus& port);

class BridgeAgent {
 public:
  BridgeAgent(InstanceApi& instance, BridgeId id, std::string name)
      : instance_{instance}, id_{id}, name_{std::move(name)} {}
  BridgeAgent(const BridgeAgent&) = delete;
  BridgeAgent& operator=(const BridgeAgent&) = delete;

  [[nodiscard]] InstanceApi& instance() const { return instance_; }
  [[nodiscard]] BridgeId id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] PacketBuffers& buffers() { return buffers_; }
  [[nodiscard]] std::size_t& bundle_bytes() { return bundle_bytes_; }  // of all sessions' bundles

  // As configured; else that of the LOCAL port's address.
  [[nodiscard]] std::uint64_t datapath_id() const;
  void set_datapath_id(std::optional<std::uint64_t> id) { datapath_id_ = id; }

  void join(Session& session) { sessions_.push_back(&session); }
  void leave(Session& session);
  [[nodiscard]] const std::vector<Session*>& sessions() const { return sessions_; }

  // OpenFlow 1.3.5 section 6.3.5: a master makes the others slaves; a generation that is older than one seen is
  // refused.
  void check_generation(std::uint64_t generation);
  [[nodiscard]] std::optional<std::uint64_t> generation() const { return generation_; }
  void make_master(Session& session);

  void packet_in(const PacketInEvent& event);
  void flow_removed(const RemovedRule& removed);
  void port_changed(InstanceListener::PortEvent event, const PortStatus& port);

 private:
  InstanceApi& instance_;
  const BridgeId id_;
  const std::string name_;
  std::optional<std::uint64_t> datapath_id_;
  std::optional<std::uint64_t> generation_;
  PacketBuffers buffers_;
  std::size_t bundle_bytes_ = 0;
  std::vector<Session*> sessions_;
  std::vector<PortDescription> ports_;  // as last told of
};

}  // namespace shunt::openflow
