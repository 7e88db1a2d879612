// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/switch_codec.h"

#include <algorithm>
#include <utility>

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kVersionBitmap = 1;  // OFPHET_VERSIONBITMAP

std::uint32_t bit_of(Version version) { return 1u << number_of(version); }

// The first bitmap of a hello, which has room for versions up to 31.
std::optional<std::uint32_t> bitmap_of(Bytes hello) {
  constexpr std::size_t kElementHeader = 4;
  Reader in{hello.subspan(kHeaderSize)};
  while (in.left() >= kElementHeader) {
    const std::uint16_t type = in.u16(), size = in.u16();
    if (size < kElementHeader || size - kElementHeader > in.left()) return std::nullopt;
    Reader body = in.part(size - kElementHeader, OfErrorCode::kBadLength);
    in.skip(std::min<std::size_t>((8 - size % 8) % 8, in.left()));
    if (type == kVersionBitmap && body.left() >= 4) return body.u32();
  }
  return std::nullopt;
}

}  // namespace

std::optional<Version> negotiate(Bytes hello, std::span<const Version> ours) {
  const Header header = read_header(hello);
  const std::optional<std::uint32_t> theirs = bitmap_of(hello);
  std::optional<Version> best;
  // Without a bitmap: all versions up to that of the hello.
  for (const Version version : ours) {
    const bool known = theirs ? (*theirs & bit_of(version)) != 0 : number_of(version) <= header.version;
    if (known && (!best || version > *best)) best = version;
  }
  if (best && !theirs && header.version < number_of(*std::ranges::max_element(ours)) &&
      number_of(*best) != header.version)
    return std::nullopt;  // it speaks that version at the most, which is none of ours
  return best;
}

void encode_hello(Writer& out, std::span<const Version> ours, std::uint32_t xid) {
  const MessageScope scope{out, *std::ranges::max_element(ours), kHelloType, xid};
  const Tlv tlv{out, kVersionBitmap};
  std::uint32_t bitmap = 0;
  for (const Version version : ours) bitmap |= bit_of(version);
  out.u32(bitmap);
}

void encode_features(Writer& out, const SwitchFeatures& features, std::span<const PortDescription> ports,
                     Version version) {
  constexpr std::uint32_t kFlowStats = 1 << 0, kTableStats = 1 << 1, kPortStats = 1 << 2, kGroupStats = 1 << 3,
                          kQueueStats = 1 << 6, kArpMatchIp = 1 << 7, kBundles = 1 << 9, kFlowMonitoring = 1 << 10;
  out.u64(features.datapath_id);
  out.u32(features.buffers);
  out.u8(features.tables);
  out.u8(version == Version::k10 ? std::uint8_t{0} : features.auxiliary_id);
  out.zeros(2);
  std::uint32_t capabilities = kFlowStats | kTableStats | kPortStats | kQueueStats;
  capabilities |= version == Version::k10 ? kArpMatchIp : kGroupStats;
  if (version >= Version::k14) capabilities |= kBundles | kFlowMonitoring;
  out.u32(capabilities);
  if (version != Version::k10) return out.u32(0);
  constexpr std::uint32_t kAllActions10 = 0xfff;
  out.u32(kAllActions10);
  for (const PortDescription& port : ports) encode_port(out, port, version);
}

void encode_description(Writer& out, const Description& description) {
  constexpr std::size_t kLong = 256, kShort = 32;
  out.text(description.manufacturer, kLong);
  out.text(description.hardware, kLong);
  out.text(description.software, kLong);
  out.text(description.serial, kShort);
  out.text(description.datapath, kLong);
}

RoleRequest decode_role_request(Bytes body, Version version) {
  Reader in{body};
  const std::uint32_t number = in.u32();
  const bool nicira = version == Version::k10;
  const std::uint32_t role = nicira ? number + 1 : number;  // which has no "no change"
  if (role > static_cast<std::uint32_t>(Role::kSlave) || (nicira && number > 2))
    throw OfError(OfErrorCode::kBadRole, "role {} is unknown", number);
  RoleRequest request{static_cast<Role>(role), std::nullopt};
  if (nicira) return request;
  in.skip(4);
  if (request.role == Role::kMaster || request.role == Role::kSlave) request.generation = in.u64();
  return request;
}

void encode_role(Writer& out, Role role, std::optional<std::uint64_t> generation, Version version) {
  if (version == Version::k10) return out.u32(static_cast<std::uint32_t>(role) - 1);
  out.u32(static_cast<std::uint32_t>(role));
  out.zeros(4);
  out.u64(generation.value_or(~std::uint64_t{0}));
}

// OpenFlow 1.3.5 section 6.3.4, and Open vSwitch's for what packets in a group or action set ask for.
AsyncConfig default_async_config() {
  AsyncConfig config;
  const auto at = [](AsyncKind kind) { return static_cast<std::size_t>(kind); };
  constexpr std::uint32_t kNoMatch = 1 << 0, kAction = 1 << 1, kActionSet = 1 << 3, kGroup = 1 << 4,
                          kPacketOut = 1 << 5;
  config.master[at(AsyncKind::kPacketIn)] = kNoMatch | kAction | kActionSet | kGroup | kPacketOut;
  config.master[at(AsyncKind::kPortStatus)] = config.slave[at(AsyncKind::kPortStatus)] = 7;
  config.master[at(AsyncKind::kFlowRemoved)] = 0x3f;
  config.master[at(AsyncKind::kRoleStatus)] = config.slave[at(AsyncKind::kRoleStatus)] = 7;
  config.master[at(AsyncKind::kTableStatus)] = 0x18;
  return config;
}

namespace {

// The reasons that there are, by kind: the older form has what it says beyond them left out.
constexpr std::array<std::uint32_t, kAsyncKinds> kReasons{0x3f, 0x07, 0x3f, 0x07, 0x18, 0x03, 0x03, 0x7f};
constexpr std::size_t kOldKinds = 3, kKinds14 = 6;

std::size_t kinds_of(Version version) { return version >= Version::k15 ? kAsyncKinds : kKinds14; }

}  // namespace

AsyncConfig decode_async(Bytes body, bool with_properties, Version version, const AsyncConfig& before) {
  AsyncConfig config = before;
  Reader in{body};
  if (!with_properties) {
    for (std::size_t kind = 0; kind < kOldKinds; ++kind) {
      config.master[kind] = in.u32() & kReasons[kind];
      config.slave[kind] = in.u32() & kReasons[kind];
    }
    return config;
  }
  constexpr std::uint16_t kFirstExperimenter = 0xfffe;
  std::array<bool, 2 * kAsyncKinds> given{};
  for_each_property(in, [&](std::uint16_t type, Reader& value) {
    if (type >= kFirstExperimenter)
      throw OfError(OfErrorCode::kPropertyBadExperimenter, "no experimenter's messages are sent");
    if (type >= 2 * kinds_of(version)) throw OfError(OfErrorCode::kBadProperty, "no property {}", type);
    if (value.left() != 4)
      throw OfError(OfErrorCode::kPropertyBadLength, "property {} with {} bytes", type, value.left());
    if (std::exchange(given[type], true)) throw OfError(OfErrorCode::kPropertyTwice, "property {} twice", type);
    const std::uint32_t mask = value.u32();
    if ((mask & ~kReasons[type / 2]) != 0)
      throw OfError(OfErrorCode::kAsyncInvalid, "property {}: mask {:#x} has unknown reasons", type, mask);
    (type % 2 == 0 ? config.slave : config.master)[type / 2] = mask;
  });
  return config;
}

void encode_async(Writer& out, const AsyncConfig& config, Version version) {
  if (version < Version::k14) {
    for (std::size_t kind = 0; kind < kOldKinds; ++kind) {
      out.u32(config.master[kind]);
      out.u32(config.slave[kind]);
    }
    return;
  }
  for (std::uint16_t type = 0; type < 2 * kinds_of(version); ++type) {
    const Tlv tlv{out, type};
    out.u32((type % 2 == 0 ? config.slave : config.master)[type / 2]);
  }
}

}  // namespace shunt::openflow
