// SPDX-License-Identifier: Apache-2.0
// A random rule's match, made of a frame's fields, as text that both switches read; and what it says of the packets it
// lets through: actions may only use what the match promises.
#pragma once

#include <string>

#include "tests/oracle/frame_spec.h"

namespace shunt::test {

struct Promise {
  bool no_tag = false;      // came without any
  int tags = 0;             // that the packet has at least, or that actions pushed
  bool last_label = false;  // of kMpls: the outermost is the only one
  FrameSpec::L3 l3 = FrameSpec::L3::kOther;
  FrameSpec::L4 l4 = FrameSpec::L4::kNone;
  [[nodiscard]] bool tagged() const { return tags > 0; }
  [[nodiscard]] bool is_ip() const { return l3 == FrameSpec::L3::kIpv4 || l3 == FrameSpec::L3::kIpv6; }
  [[nodiscard]] bool has_ports() const {
    return l4 == FrameSpec::L4::kTcp || l4 == FrameSpec::L4::kUdp || l4 == FrameSpec::L4::kSctp;
  }
};

struct MatchText {
  std::string text;  // may be empty: everything
  Promise promise;
};

// `pipeline`: also metadata and registers, for tables that packets are sent to by others.
MatchText random_match(Random& random, const FrameSpec& spec, bool pipeline);

// A number of 1 to 64 bits under a mask; some masks are prefixes, some are not.
std::uint64_t random_mask(Random& random, unsigned width);

}  // namespace shunt::test
