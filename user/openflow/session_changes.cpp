// SPDX-License-Identifier: Apache-2.0
// Changes that are not to rules alone: packets sent out, ports, tables, bundles.
#include <algorithm>

#include "user/openflow/codec/bundle_codec.h"
#include "user/openflow/codec/error_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/meter_codec.h"
#include "user/openflow/codec/table_codec.h"
#include "user/openflow/session.h"
#include "user/pipeline/rule_check.h"

namespace shunt::openflow {

void Session::packet_out(Bytes body) {
  constexpr std::size_t kEthernetHeader = 14;
  PacketOut request = decode_packet_out(body, *version_);
  PacketOutSpec packet;
  packet.actions = std::move(request.actions);
  packet.in_port = request.in_port;
  const bool known_port =
      is_port_number(packet.in_port) || packet.in_port == kPortController || packet.in_port.value == 0;
  if (!known_port) throw OfError(OfErrorCode::kBadPort, "no packet comes from port {:#x}", packet.in_port.value);
  if (request.buffer_id != kNoBuffer)
    packet.frame = agent_.buffers().take(request.buffer_id).frame;
  else
    packet.frame.assign(request.data.begin(), request.data.end());
  if (packet.frame.size() < kEthernetHeader)
    throw OfError(OfErrorCode::kBadPacket, "a packet of {} bytes has no Ethernet header", packet.frame.size());
  agent_.instance().packet_out(agent_.name(), std::move(packet));
}

// The packet meets the rules as they are now, from the first table on.
void Session::release(std::uint32_t buffer_id) {
  BufferedPacket buffered = agent_.buffers().take(buffer_id);
  PacketOutSpec packet;
  packet.in_port = buffered.in_port;
  packet.frame = std::move(buffered.frame);
  packet.actions = {OutputAction{kPortTable}};
  agent_.instance().packet_out(agent_.name(), std::move(packet));
}

void Session::port_mod(Bytes body) {
  const PortMod mod = decode_port_mod(body, *version_);
  for (const PortStatus& port : agent_.instance().ports(agent_.name())) {
    if (port.number != mod.number) continue;
    if (description_of(port).mac != mod.mac)
      throw OfError(OfErrorCode::kPortModBadAddress, "port {} has another address", mod.number.value);
    PortFlags flags = port.flags;
    flags.down = mod.admin_down.value_or(flags.down);
    flags.receive = mod.receive.value_or(flags.receive);
    flags.forward = mod.forward.value_or(flags.forward);
    flags.packet_in = mod.packet_in.value_or(flags.packet_in);
    flags.flood = mod.flood.value_or(flags.flood);
    if (flags != port.flags) agent_.instance().set_port(agent_.name(), port.name, port.vlan, flags);
    return;
  }
  throw OfError(OfErrorCode::kPortModBadPort, "no port {}", mod.number.value);
}

void Session::table_mod(Bytes body) {
  const TableMod mod = decode_table_mod(body, *version_);
  if (!mod.evict) return;
  std::map<std::uint8_t, TableConfig> configs;
  for (const TableStatus& table : agent_.instance().table_list(agent_.name())) configs[table.table] = table.config;
  for (unsigned number = 0; number < kTableCount; ++number) {
    const auto table = static_cast<std::uint8_t>(number);
    if (mod.table && *mod.table != table) continue;
    TableConfig config = configs[table];
    if (config.evict == *mod.evict) continue;
    config.evict = *mod.evict;
    agent_.instance().set_table(agent_.name(), table, config);
  }
}

void Session::bundle_control(std::uint32_t xid, Bytes body) {
  const BundleControl control = decode_bundle_control(body);
  const auto found = bundles_.find(control.id);
  if (control.command == BundleCommand::kOpen) {
    if (found != bundles_.end()) {
      drop_bundle(found);
      throw OfError(OfErrorCode::kBundleExists, "bundle {} is open already", control.id);
    }
    open_bundle(control.id, control.flags, xid);
    return encode_bundle_reply(out_, control, *version_, xid);
  }
  if (found == bundles_.end()) throw OfError(OfErrorCode::kBundleBadId, "no bundle {}", control.id);
  Bundle& bundle = found->second;
  bundle.xid = xid;
  bundle.used = Clock::now();
  const bool ends = control.command != BundleCommand::kClose;
  try {
    if (control.command != BundleCommand::kDiscard && control.flags != bundle.flags)
      throw OfError(OfErrorCode::kBundleBadFlags, "bundle {} was opened with other flags", control.id);
    if (control.command == BundleCommand::kClose) {
      if (std::exchange(bundle.closed, true))
        throw OfError(OfErrorCode::kBundleClosed, "bundle {} is closed already", control.id);
    } else if (control.command == BundleCommand::kCommit) {
      commit_bundle(bundle);
    }
  } catch (const OfError&) {
    drop_bundle(found);
    throw;
  }
  if (ends) drop_bundle(found);
  encode_bundle_reply(out_, control, *version_, xid);
}

void Session::bundle_add(std::uint32_t xid, Bytes body) {
  const BundleAdd add = decode_bundle_add(body);
  const Header inner = read_header(add.message);
  if (inner.xid != xid) throw OfError(OfErrorCode::kBundleBadXid, "the bundled message has xid {:#x}", inner.xid);
  if (inner.version != number_of(*version_))
    throw OfError(OfErrorCode::kBundleUnsupported, "the bundled message is of another version");
  const MessageFormat* format = find_message(*version_, add.message);
  const bool may_be_bundled =
      format != nullptr && (format->kind == MessageKind::kFlowMod || format->kind == MessageKind::kGroupMod ||
                            format->kind == MessageKind::kNxGroupMod);
  if (!may_be_bundled) throw OfError(OfErrorCode::kBundleUnsupported, "flow-mods and group-mods can be bundled");
  const auto found = bundles_.find(add.id);
  Bundle& bundle = found != bundles_.end() ? found->second : open_bundle(add.id, add.flags, xid);
  if (bundle.closed) throw OfError(OfErrorCode::kBundleClosed, "bundle {} is closed", add.id);
  if (bundle.flags != add.flags)
    throw OfError(OfErrorCode::kBundleBadFlags, "bundle {} was opened with other flags", add.id);
  constexpr std::size_t kOverhead = 64;  // of a message that is kept
  const std::size_t bytes = add.message.size() + kOverhead;
  if (agent_.bundle_bytes() + bytes > kMaxBundleBytes)
    throw OfError(OfErrorCode::kBundleTooMany, "the bundles of this bridge hold more than {} bytes", kMaxBundleBytes);
  bundle.xid = xid;
  bundle.used = Clock::now();
  bundle.bytes += bytes;
  agent_.bundle_bytes() += bytes;
  bundle.messages.emplace_back(add.message.begin(), add.message.end());
}

Session::Bundle& Session::open_bundle(std::uint32_t id, std::uint16_t flags, std::uint32_t xid) {
  if (bundles_.size() == kMaxBundles) throw OfError(OfErrorCode::kOutOfBundles, "more than {} bundles", kMaxBundles);
  const Bundle bundle{.flags = flags, .xid = xid, .used = Clock::now(), .messages = {}};
  return bundles_.emplace(id, bundle).first->second;
}

std::map<std::uint32_t, Session::Bundle>::iterator Session::drop_bundle(std::map<std::uint32_t, Bundle>::iterator at) {
  agent_.bundle_bytes() -= at->second.bytes;
  return bundles_.erase(at);
}

void Session::expire_bundles(TimePoint now) {
  for (auto at = bundles_.begin(); at != bundles_.end();) {
    if (now - at->second.used < kBundleTimeout) {
      ++at;
      continue;
    }
    refuse(OfErrorCode::kBundleTimeout, at->second.xid, {});
    at = drop_bundle(at);
  }
}

// All of it, in order, or nothing: OFPBF_ATOMIC and OFPBF_ORDERED, asked for or not.
void Session::commit_bundle(Bundle& bundle) {
  std::vector<Modification> mods;
  std::size_t at = 0;
  try {
    for (; at < bundle.messages.size(); ++at) {
      const Bytes message{bundle.messages[at]};
      const Bytes body = message.subspan(kHeaderSize);
      const MessageFormat* format = find_message(*version_, message);
      if (format->kind == MessageKind::kFlowMod) {
        FlowMod mod = decode_flow_mod(body, *version_, table_ids_).mod;
        mod.line = at + 1;
        mods.emplace_back(std::move(mod));
      } else {
        const bool nicira = format->kind == MessageKind::kNxGroupMod;
        GroupMod mod = decode_group_mod(nicira ? message.subspan(2 * kHeaderSize) : body, *version_, nicira);
        mod.line = at + 1;
        mods.emplace_back(std::move(mod));
      }
    }
    agent_.instance().modify(agent_.name(), mods);
  } catch (const OfError& error) {
    const std::size_t failed = error.line() > 0 ? error.line() - 1 : at;
    if (failed < bundle.messages.size()) {
      const Bytes message{bundle.messages[failed]};
      refuse(error.code(), read_header(message).xid, message);
    }
    throw OfError(OfErrorCode::kBundleMessageFailed, "a message of the bundle: {}", error.what());
  }
}

}  // namespace shunt::openflow
