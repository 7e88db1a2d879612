// SPDX-License-Identifier: Apache-2.0
// Hashes of a packet's fields, for what spreads packets over links: multipath, bundle, select groups (ovs-actions(7)).
//
// Fragments of one datagram hash alike: ports count only in packets that are none. Hashes are the same in every run, so
// that a switch that starts again spreads as it did before.
//
// Threads: any; nothing is kept between calls.
#pragma once

#include <cstdint>

#include "user/flow/flow_key.h"
#include "user/pipeline/action.h"

namespace shunt {

// The hash of the fields that `fields` names, from `basis`; a packet that has none of them hashes to one value a basis.
// Adds the bits that the answer depends on to `examined`. The symmetric ones are equal for both directions of a
// conversation.
[[nodiscard]] std::uint32_t hash_fields(const PipelineKey& key, HashFields fields, std::uint32_t basis,
                                        PipelineMask& examined) noexcept;

// The hash of everything from L2 to L4 that tells conversations apart: addresses, type, VLANs, protocol, ports.
[[nodiscard]] std::uint32_t hash_l2_to_l4(const PipelineKey& key, std::uint32_t basis, PipelineMask& examined) noexcept;

// The hash of the bits under `mask`: these are what the answer depends on.
[[nodiscard]] std::uint32_t hash_masked(const PipelineKey& key, const PipelineMask& mask, std::uint32_t basis) noexcept;

// Another hash from this one, for each value of `salt`: the weights of highest-random-weight choices.
[[nodiscard]] std::uint32_t rehash(std::uint32_t hash, std::uint32_t salt) noexcept;

}  // namespace shunt
