// SPDX-License-Identifier: Apache-2.0
// Any bytes: the parser stays within them, its offsets name whole headers, and what it was not shown does not change
// what it says without a word.
#include "bpf/datapath/checksum.h"
#include "bpf/datapath/parse.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_frame.h"

using namespace shunt::test;

namespace {

struct Parsed {
  shunt_drop_reason reason;
  shunt_flow_key key;
  shunt_headers headers;
};

Parsed parse(std::span<const std::byte> visible, std::size_t frame_size, __u32 features) {
  ExactBuffer buffer{visible};
  shunt_user_frame frame{buffer.get(), static_cast<__u32>(visible.size()), 0, 0};
  Parsed parsed;
  parsed.reason = shunt_parse(&frame, static_cast<__u32>(frame_size), 3, features, &parsed.key, &parsed.headers);
  shunt_complete_checksum(&frame, &parsed.headers);  // stays within the frame too
  return parsed;
}

void check_offsets(const Parsed& all, std::size_t size) {
  const shunt_headers& h = all.headers;
  for (const std::size_t offset : {h.eth_type, h.l3, h.l4, h.nd_sll, h.nd_tll}) FUZZ_CHECK(offset % 2 == 0);
  FUZZ_CHECK(h.eth_type + 2u <= h.l3 && h.l3 <= size && h.l3_end <= size);
  FUZZ_CHECK(h.l4 == 0 || (h.l4 > h.l3 && h.l4 + 8u <= h.l3_end));
  FUZZ_CHECK(h.nd_sll == 0 || (h.nd_sll >= h.l4 + 26 && h.nd_sll + 6u <= h.l3_end));
  FUZZ_CHECK(h.nd_tll == 0 || (h.nd_tll >= h.l4 + 26 && h.nd_tll + 6u <= h.l3_end));
  FUZZ_CHECK((h.flags & SHUNT_HEADERS_CUT) == 0);
  FUZZ_CHECK(!(h.flags & SHUNT_HEADERS_LATER) || h.l4 == 0);
  FUZZ_CHECK(h.max_len == 0);
}

// Each byte of `part` is that of `all`, or zero.
void check_part(const shunt_flow_key& part, const shunt_flow_key& all) {
  const auto* p = reinterpret_cast<const unsigned char*>(&part);
  const auto* a = reinterpret_cast<const unsigned char*>(&all);
  for (std::size_t i = 0; i < sizeof part; ++i) FUZZ_CHECK(p[i] == 0 || p[i] == a[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input{data, size};
  const std::uint8_t features = input.byte();
  const std::uint8_t visible = input.byte();
  const Bytes frame = fuzz_frame(input);

  const Parsed all = parse(frame, frame.size(), SHUNT_FEATURE_ALL);
  FUZZ_CHECK((all.reason == SHUNT_DROP_NONE) == (frame.size() >= 14));
  FUZZ_CHECK(all.key.in_port == 3);
  if (all.reason != SHUNT_DROP_NONE) return 0;
  check_offsets(all, frame.size());

  const Parsed some = parse(frame, frame.size(), features);
  check_part(some.key, all.key);

  // Only the first bytes visible, as the first buffer of a longer frame: the same, or it says that headers are cut off.
  const std::size_t shown = std::min<std::size_t>(frame.size(), 14u + visible);
  const Parsed first = parse(std::span{frame}.first(shown), frame.size(), SHUNT_FEATURE_ALL);
  if (!(first.headers.flags & SHUNT_HEADERS_CUT)) FUZZ_CHECK(std::memcmp(&first.key, &all.key, sizeof all.key) == 0);
  return 0;
}
