// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/error_codec.h"

#include <algorithm>
#include <array>
#include <span>

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kExperimenterError = 0xffff;  // OFPET_EXPERIMENTER
constexpr std::uint16_t kNiciraError = 0xb0c2;        // NXET_VENDOR, of OpenFlow 1.0
constexpr std::size_t kMaxFailedBytes = 1024;         // OpenFlow wants 64 at least

constexpr std::uint16_t kNiciraType = 0xffff;  // of an error of Nicira's in the list of errors

// What a version sends instead of OpenFlow 1.5's numbers.
struct Renumbered {
  OfErrorCode error;
  ErrorNumbers numbers;
};
constexpr ErrorNumbers kUnencodable10{kNiciraId, 1, 521}, kUnencodable{kNiciraId, 0, 10};  // NXBRC_UNENCODABLE_ERROR

// OpenFlow 1.0's own, and Nicira's (nicira-ext.h, "vendor-specific error messages") where it has none.
constexpr auto k10 = std::to_array<Renumbered>({{OfErrorCode::kIsSlave, {0, 1, 5}},
                                                {OfErrorCode::kUnsupportedOrder, {0, 3, 5}},
                                                {OfErrorCode::kTableFull, {0, 3, 0}},
                                                {OfErrorCode::kOverlap, {0, 3, 1}},
                                                {OfErrorCode::kFlowModBadCommand, {0, 3, 4}},
                                                {OfErrorCode::kPortModBadPort, {0, 4, 0}},
                                                {OfErrorCode::kPortModBadAddress, {0, 4, 1}},
                                                {OfErrorCode::kQueueBadPort, {0, 5, 0}},
                                                {OfErrorCode::kQueueBadQueue, {0, 5, 1}},
                                                {OfErrorCode::kBadMatchField, {kNiciraId, 0, 263}},
                                                {OfErrorCode::kMatchBadLength, {kNiciraId, 1, 256}},
                                                {OfErrorCode::kNxmInvalid, {kNiciraId, 1, 256}},
                                                {OfErrorCode::kBadMatchValue, {kNiciraId, 1, 258}},
                                                {OfErrorCode::kBadMatchMask, {kNiciraId, 1, 259}},
                                                {OfErrorCode::kBadPrerequisite, {kNiciraId, 1, 260}},
                                                {OfErrorCode::kDuplicateField, {kNiciraId, 1, 261}},
                                                {OfErrorCode::kBadWildcards, {kNiciraId, 1, 262}},
                                                {OfErrorCode::kRequestBadTable, {kNiciraId, 1, 512}},
                                                {OfErrorCode::kBadRole, {kNiciraId, 1, 513}},
                                                {OfErrorCode::kBadPort, {kNiciraId, 1, 514}},
                                                {OfErrorCode::kMonitorExists, {kNiciraId, 1, 517}},
                                                {OfErrorCode::kMonitorBadFlags, {kNiciraId, 1, 518}},
                                                {OfErrorCode::kUnknownMonitor, {kNiciraId, 1, 519}},
                                                {OfErrorCode::kMatchInconsistent, {kNiciraId, 1, 522}},
                                                {OfErrorCode::kBadSetType, {kNiciraId, 1, 523}},
                                                {OfErrorCode::kBadSetLength, {kNiciraId, 1, 524}},
                                                {OfErrorCode::kBadSetArgument, {kNiciraId, 1, 525}},
                                                {OfErrorCode::kStaleResume, {kNiciraId, 1, 534}},
                                                {OfErrorCode::kBadOutGroup, {kNiciraId, 2, 9}},
                                                {OfErrorCode::kUnsupportedInstruction, {kNiciraId, 2, 257}},
                                                {OfErrorCode::kBadFlags, {kNiciraId, 3, 258}},
                                                {OfErrorCode::kFlowModBadTable, {kNiciraId, 5, 257}},
                                                {OfErrorCode::kBadProperty, {kNiciraId, 13, 2}},
                                                {OfErrorCode::kPropertyBadLength, {kNiciraId, 13, 3}},
                                                {OfErrorCode::kPropertyBadValue, {kNiciraId, 13, 4}},
                                                {OfErrorCode::kPropertyTwice, {kNiciraId, 14, 4}},
                                                {OfErrorCode::kPropertyBadExperimenter, {kNiciraId, 14, 5}}});
// Of OpenFlow 1.4 and later: in 1.3 by the ONF's extensions, or Open vSwitch's.
constexpr auto k13 = std::to_array<Renumbered>({{OfErrorCode::kDuplicateInstruction, {kOnfId, 0, 2600}},
                                                {OfErrorCode::kBadProperty, {0, 13, 2}},
                                                {OfErrorCode::kPropertyBadLength, {0, 13, 3}},
                                                {OfErrorCode::kPropertyBadValue, {0, 13, 4}},
                                                {OfErrorCode::kMonitorExists, {kNiciraId, 0, 6}},
                                                {OfErrorCode::kMonitorBadFlags, {kNiciraId, 0, 7}},
                                                {OfErrorCode::kUnknownMonitor, {kNiciraId, 0, 8}}});
// Of OpenFlow 1.5: in 1.3 and 1.4 by the ONF's extensions, or not at all.
constexpr auto k13And14 = std::to_array<Renumbered>({{OfErrorCode::kBadSetMask, {kOnfId, 0, 4250}},
                                                     {OfErrorCode::kMultipartBadSchedule, kUnencodable},
                                                     {OfErrorCode::kUnknownBucket, kUnencodable},
                                                     {OfErrorCode::kBucketExists, kUnencodable}});

const ErrorNumbers* find(std::span<const Renumbered> table, OfErrorCode error) {
  const auto at = std::ranges::find(table, error, &Renumbered::error);
  return at == table.end() ? nullptr : &at->numbers;
}

ErrorNumbers numbers10(OfErrorCode error) {
  if (const ErrorNumbers* numbers = find(k10, error)) return *numbers;
  constexpr std::uint16_t kGroup = 6;
  const auto [type, code, name] = numbers_of(error);
  if (type == kGroup) return {kNiciraId, type, code};
  const bool in_10 = type == 0 || (type <= 2 && code <= 8);
  return in_10 ? ErrorNumbers{0, type, code} : kUnencodable10;
}

ErrorNumbers numbers13(OfErrorCode error) {
  if (const ErrorNumbers* numbers = find(k13, error)) return *numbers;
  constexpr std::uint16_t kBadProperty = 14, kAsync = 15, kMonitor = 16, kBundle = 17;
  const auto [type, code, name] = numbers_of(error);
  const auto onf = [number = code](unsigned first) {
    return ErrorNumbers{kOnfId, 0, static_cast<std::uint16_t>(first + number)};
  };
  switch (type) {
    case kBadProperty:
      return onf(4440);
    case kAsync:
      return onf(2370);
    case kMonitor:
      return kUnencodable;
    case kBundle:
      return onf(2300);
    default:
      return {0, type, code};
  }
}

}  // namespace

ErrorNumbers error_numbers(OfErrorCode error, Version version) {
  if (version == Version::k10) return numbers10(error);
  const auto [type, code, name] = numbers_of(error);
  if (type == kNiciraType) return {kNiciraId, 0, code};
  if (version < Version::k15)
    if (const ErrorNumbers* numbers = find(k13And14, error)) return *numbers;
  return version == Version::k13 ? numbers13(error) : ErrorNumbers{0, type, code};
}

void encode_error(Writer& out, Version version, OfErrorCode error, std::uint32_t xid, Bytes failed) {
  const ErrorNumbers numbers = error_numbers(error, version);
  const MessageScope message{out, version, kErrorType, xid};
  if (numbers.experimenter == 0) {
    out.u16(numbers.type);
    out.u16(numbers.code);
  } else if (version == Version::k10) {
    out.u16(kNiciraError);
    out.u16(0);
    out.u32(numbers.experimenter);
    out.u16(numbers.type);
    out.u16(numbers.code);
  } else {
    out.u16(kExperimenterError);
    out.u16(numbers.code);
    out.u32(numbers.experimenter);
  }
  out.put(failed.first(std::min(failed.size(), kMaxFailedBytes)));
}

void encode_hello_failed(Writer& out, OfErrorCode error, std::uint8_t version, std::uint32_t xid,
                         std::string_view text) {
  const MessageScope message{out, version, kErrorType, xid};
  const OfErrorNumbers numbers = numbers_of(error);
  out.u16(numbers.type);
  out.u16(numbers.code);
  out.put({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace shunt::openflow
