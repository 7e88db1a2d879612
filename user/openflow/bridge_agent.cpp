// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/bridge_agent.h"

#include <algorithm>

#include "user/control/text.h"
#include "user/openflow/session.h"

namespace shunt::openflow {

PortDescription description_of(const PortStatus& port) {
  PortDescription description;
  description.number = port.number;
  if (!port.mac.empty()) description.mac = parse_mac(port.mac);
  description.name = port.name;
  description.receive = port.flags.receive;
  description.forward = port.flags.forward;
  description.packet_in = port.flags.packet_in;
  description.flood = port.flags.flood;
  description.admin_down = port.flags.down;
  description.link_down = !port.up;
  return description;
}

std::uint64_t BridgeAgent::datapath_id() const {
  if (datapath_id_) return *datapath_id_;
  for (const PortStatus& port : instance_.ports(name_))
    if (port.number == kPortLocal && !port.mac.empty()) return parse_mac(port.mac).number();
  return id_.value;
}

void BridgeAgent::leave(Session& session) { std::erase(sessions_, &session); }

void BridgeAgent::check_generation(std::uint64_t generation) {
  if (generation_ && static_cast<std::int64_t>(generation - *generation_) < 0)
    throw OfError(OfErrorCode::kStaleRole, "generation {:#x} is older than {:#x}", generation, *generation_);
  generation_ = generation;
}

void BridgeAgent::make_master(Session& session) {
  for (Session* other : sessions_)
    if (other != &session && other->role() == Role::kMaster) other->demote();
}

void BridgeAgent::packet_in(const PacketInEvent& event) {
  std::optional<std::uint32_t> buffer;
  for (Session* session : sessions_) session->packet_in(event, buffer);
}

void BridgeAgent::flow_removed(const RemovedRule& removed) {
  for (Session* session : sessions_) session->flow_removed(removed);
}

// What of a change no controller can see is none.
void BridgeAgent::port_changed(InstanceListener::PortEvent event, const PortStatus& port) {
  const PortDescription description = description_of(port);
  const auto known = std::ranges::find(ports_, description.number, &PortDescription::number);
  PortChange change = PortChange::kModify;
  switch (event) {
    case InstanceListener::PortEvent::kAdded:
      change = PortChange::kAdd;
      if (known == ports_.end()) ports_.push_back(description);
      break;
    case InstanceListener::PortEvent::kRemoved:
      change = PortChange::kDelete;
      if (known != ports_.end()) ports_.erase(known);
      break;
    case InstanceListener::PortEvent::kChanged:
      if (known != ports_.end() && std::exchange(*known, description) == description) return;
      break;
  }
  for (Session* session : sessions_) session->port_changed(change, description);
}

}  // namespace shunt::openflow
