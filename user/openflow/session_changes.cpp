// SPDX-License-Identifier: Apache-2.0
// Changes that are not to rules: packets sent out and resumed, ports, tables.
#include <algorithm>
#include <map>
#include <utility>

#include "user/openflow/codec/table_codec.h"
#include "user/openflow/session.h"
#include "user/pipeline/rule_check.h"

namespace shunt::openflow {
namespace {

void check_frame(const PacketOutSpec& packet) {
  constexpr std::size_t kEthernetHeader = 14;
  if (packet.frame.size() < kEthernetHeader)
    throw OfError(OfErrorCode::kBadPacket, "a packet of {} bytes has no Ethernet header", packet.frame.size());
}

// What a controller may say of a packet's way through the pipeline so far.
void take_fields(PacketOutSpec& packet, const PipelineFields& fields) {
  packet.fields.metadata = fields.metadata;
  packet.fields.reg = fields.reg;
  packet.fields.tun_id = fields.tun_id;
  packet.fields.pkt_mark = fields.pkt_mark;
}

}  // namespace

void Session::packet_out(Bytes body) {
  std::uint32_t buffer = kNoBuffer;
  PacketOutSpec packet = read_packet_out(body, buffer);
  send_out(std::move(packet), buffer);
}

void Session::send_out(PacketOutSpec&& packet, std::uint32_t buffer) {
  if (buffer != kNoBuffer) (void)agent_.buffers().take(buffer);
  agent_.instance().packet_out(agent_.name(), std::move(packet));
}

PacketOutSpec Session::read_packet_out(Bytes body, std::uint32_t& buffer) const {
  PacketOut request = decode_packet_out(body, *version_);
  PacketOutSpec packet;
  packet.actions = std::move(request.actions);
  packet.in_port = request.in_port;
  take_fields(packet, request.fields);
  const bool known_port =
      is_port_number(packet.in_port) || packet.in_port == kPortController || packet.in_port.value == 0;
  if (!known_port) throw OfError(OfErrorCode::kBadPort, "no packet comes from port {:#x}", packet.in_port.value);
  buffer = request.buffer_id;
  if (buffer != kNoBuffer)
    packet.frame = agent_.buffers().at(buffer).frame;
  else
    packet.frame.assign(request.data.begin(), request.data.end());
  check_frame(packet);
  return packet;
}

// The packet of a flow-mod: it meets the rules as they are then, from the first table on.
PacketOutSpec Session::released(std::uint32_t buffer) const {
  const BufferedPacket& buffered = agent_.buffers().at(buffer);
  PacketOutSpec packet;
  packet.in_port = buffered.in_port;
  packet.frame = buffered.frame;
  packet.actions = {OutputAction{kPortTable}};
  return packet;
}

// The pipeline goes on where it was paused, with what the controller made of the packet.
void Session::resume(Bytes body) {
  const Resume request = decode_resume(body);
  PausedPacket paused = agent_.continuations().take(request.paused);
  PacketOutSpec packet;
  packet.in_port = request.in_port;
  packet.frame.assign(request.data.begin(), request.data.end());
  check_frame(packet);
  packet.resumed = std::move(paused.at);
  packet.fields = paused.fields;
  take_fields(packet, request.fields);
  agent_.instance().packet_out(agent_.name(), std::move(packet));
}

const PortStatus& Session::find_port(std::span<const PortStatus> ports, const PortMod& mod) {
  const auto port = std::ranges::find(ports, mod.number, &PortStatus::number);
  if (port == ports.end()) throw OfError(OfErrorCode::kPortModBadPort, "no port {}", mod.number.value);
  if (description_of(*port).mac != mod.mac)
    throw OfError(OfErrorCode::kPortModBadAddress, "port {} has another address", mod.number.value);
  return *port;
}

void Session::port_mod(const PortMod& mod) {
  const std::vector<PortStatus> ports = agent_.instance().port_settings(agent_.name());
  const PortStatus& port = find_port(ports, mod);
  const PortFlags flags = flags_after(mod, port.flags);
  if (flags != port.flags) agent_.instance().set_port(agent_.name(), port.name, port.vlan, flags);
}

PortFlags Session::flags_after(const PortMod& mod, PortFlags flags) {
  flags.down = mod.admin_down.value_or(flags.down);
  flags.receive = mod.receive.value_or(flags.receive);
  flags.forward = mod.forward.value_or(flags.forward);
  flags.packet_in = mod.packet_in.value_or(flags.packet_in);
  flags.flood = mod.flood.value_or(flags.flood);
  return flags;
}

// Checked whole before anything is set.
void Session::table_mod(Bytes body) {
  const TableMod mod = decode_table_mod(body, *version_);
  if (!mod.evict) return;
  std::map<std::uint8_t, TableFigures> tables;
  for (unsigned number = 0; number < kTableCount; ++number) {
    const auto table = static_cast<std::uint8_t>(number);
    if (mod.table && *mod.table != table) continue;
    tables[table].table = table;
    if (*mod.tells_vacancy && !mod.vacancy && !agent_.vacancy(table))
      throw OfError(OfErrorCode::kBadTableConfig, "vacancy events without their limits");
  }
  for (const TableStatus& status : agent_.instance().table_list(agent_.name()))
    if (const auto table = tables.find(status.table); table != tables.end())
      table->second = {status.table, status.config, static_cast<std::uint32_t>(status.rules), 0, 0, {}};
  for (auto& [number, table] : tables) {
    const std::optional<Vacancy> vacancy = mod.vacancy ? mod.vacancy : agent_.vacancy(number);
    agent_.set_vacancy(table, *mod.tells_vacancy ? vacancy : std::nullopt);
    if (std::exchange(table.config.evict, *mod.evict) != *mod.evict)
      agent_.instance().set_table(agent_.name(), number, table.config);
  }
}

}  // namespace shunt::openflow
