// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/bundle_codec.h"

namespace shunt::openflow {
namespace {

void check_flags(std::uint16_t flags) {
  if ((flags & ~(kBundleAtomic | kBundleOrdered)) != 0)
    throw OfError(OfErrorCode::kBundleBadFlags, "bundle flags {:#x} are unknown", flags);
}

}  // namespace

BundleControl decode_bundle_control(Bytes body) {
  Reader in{body};
  const std::uint32_t id = in.u32();
  const std::uint16_t type = in.u16();
  const std::uint16_t flags = in.u16();
  if (type > static_cast<std::uint16_t>(BundleCommand::kDiscard) || type % 2 != 0)
    throw OfError(OfErrorCode::kBundleBadType, "bundle command {} is unknown", type);
  check_flags(flags);
  return {id, static_cast<BundleCommand>(type), flags};
}

void encode_bundle_reply(Writer& out, const BundleControl& control, Version version, std::uint32_t xid) {
  const MessageScope scope{out, version, MessageKind::kBundleControl, xid};
  out.u32(control.id);
  out.u16(static_cast<std::uint16_t>(static_cast<unsigned>(control.command) + 1));
  out.u16(control.flags);
}

BundleAdd decode_bundle_add(Bytes body) {
  Reader in{body};
  BundleAdd add{};
  add.id = in.u32();
  in.skip(2);
  add.flags = in.u16();
  check_flags(add.flags);
  if (in.left() < kHeaderSize) throw OfError(OfErrorCode::kBundleBadLength, "a bundled message of {} bytes", in.left());
  const Header inner = read_header(in.rest());
  if (inner.length < kHeaderSize || inner.length > in.left())
    throw OfError(OfErrorCode::kBundleBadLength, "a bundled message says that it has {} bytes", inner.length);
  add.message = in.take(inner.length);
  return add;
}

}  // namespace shunt::openflow
