// SPDX-License-Identifier: Apache-2.0
// The fields that a select group hashes, as text: "fields(ip_src,tcp_dst=0xff)". Threads: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "user/flow/flow_key.h"

namespace shunt {

// Names with commas between them; FIELD=MASK hashes part of one. Throws TextError.
PipelineMask parse_hash_fields(std::string_view text, std::size_t column);
// "fields(eth_src,ip_dst)", "fields=ip_dst". Of fields that lie in the same bytes one stands for all.
void append_hash_fields(std::string& out, const PipelineMask& mask);

}  // namespace shunt
