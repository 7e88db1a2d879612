// SPDX-License-Identifier: Apache-2.0
// Bundles: changes to rules, groups and ports, and packets to be sent, that happen together or not at all.
#include <algorithm>
#include <utility>

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
  if (format == nullptr || !may_be_bundled(format->kind))
    throw OfError(OfErrorCode::kBundleUnsupported, "changes to rules, groups and ports, and packet-outs can be bundled");
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

// All of it, or nothing: OFPBF_ATOMIC and OFPBF_ORDERED, asked for or not. Ports first, for only they can be refused from
// outside, and can be put back; then rules and groups, in order; packets leave when all of that is so.
void Session::commit_bundle(Bundle& bundle) {
  std::vector<Modification> mods;
  std::vector<std::pair<std::size_t, PortMod>> port_mods;
  std::vector<std::pair<std::size_t, PacketOutSpec>> packets;
  std::vector<PortStatus> before;  // of ports that were changed
  std::size_t at = 0;
  try {
    for (; at < bundle.messages.size(); ++at) {
      const Bytes message{bundle.messages[at]};
      const Bytes body = message.subspan(kHeaderSize);
      switch (const MessageKind kind = find_message(*version_, message)->kind; kind) {
        case MessageKind::kFlowMod: {
          FlowMod mod = decode_flow_mod(body, *version_, table_ids_).mod;
          mod.line = at + 1;
          mods.emplace_back(std::move(mod));
          break;
        }
        case MessageKind::kPortMod:
          port_mods.emplace_back(at, decode_port_mod(body, *version_));
          (void)find_port(port_mods.back().second);
          break;
        case MessageKind::kPacketOut:
          packets.emplace_back(at, read_packet_out(body));
          break;
        default: {
          const bool nicira = kind == MessageKind::kNxGroupMod;
          GroupMod mod = decode_group_mod(nicira ? message.subspan(2 * kHeaderSize) : body, *version_, nicira);
          mod.line = at + 1;
          mods.emplace_back(std::move(mod));
        }
      }
    }
    check_packets(mods, packets, at);
    for (const auto& [number, mod] : port_mods) {
      at = number;
      before.push_back(find_port(mod));
      port_mod(mod);
    }
    if (!mods.empty()) agent_.instance().modify(agent_.name(), mods);
    for (auto& [number, packet] : packets) {
      at = number;
      agent_.instance().packet_out(agent_.name(), std::move(packet));
    }
  } catch (const std::exception& error) {
    for (; !before.empty(); before.pop_back())
      agent_.instance().set_port(agent_.name(), before.back().name, before.back().vlan, before.back().flags);
    const auto* refusal = dynamic_cast<const OfError*>(&error);
    const std::size_t failed = refusal != nullptr && refusal->line() > 0 ? refusal->line() - 1 : at;
    if (failed < bundle.messages.size()) {
      const Bytes message{bundle.messages[failed]};
      refuse(refusal != nullptr ? refusal->code() : OfErrorCode::kNotPermitted, read_header(message).xid, message);
    }
    throw OfError(OfErrorCode::kBundleMessageFailed, "a message of the bundle: {}", error.what());
  }
}

void Session::check_packets(std::span<const Modification> mods,
                            std::span<const std::pair<std::size_t, PacketOutSpec>> packets, std::size_t& at) const {
  if (packets.empty()) return;
  const auto groups = groups_after(agent_.instance(), agent_.name(), mods);
  std::map<std::uint32_t, MeterRef> meters;
  for (const MeterStatus& status : agent_.instance().meter_list(agent_.name()))
    meters[status.meter->config.id] = status.meter;
  for (const auto& [number, packet] : packets) {
    at = number;
    check_packet_out({groups, meters}, packet.actions);
  }
}

}  // namespace shunt::openflow
