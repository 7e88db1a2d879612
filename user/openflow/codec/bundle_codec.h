// SPDX-License-Identifier: Apache-2.0
// Bundles: OpenFlow 1.4's messages, and the ONF's of the same form in OpenFlow 1.3. Threads: any.
#pragma once

#include <cstdint>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

enum class BundleCommand : std::uint16_t {  // ofp_bundle_ctrl_type; each reply is the request plus one
  kOpen = 0,
  kClose = 2,
  kCommit = 4,
  kDiscard = 6,
};
inline constexpr std::uint16_t kBundleAtomic = 1, kBundleOrdered = 2;  // OFPBF_*

struct BundleControl {
  std::uint32_t id;
  BundleCommand command;
  std::uint16_t flags;
};
[[nodiscard]] BundleControl decode_bundle_control(Bytes body);
void encode_bundle_reply(Writer& out, const BundleControl& control, Version version, std::uint32_t xid);

struct BundleAdd {
  std::uint32_t id;
  std::uint16_t flags;
  Bytes message;  // whole, its own header first
};
[[nodiscard]] BundleAdd decode_bundle_add(Bytes body);

}  // namespace shunt::openflow
