// SPDX-License-Identifier: Apache-2.0
// Bundles: changes to rules, groups and ports, and packets to be sent, that happen together or not at all.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <utility>

#include "user/control/not_yet.h"
#include "user/control/rule_features.h"
#include "user/openflow/codec/bundle_codec.h"
#include "user/openflow/codec/error_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/session.h"
#include "user/pipeline/rule_check.h"

namespace shunt::openflow {
namespace {

bool may_be_bundled(MessageKind kind) {
  return kind == MessageKind::kFlowMod || kind == MessageKind::kGroupMod || kind == MessageKind::kNxGroupMod ||
         kind == MessageKind::kPortMod || kind == MessageKind::kPacketOut;
}

// The groups that there are when the bundle is done: its packet-outs may name them.
std::map<std::uint32_t, GroupRef> groups_after(InstanceApi& instance, const std::string& bridge,
                                               std::span<const Modification> mods) {
  std::map<std::uint32_t, GroupRef> groups;
  for (const GroupStatus& status : instance.group_list(bridge)) groups[status.group->id] = status.group;
  for (const Modification& each : mods) {
    const auto* mod = std::get_if<GroupMod>(&each);
    if (mod == nullptr) continue;
    if (mod->command != GroupMod::Command::kDelete)
      groups.try_emplace(mod->group);
    else if (mod->group == kGroupAll)
      groups.clear();
    else
      groups.erase(mod->group);
  }
  return groups;
}

}  // namespace

void Session::bundle_control(std::uint32_t xid, Bytes body, Bytes message) {
  const BundleControl control = decode_bundle_control(body);
  const auto found = bundles_.find(control.id);
  if (control.command == BundleCommand::kOpen) {
    if (found != bundles_.end()) {
      drop_bundle(found);
      throw OfError(OfErrorCode::kBundleExists, "bundle {} is open already", control.id);
    }
    touch_bundle(open_bundle(control.id, control.flags), xid, message);
    return encode_bundle_reply(out_, control, *version_, xid);
  }
  if (found == bundles_.end()) throw OfError(OfErrorCode::kBundleBadId, "no bundle {}", control.id);
  Bundle& bundle = found->second;
  touch_bundle(bundle, xid, message);
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
  } catch (const NotYet&) {
    throw;  // the commit is handled anew
  } catch (...) {
    drop_bundle(found);
    throw;
  }
  if (ends) drop_bundle(found);
  encode_bundle_reply(out_, control, *version_, xid);
}

void Session::bundle_add(std::uint32_t xid, Bytes body, Bytes message) {
  const BundleAdd add = decode_bundle_add(body);
  const Header inner = read_header(add.message);
  if (inner.xid != xid) throw OfError(OfErrorCode::kBundleBadXid, "the bundled message has xid {:#x}", inner.xid);
  if (inner.version != number_of(*version_))
    throw OfError(OfErrorCode::kBundleUnsupported, "the bundled message is of another version");
  const MessageFormat* format = find_message(*version_, add.message);
  if (format == nullptr || !may_be_bundled(format->kind))
    throw OfError(OfErrorCode::kBundleUnsupported,
                  "changes to rules, groups and ports, and packet-outs can be bundled");
  const auto found = bundles_.find(add.id);
  Bundle& bundle = found != bundles_.end() ? found->second : open_bundle(add.id, add.flags);
  if (bundle.closed) throw OfError(OfErrorCode::kBundleClosed, "bundle {} is closed", add.id);
  if (bundle.flags != add.flags)
    throw OfError(OfErrorCode::kBundleBadFlags, "bundle {} was opened with other flags", add.id);
  const bool is_packet = format->kind == MessageKind::kPacketOut;
  if ((bundle.flags & kBundleOrdered) != 0 && bundle.has_packets && !is_packet)
    throw OfError(OfErrorCode::kBundleConflict, "packets leave last, and this bundle is to be done in order");
  constexpr std::size_t kOverhead = 512;  // of a message that is kept, and then read
  const std::size_t bytes = add.message.size() + kOverhead;
  if (agent_.bundle_bytes() + bytes > kMaxBundleBytes)
    throw OfError(OfErrorCode::kBundleTooMany, "the bundles of this bridge hold more than {} bytes", kMaxBundleBytes);
  touch_bundle(bundle, xid, message);
  bundle.has_packets = bundle.has_packets || is_packet;
  bundle.bytes += bytes;
  agent_.bundle_bytes() += bytes;
  bundle.messages.emplace_back(add.message.begin(), add.message.end());
}

Session::Bundle& Session::open_bundle(std::uint32_t id, std::uint16_t flags) {
  if (bundles_.size() == kMaxBundles) throw OfError(OfErrorCode::kOutOfBundles, "more than {} bundles", kMaxBundles);
  return bundles_.emplace(id, Bundle{.flags = flags, .xid = 0, .head = {}, .used = Clock::now(), .messages = {}})
      .first->second;
}

void Session::touch_bundle(Bundle& bundle, std::uint32_t xid, Bytes message) {
  constexpr std::size_t kHead = 64;  // as many as OpenFlow wants to see in an error
  const Bytes head = message.first(std::min(message.size(), kHead));
  bundle.xid = xid;
  bundle.head.assign(head.begin(), head.end());
  bundle.used = Clock::now();
}

std::map<std::uint32_t, Session::Bundle>::iterator Session::drop_bundle(std::map<std::uint32_t, Bundle>::iterator at) {
  agent_.bundle_bytes() -= at->second.bytes;
  return bundles_.erase(at);
}

void Session::expire_bundles(TimePoint now) {
  if (waits_for_program_)
    for (auto& [id, bundle] : bundles_) bundle.used = now;  // what is said of them is not heard
  for (auto at = bundles_.begin(); at != bundles_.end();) {
    if (now - at->second.used < kBundleTimeout) {
      ++at;
      continue;
    }
    refuse(OfErrorCode::kBundleTimeout, at->second.xid, at->second.head);
    at = drop_bundle(at);
  }
}

// All of it, or nothing: OFPBF_ATOMIC, asked for or not. Ports first, for only they can be refused from outside, and
// can be put back; then rules and groups, in order; packets leave when all of that is so. That is OFPBF_ORDERED too,
// for ports and rules do not hang on each other, and bundle_add() refuses changes behind a packet.
void Session::commit_bundle(const Bundle& bundle) {
  Bundled bundled;
  std::size_t at = 0, ports = 0;
  const auto change = [&] {
    while (ports < bundled.ports.size()) {
      const Bundled::Port& port = bundled.ports[ports++];
      at = port.message;
      if (port.flags != port.before.flags)
        agent_.instance().set_port(agent_.name(), port.before.name, port.before.vlan, port.flags);
    }
    at = bundle.messages.size();  // which one it is, the refusal says itself
    if (!bundled.mods.empty()) agent_.instance().modify(agent_.name(), bundled.mods);
  };
  try {
    read_bundle(bundle, bundled, at);
    if (bundled.ports.empty())
      change();
    else
      agent_.instance().with_features(features_of(bundled.mods), change);
  } catch (const std::exception& error) {
    put_back(std::span{bundled.ports}.first(ports));
    const auto* refusal = dynamic_cast<const OfError*>(&error);
    const std::size_t failed = refusal != nullptr && refusal->line() > 0 ? refusal->line() - 1 : at;
    if (failed < bundle.messages.size()) {
      const Bytes message{bundle.messages[failed]};
      refuse(refusal != nullptr ? refusal->code() : OfErrorCode::kNotPermitted, read_header(message).xid, message);
    }
    throw OfError(OfErrorCode::kBundleMessageFailed, "a message of the bundle: {}", error.what());
  }
  forward_groups(bundle, bundled.mods);
  for (Bundled::Packet& each : bundled.packets) send_out(std::move(each.packet), each.buffer);
}

// To the controllers that hear of each other's requests, as if each had come by itself.
void Session::forward_groups(const Bundle& bundle, std::span<const Modification> mods) {
  for (const Modification& each : mods) {
    const auto* mod = std::get_if<GroupMod>(&each);
    if (mod == nullptr) continue;
    const std::uint32_t xid = read_header(bundle.messages[mod->line - 1]).xid;
    agent_.forward_request(main(), ForwardReason::kGroupMod,
                           [&](Writer& out, Version version) { encode_group_mod(out, *mod, version, xid); });
  }
}

// Checks all that can be checked before anything is changed.
void Session::read_bundle(const Bundle& bundle, Bundled& bundled, std::size_t& at) const {
  std::vector<PortStatus> ports;
  std::set<std::uint32_t> buffers;
  const auto claim = [&](std::uint32_t buffer) {
    if (buffer != kNoBuffer && !buffers.insert(buffer).second)
      throw OfError(OfErrorCode::kBufferEmpty, "buffer {:#x} is used twice", buffer);
  };
  for (; at < bundle.messages.size(); ++at) {
    const Bytes message{bundle.messages[at]};
    const Bytes body = message.subspan(kHeaderSize);
    switch (const MessageKind kind = find_message(*version_, message)->kind; kind) {
      case MessageKind::kFlowMod: {
        FlowModMessage change = decode_flow_mod(body, *version_, table_ids_);
        change.mod.line = at + 1;
        bundled.mods.emplace_back(std::move(change.mod));
        claim(change.buffer_id);
        if (change.buffer_id != kNoBuffer)
          bundled.packets.push_back({at, released(change.buffer_id), change.buffer_id});
        break;
      }
      case MessageKind::kPortMod:
        if (ports.empty()) ports = agent_.instance().port_settings(agent_.name());
        note_port(decode_port_mod(body, *version_), ports, at, bundled);
        break;
      case MessageKind::kPacketOut: {
        std::uint32_t buffer = kNoBuffer;
        PacketOutSpec packet = read_packet_out(body, buffer);
        claim(buffer);
        bundled.packets.push_back({at, std::move(packet), buffer});
        break;
      }
      default: {
        const bool nicira = kind == MessageKind::kNxGroupMod;
        GroupMod mod = decode_group_mod(nicira ? message.subspan(2 * kHeaderSize) : body, *version_, nicira);
        mod.line = at + 1;
        bundled.mods.emplace_back(std::move(mod));
      }
    }
  }
  check_packets(bundled, at);
}

// What several of them say of a port is one change.
void Session::note_port(const PortMod& mod, std::span<const PortStatus> ports, std::size_t message,
                        Bundled& bundled) const {
  const PortStatus& port = find_port(ports, mod);
  auto known =
      std::ranges::find(bundled.ports, mod.number, [](const Bundled::Port& each) { return each.before.number; });
  if (known == bundled.ports.end()) known = bundled.ports.insert(known, {message, port, port.flags});
  known->message = message;
  known->flags = flags_after(mod, known->flags);
}

void Session::put_back(std::span<const Bundled::Port> ports) noexcept {
  for (const Bundled::Port& port : ports) {
    try {
      if (port.flags != port.before.flags)
        agent_.instance().set_port(agent_.name(), port.before.name, port.before.vlan, port.before.flags);
    } catch (const std::exception& error) {
      spdlog::error("bridge '{}': a bundle failed, and port '{}' stays changed: {}", agent_.name(), port.before.name,
                    error.what());
    }
  }
}

void Session::check_packets(const Bundled& bundled, std::size_t& at) const {
  if (bundled.packets.empty()) return;
  const auto groups = groups_after(agent_.instance(), agent_.name(), bundled.mods);
  std::map<std::uint32_t, MeterRef> meters;
  for (const MeterStatus& status : agent_.instance().meter_list(agent_.name()))
    meters[status.meter->config.id] = status.meter;
  for (const Bundled::Packet& each : bundled.packets) {
    at = each.message;
    check_packet_out({groups, meters}, each.packet.actions);
  }
}

}  // namespace shunt::openflow
