// SPDX-License-Identifier: Apache-2.0
// What a controller asks about the switch and says about itself: features, configuration, role, asynchronous messages.
#include <algorithm>

#include "user/openflow/codec/port_number.h"
#include "user/openflow/session.h"

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kInvalidTtlToController = 4;  // OFPC_INVALID_TTL_TO_CONTROLLER
constexpr std::uint32_t kInvalidTtl = 1 << static_cast<unsigned>(PacketInReason::kInvalidTtl);

}  // namespace

std::vector<PortDescription> Session::ports() const {
  std::vector<PortDescription> ports;
  for (const PortStatus& port : agent_.instance().port_settings(agent_.name())) ports.push_back(description_of(port));
  return ports;
}

void Session::features(std::uint32_t xid) {
  const MessageScope reply{out_, *version_, MessageKind::kFeaturesReply, xid};
  const SwitchFeatures features{.datapath_id = agent_.datapath_id(),
                                .buffers = PacketBuffers::kCount,
                                .tables = kTableCount,
                                .auxiliary_id = auxiliary_id_};
  encode_features(out_, features, *version_ == Version::k10 ? ports() : std::vector<PortDescription>{}, *version_);
}

void Session::get_config(std::uint32_t xid) {
  const MessageScope reply{out_, *version_, MessageKind::kGetConfigReply, xid};
  const bool invalid_ttl = *version_ == Version::k10 && (packet_ins() & kInvalidTtl) != 0;
  out_.u16(invalid_ttl ? kInvalidTtlToController : std::uint16_t{0});
  out_.u16(main().miss_send_len_);
}

// Fragments are matched as they come: OFPC_FRAG_NORMAL. Dropping or reassembling them is not offered. Whether it hears
// of TTLs that run out OpenFlow 1.0 says here, later versions by the asynchronous configuration.
void Session::set_config(Bytes body) {
  Reader in{body};
  const std::uint16_t flags = in.u16();
  const std::uint16_t known = *version_ == Version::k10 ? kInvalidTtlToController : std::uint16_t{0};
  if ((flags & ~known) != 0)
    throw OfError(OfErrorCode::kBadConfigFlags, "configuration flags {:#x}: fragments are forwarded as they are",
                  flags);
  main().miss_send_len_ = in.u16();
  if (*version_ != Version::k10) return;
  packet_ins() = (flags & kInvalidTtlToController) != 0 ? packet_ins() | kInvalidTtl : packet_ins() & ~kInvalidTtl;
}

std::uint32_t& Session::packet_ins() { return main().async_.master[static_cast<std::size_t>(AsyncKind::kPacketIn)]; }

void Session::change_role(std::uint32_t xid, Bytes body) {
  const RoleRequest request = decode_role_request(body, *version_);
  if (request.generation) agent_.check_generation(*request.generation);
  Session& of = main();
  if (request.role != Role::kNoChange) {
    if (request.role == Role::kMaster) agent_.make_master(of);
    of.role_ = request.role;
  }
  const MessageScope reply{out_, *version_, MessageKind::kRoleReply, xid};
  encode_role(out_, of.role_, agent_.generation(), *version_);
}

void Session::demote() {
  role_ = Role::kSlave;
  constexpr unsigned kMasterRequest = 0;  // OFPCRR_MASTER_REQUEST
  if (*version_ < Version::k14 || !async_.wants(AsyncKind::kRoleStatus, kMasterRequest, role_)) return;
  const MessageScope status{out_, *version_, MessageKind::kRoleStatus, 0};
  out_.u32(static_cast<std::uint32_t>(role_));
  out_.u8(kMasterRequest);
  out_.zeros(3);
  out_.u64(agent_.generation().value_or(~std::uint64_t{0}));
}

void Session::set_async(Bytes body, bool with_properties) {
  main().async_ = decode_async(body, with_properties, *version_, main().async_);
  if (kind_ == Kind::kService && miss_send_len_ == 0) miss_send_len_ = kDefaultMissSendLen;
}

void Session::check_queue_port(PortNo port) const {
  const auto known = ports();
  if (std::ranges::find(known, port, &PortDescription::number) == known.end())
    throw OfError(OfErrorCode::kQueueBadPort, "no port {}", port.value);
}

// Ports have no queues of OpenFlow's: what set_queue sets is the packet's priority for Linux.
void Session::queue_config(std::uint32_t xid, Bytes body) {
  Reader in{body};
  const PortNo port = read_port(in, *version_);
  if (port != kPortNone) check_queue_port(port);
  const MessageScope reply{out_, *version_, MessageKind::kQueueGetConfigReply, xid};
  write_port(out_, port, *version_);
  out_.zeros(*version_ == Version::k10 ? 6 : 4);
}

}  // namespace shunt::openflow
