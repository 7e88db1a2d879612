// SPDX-License-Identifier: Apache-2.0
// Words that actions use for the values of enums, both ways; and bytes in hexadecimal. Inside of the actions' text
// only. Threads: any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/error.h"
#include "user/pipeline/action.h"

namespace shunt::action_text {

inline constexpr std::uint32_t kNoQueue = 0xffffffff;  // SetQueueAction of pop_queue

inline constexpr std::uint16_t kWholePacket = 0xffff;  // ControllerAction::max_len: OFPCML_NO_BUFFER

[[nodiscard]] inline ControllerAction plain_controller(std::uint16_t max_len) {
  ControllerAction action;
  action.max_len = max_len;
  return action;
}

template <typename Enum>
struct NameOf {
  Enum value;
  std::string_view name;
};

inline constexpr std::array<NameOf<PacketInReason>, 6> kReasonNames{{{PacketInReason::kNoMatch, "no_match"},
                                                                     {PacketInReason::kAction, "action"},
                                                                     {PacketInReason::kInvalidTtl, "invalid_ttl"},
                                                                     {PacketInReason::kActionSet, "action_set"},
                                                                     {PacketInReason::kGroup, "group"},
                                                                     {PacketInReason::kPacketOut, "packet_out"}}};
inline constexpr std::array<NameOf<HashFields>, 7> kHashNames{{{HashFields::kEthSrc, "eth_src"},
                                                               {HashFields::kSymmetricL4, "symmetric_l4"},
                                                               {HashFields::kSymmetricL3L4, "symmetric_l3l4"},
                                                               {HashFields::kSymmetricL3L4Udp, "symmetric_l3l4+udp"},
                                                               {HashFields::kSymmetricL3, "symmetric_l3"},
                                                               {HashFields::kNwSrc, "nw_src"},
                                                               {HashFields::kNwDst, "nw_dst"}}};
inline constexpr std::array<NameOf<MultipathAction::Algorithm>, 4> kMultipathNames{
    {{MultipathAction::Algorithm::kModuloN, "modulo_n"},
     {MultipathAction::Algorithm::kHashThreshold, "hash_threshold"},
     {MultipathAction::Algorithm::kHighestRandomWeight, "hrw"},
     {MultipathAction::Algorithm::kIterativeHash, "iter_hash"}}};
inline constexpr std::array<NameOf<BundleAction::Algorithm>, 2> kBundleNames{
    {{BundleAction::Algorithm::kActiveBackup, "active_backup"},
     {BundleAction::Algorithm::kHighestRandomWeight, "hrw"}}};

template <typename Enum, std::size_t kCount>
Enum parse_name(const std::array<NameOf<Enum>, kCount>& names, std::string_view text, std::string_view what,
                std::size_t column) {
  std::string known;
  for (const NameOf<Enum>& entry : names) {
    if (entry.name == text) return entry.value;
    known += known.empty() ? "" : ", ";
    known += entry.name;
  }
  throw TextError(column, fmt::format("'{}' is no {} ({})", text, what, known));
}

template <typename Enum, std::size_t kCount>
std::string_view name_in(const std::array<NameOf<Enum>, kCount>& names, Enum value) {
  for (const NameOf<Enum>& entry : names)
    if (entry.value == value) return entry.name;
  return "unknown";
}

// "aa.bb.cc" or "aabbcc".
std::vector<std::uint8_t> parse_hex_bytes(std::string_view text, std::size_t column);
void append_hex_bytes(std::string& out, std::span<const std::uint8_t> bytes);

}  // namespace shunt::action_text
