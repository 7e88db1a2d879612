// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/error_codec.h"

#include <algorithm>
#include <array>

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kExperimenterError = 0xffff;  // OFPET_EXPERIMENTER
constexpr std::uint16_t kNiciraError = 0xb0c2;        // NXET_VENDOR, of OpenFlow 1.0
constexpr std::size_t kMaxFailedBytes = 1024;         // OpenFlow wants 64 at least

struct Nicira10 {
  OfErrorCode error;
  std::uint16_t type, code;
};
// What OpenFlow 1.0 has no number for goes as Nicira's error (nicira-ext.h, "vendor-specific error messages").
constexpr auto kNicira10 = std::to_array<Nicira10>({
    {OfErrorCode::kRequestBadTable, 1, 512},   {OfErrorCode::kBadRole, 1, 513},
    {OfErrorCode::kBadPort, 1, 514},           {OfErrorCode::kMonitorExists, 1, 517},
    {OfErrorCode::kMonitorBadFlags, 1, 518},   {OfErrorCode::kUnknownMonitor, 1, 519},
    {OfErrorCode::kMatchInconsistent, 1, 522}, {OfErrorCode::kBadSetType, 1, 523},
    {OfErrorCode::kBadSetLength, 1, 524},      {OfErrorCode::kBadSetArgument, 1, 525},
    {OfErrorCode::kMatchBadLength, 1, 256},    {OfErrorCode::kBadMatchValue, 1, 258},
    {OfErrorCode::kBadMatchMask, 1, 259},      {OfErrorCode::kBadPrerequisite, 1, 260},
    {OfErrorCode::kDuplicateField, 1, 261},    {OfErrorCode::kBadWildcards, 1, 262},
    {OfErrorCode::kBadMatchField, 1, 257},     {OfErrorCode::kUnsupportedInstruction, 2, 257},
    {OfErrorCode::kFlowModBadTable, 5, 257},   {OfErrorCode::kBadFlags, 3, 258},
    {OfErrorCode::kBadProperty, 13, 2},        {OfErrorCode::kPropertyBadLength, 13, 3},
    {OfErrorCode::kPropertyBadValue, 13, 4},   {OfErrorCode::kPropertyBadExperimenter, 14, 5},
});
constexpr ErrorNumbers kUnencodable10{kNiciraId, 1, 521};  // NXBRC_UNENCODABLE_ERROR

struct Renumbered {
  OfErrorCode error;
  std::uint16_t type, code;
};
constexpr auto k10 = std::to_array<Renumbered>({{OfErrorCode::kIsSlave, 1, 5},
                                                {OfErrorCode::kUnsupportedOrder, 3, 5},
                                                {OfErrorCode::kTableFull, 3, 0},
                                                {OfErrorCode::kOverlap, 3, 1},
                                                {OfErrorCode::kFlowModBadCommand, 3, 4},
                                                {OfErrorCode::kPortModBadPort, 4, 0},
                                                {OfErrorCode::kPortModBadAddress, 4, 1},
                                                {OfErrorCode::kQueueBadPort, 5, 0},
                                                {OfErrorCode::kQueueBadQueue, 5, 1}});

ErrorNumbers numbers10(OfErrorCode error) {
  if (const auto at = std::ranges::find(k10, error, &Renumbered::error); at != k10.end())
    return {0, at->type, at->code};
  if (const auto at = std::ranges::find(kNicira10, error, &Nicira10::error); at != kNicira10.end())
    return {kNiciraId, at->type, at->code};
  const OfErrorNumbers numbers = numbers_of(error);
  const bool in_10 = numbers.type == 0 || (numbers.type <= 2 && numbers.code <= 8);
  return in_10 ? ErrorNumbers{0, numbers.type, numbers.code} : kUnencodable10;
}

// Of OpenFlow 1.4 and later: in 1.3 by the ONF's extensions, or Open vSwitch's.
ErrorNumbers numbers13(OfErrorCode error) {
  const OfErrorNumbers numbers = numbers_of(error);
  constexpr std::uint16_t kBadProperty = 14, kAsync = 15, kMonitor = 16, kBundle = 17;
  if (error == OfErrorCode::kBadSetMask) return {kOnfId, 0, 4250};
  if (error == OfErrorCode::kDuplicateInstruction) return {kOnfId, 0, 2600};
  switch (numbers.type) {
    case kBadProperty:
      if (numbers.code <= 2) return {0, 13, static_cast<std::uint16_t>(numbers.code + 2)};
      return {kOnfId, 0, static_cast<std::uint16_t>(4440 + numbers.code)};
    case kAsync:
      return {0, 1, 5};
    case kMonitor:
      if (numbers.code == 1 || numbers.code == 5)
        return {kNiciraId, 0, static_cast<std::uint16_t>(numbers.code == 1 ? 6 : 7)};
      return {kNiciraId, 0, 8};
    case kBundle:
      return {kOnfId, 0, static_cast<std::uint16_t>(2300 + numbers.code)};
    default:
      return {0, numbers.type, numbers.code};
  }
}

}  // namespace

ErrorNumbers error_numbers(OfErrorCode error, Version version) {
  if (version == Version::k10) return numbers10(error);
  if (version == Version::k13) return numbers13(error);
  const OfErrorNumbers numbers = numbers_of(error);
  return {0, numbers.type, numbers.code};
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
