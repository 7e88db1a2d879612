// SPDX-License-Identifier: Apache-2.0
// Messages about groups: group-mod, and multipart replies. OpenFlow 1.5 has bucket ids, properties and commands on
// single buckets; earlier versions have them by NXT_GROUP_MOD. Threads: any.
#pragma once

#include <cstdint>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/version.h"
#include "user/pipeline/group.h"

namespace shunt::openflow {

// `body` is behind the header. `nicira`: NXT_GROUP_MOD, which is OpenFlow 1.5's in an earlier version.
[[nodiscard]] GroupMod decode_group_mod(Bytes body, Version version, bool nicira);
void encode_group_mod(Writer& out, const GroupMod& mod, Version version, std::uint32_t xid);

// Entries of the replies to kGroup, kGroupDescription; the reply to kGroupFeatures.
void encode_group_stats(Writer& out, const Group& group, std::uint32_t references, TimePoint now, Version version);
void encode_group_description(Writer& out, const Group& group, Version version);
void encode_group_features(Writer& out, Version version, std::uint32_t max_groups);

}  // namespace shunt::openflow
