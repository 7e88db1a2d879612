// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/packet_reparse.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "bpf/datapath/act.h"
#include "bpf/datapath/parse.h"

namespace shunt {
namespace {

constexpr std::size_t kEthernetSize = sizeof(shunt_eth_header);
// Enough for all headers but those of IPv6 packets with long extension headers.
constexpr std::size_t kUsualHeaders = 512;

// What stands in front of a payload that is looked at by itself: an Ethernet header and up to two tags.
constexpr std::size_t kMaxHead = kEthernetSize + 2 * sizeof(shunt_vlan_header);

// Room for what actions push.
constexpr std::size_t kHeadroom = 1024;

struct Parsed {
  FlowKey key{};
  shunt_headers headers{};
};

// `bytes`: the first ones of a frame of `length`. Parsing writes nothing into them.
Parsed parse(std::span<std::uint8_t> bytes, std::uint32_t length) noexcept {
  Parsed parsed;
  shunt_frame frame{bytes.data(), static_cast<std::uint32_t>(bytes.size()), 0, 0};
  if (shunt_parse(&frame, length, 0, SHUNT_FEATURE_ALL, &parsed.key, &parsed.headers) != SHUNT_DROP_NONE) parsed = {};
  return parsed;
}

// Parses `head` and behind it the packet from `offset` on.
Parsed parse_behind(std::span<const std::uint8_t> head, const PacketView& packet, std::uint32_t offset) {
  const std::uint32_t length = std::max(packet.length, static_cast<std::uint32_t>(packet.frame.size()));
  const auto rest = packet.frame.subspan(std::min<std::size_t>(offset, packet.frame.size()));
  const auto whole = static_cast<std::uint32_t>(head.size()) + (length > offset ? length - offset : 0);

  std::array<std::uint8_t, kUsualHeaders> usual;
  const auto behind_head = std::ranges::copy(head, usual.begin()).out;
  const std::size_t fits = std::min(usual.size() - head.size(), rest.size());
  std::ranges::copy(rest.first(fits), behind_head);
  const Parsed parsed = parse(std::span{usual}.first(head.size() + fits), whole);
  if (fits == rest.size() || (parsed.headers.flags & SHUNT_HEADERS_CUT) == 0) return parsed;

  std::vector<std::uint8_t> all(head.begin(), head.end());
  all.insert(all.end(), rest.begin(), rest.end());
  return parse(all, whole);
}

Reparsed summarise(const Parsed& parsed, std::size_t head_size, std::uint32_t offset) noexcept {
  Reparsed result;
  result.key = parsed.key;
  result.key.in_port = 0;
  result.key.dp_hash = 0;
  if (parsed.headers.l3 != 0) result.payload = offset + parsed.headers.l3 - static_cast<std::uint32_t>(head_size);
  result.is_ip = (parsed.headers.l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6)) != 0;
  return result;
}

bool changes_frame(const shunt_action& action) noexcept {
  switch (action.type) {
    case SHUNT_ACT_SET_FIELD:
    case SHUNT_ACT_PUSH_VLAN:
    case SHUNT_ACT_POP_VLAN:
    case SHUNT_ACT_DEC_TTL:
    case SHUNT_ACT_PUSH_MPLS:
    case SHUNT_ACT_POP_MPLS:
    case SHUNT_ACT_PUSH_PBB:
    case SHUNT_ACT_POP_PBB:
    case SHUNT_ACT_DEC_MPLS_TTL:
    case SHUNT_ACT_COPY_TTL_OUT:
    case SHUNT_ACT_COPY_TTL_IN:
      return true;
    default:
      return false;
  }
}

}  // namespace

Reparsed reparse_frame(const PacketView& packet, std::uint32_t offset) {
  return summarise(parse_behind({}, packet, offset), 0, offset);
}

Reparsed reparse_payload(const PacketView& packet, std::uint32_t offset, std::uint16_t eth_type,
                         unsigned tags_in_front) {
  std::array<std::uint8_t, kMaxHead> head{};
  std::size_t size = kEthernetSize - 2;
  const auto add16 = [&](std::uint16_t value) {
    head[size++] = static_cast<std::uint8_t>(value >> 8);
    head[size++] = static_cast<std::uint8_t>(value);
  };
  for (unsigned i = 0; i < std::min(tags_in_front, 2u); ++i) {
    add16(SHUNT_ETH_TYPE_CVLAN);
    add16(0);
  }
  add16(eth_type);
  return summarise(parse_behind(std::span{head}.first(size), packet, offset), size, offset);
}

std::vector<std::uint8_t> edited_frame(const PacketView& packet, std::span<const shunt_action> actions) {
  std::vector<std::uint8_t> buffer(kHeadroom + packet.frame.size() + SHUNT_MIN_FRAME);
  std::ranges::copy(packet.frame, buffer.begin() + kHeadroom);
  shunt_frame frame{buffer.data() + kHeadroom, static_cast<std::uint32_t>(packet.frame.size()), kHeadroom,
                    SHUNT_MIN_FRAME};
  Parsed parsed;
  if (shunt_parse(&frame, std::max(packet.length, frame.len), 0, SHUNT_FEATURE_ALL, &parsed.key, &parsed.headers) !=
      SHUNT_DROP_NONE)
    return {};
  unsigned saved = 0;
  for (const shunt_action& action : actions) {
    if (action.type == SHUNT_ACT_SAVE) ++saved;
    if (action.type == SHUNT_ACT_RESTORE) --saved;
    // One that cannot be run here ends the packet, or leaves it as it is, whoever runs it.
    if (saved == 0 && changes_frame(action)) (void)shunt_act(&frame, &parsed.headers, &action);
  }
  return {frame.data, frame.data + frame.len};
}

}  // namespace shunt
