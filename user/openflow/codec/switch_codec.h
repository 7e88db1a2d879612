// SPDX-License-Identifier: Apache-2.0
// Messages about the switch and the connection: hello, features, configuration, description, role, which asynchronous
// messages a controller wants. Threads: any.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/port_codec.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

// The greatest version that both sides have: what the other's hello says, against `ours`; none: there is none.
[[nodiscard]] std::optional<Version> negotiate(Bytes hello, std::span<const Version> ours);
void encode_hello(Writer& out, std::span<const Version> ours, std::uint32_t xid);

struct SwitchFeatures {
  std::uint64_t datapath_id = 0;
  std::uint32_t buffers = 0;
  std::uint8_t tables = 0, auxiliary_id = 0;
};
// `ports` go with OpenFlow 1.0's only.
void encode_features(Writer& out, const SwitchFeatures& features, std::span<const PortDescription> ports,
                     Version version);

struct Description {
  std::string_view manufacturer, hardware, software, serial, datapath;
};
void encode_description(Writer& out, const Description& description);

enum class Role : std::uint8_t { kNoChange, kEqual, kMaster, kSlave };  // ofp_controller_role
struct RoleRequest {
  Role role = Role::kNoChange;
  std::optional<std::uint64_t> generation;
};
[[nodiscard]] RoleRequest decode_role_request(Bytes body, Version version);
// `generation` none: nobody has given one yet.
void encode_role(Writer& out, Role role, std::optional<std::uint64_t> generation, Version version);

// By kind, a bit for each reason; as equal or master, and as slave.
enum class AsyncKind : std::uint8_t {
  kPacketIn,
  kPortStatus,
  kFlowRemoved,
  kRoleStatus,
  kTableStatus,
  kRequestForward,
  kFlowStats,  // these two: OpenFlow 1.5; there is nothing to be told of them
  kControllerStatus,
};
inline constexpr std::size_t kAsyncKinds = 8;
struct AsyncConfig {
  std::array<std::uint32_t, kAsyncKinds> master{}, slave{};
  [[nodiscard]] bool wants(AsyncKind kind, unsigned reason, Role role) const {
    const auto& masks = role == Role::kSlave ? slave : master;
    return reason < 32 && (masks[static_cast<std::size_t>(kind)] >> reason & 1) != 0;
  }
};
[[nodiscard]] AsyncConfig default_async_config();
// `before`, changed to what `body` says; with_properties: OpenFlow 1.4's form, and NXT_SET_ASYNC_CONFIG2.
[[nodiscard]] AsyncConfig decode_async(Bytes body, bool with_properties, Version version, const AsyncConfig& before);
void encode_async(Writer& out, const AsyncConfig& config, Version version);

enum class ForwardReason : std::uint8_t { kGroupMod, kMeterMod };  // ofp_requestforward_reason

}  // namespace shunt::openflow
