// SPDX-License-Identifier: Apache-2.0
// Refusals that OpenFlow has a type and code for (OpenFlow 1.5.1 section 7.5.4; Open vSwitch's extensions).
//
// One list makes the enum, its name and the numbers that the protocol sends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "user/base/error.h"

namespace shunt {

// X(NAME, type, code, "type/code as the specification names them"): OpenFlow 1.5's numbers, which are those of 1.3 where
// that has the error. What earlier versions send instead is in user/openflow/codec/error_codec.cpp. Type 0xffff: an
// error of Nicira's.
#define SHUNT_OF_ERRORS(X)                                                          \
  X(kIncompatible, 0, 0, "OFPET_HELLO_FAILED/OFPHFC_INCOMPATIBLE")                  \
  X(kHelloNotPermitted, 0, 1, "OFPET_HELLO_FAILED/OFPHFC_EPERM")                    \
  X(kBadVersion, 1, 0, "OFPET_BAD_REQUEST/OFPBRC_BAD_VERSION")                      \
  X(kBadMessageType, 1, 1, "OFPET_BAD_REQUEST/OFPBRC_BAD_TYPE")                     \
  X(kBadMultipart, 1, 2, "OFPET_BAD_REQUEST/OFPBRC_BAD_MULTIPART")                  \
  X(kBadExperimenter, 1, 3, "OFPET_BAD_REQUEST/OFPBRC_BAD_EXPERIMENTER")            \
  X(kBadExperimenterType, 1, 4, "OFPET_BAD_REQUEST/OFPBRC_BAD_EXP_TYPE")            \
  X(kNotPermitted, 1, 5, "OFPET_BAD_REQUEST/OFPBRC_EPERM")                          \
  X(kBadLength, 1, 6, "OFPET_BAD_REQUEST/OFPBRC_BAD_LEN")                           \
  X(kBufferEmpty, 1, 7, "OFPET_BAD_REQUEST/OFPBRC_BUFFER_EMPTY")                    \
  X(kBufferUnknown, 1, 8, "OFPET_BAD_REQUEST/OFPBRC_BUFFER_UNKNOWN")                \
  X(kRequestBadTable, 1, 9, "OFPET_BAD_REQUEST/OFPBRC_BAD_TABLE_ID")                \
  X(kIsSlave, 1, 10, "OFPET_BAD_REQUEST/OFPBRC_IS_SLAVE")                           \
  X(kBadPort, 1, 11, "OFPET_BAD_REQUEST/OFPBRC_BAD_PORT")                           \
  X(kBadPacket, 1, 12, "OFPET_BAD_REQUEST/OFPBRC_BAD_PACKET")                       \
  X(kMultipartOverflow, 1, 13, "OFPET_BAD_REQUEST/OFPBRC_MULTIPART_BUFFER_OVERFLOW") \
  X(kMultipartBadSchedule, 1, 16, "OFPET_BAD_REQUEST/OFPBRC_MULTIPART_BAD_SCHED")   \
  X(kNxmInvalid, 0xffff, 2, "NXBRC_NXM_INVALID")                                    \
  X(kStaleResume, 0xffff, 35, "NXR_STALE")                                          \
  X(kActionBadLength, 2, 1, "OFPET_BAD_ACTION/OFPBAC_BAD_LEN")                      \
  X(kActionBadExperimenter, 2, 2, "OFPET_BAD_ACTION/OFPBAC_BAD_EXPERIMENTER")       \
  X(kActionBadExpType, 2, 3, "OFPET_BAD_ACTION/OFPBAC_BAD_EXP_TYPE")                \
  X(kBadSetLength, 2, 14, "OFPET_BAD_ACTION/OFPBAC_BAD_SET_LEN")                    \
  X(kBadSetMask, 2, 16, "OFPET_BAD_ACTION/OFPBAC_BAD_SET_MASK")                     \
  X(kUnsupportedInstruction, 3, 1, "OFPET_BAD_INSTRUCTION/OFPBIC_UNSUP_INST")       \
  X(kInstructionBadExperimenter, 3, 5, "OFPET_BAD_INSTRUCTION/OFPBIC_BAD_EXPERIMENTER") \
  X(kInstructionBadLength, 3, 7, "OFPET_BAD_INSTRUCTION/OFPBIC_BAD_LEN")            \
  X(kMatchBadLength, 4, 1, "OFPET_BAD_MATCH/OFPBMC_BAD_LEN")                        \
  X(kBadWildcards, 4, 5, "OFPET_BAD_MATCH/OFPBMC_BAD_WILDCARDS")                    \
  X(kFlowModBadCommand, 5, 6, "OFPET_FLOW_MOD_FAILED/OFPFMFC_BAD_COMMAND")          \
  X(kGroupBadCommand, 6, 11, "OFPET_GROUP_MOD_FAILED/OFPGMFC_BAD_COMMAND")          \
  X(kPortModBadPort, 7, 0, "OFPET_PORT_MOD_FAILED/OFPPMFC_BAD_PORT")                \
  X(kPortModBadAddress, 7, 1, "OFPET_PORT_MOD_FAILED/OFPPMFC_BAD_HW_ADDR")          \
  X(kPortModBadConfig, 7, 2, "OFPET_PORT_MOD_FAILED/OFPPMFC_BAD_CONFIG")            \
  X(kPortModBadAdvertise, 7, 3, "OFPET_PORT_MOD_FAILED/OFPPMFC_BAD_ADVERTISE")      \
  X(kQueueBadPort, 9, 0, "OFPET_QUEUE_OP_FAILED/OFPQOFC_BAD_PORT")                  \
  X(kQueueBadQueue, 9, 1, "OFPET_QUEUE_OP_FAILED/OFPQOFC_BAD_QUEUE")                \
  X(kBadConfigFlags, 10, 0, "OFPET_SWITCH_CONFIG_FAILED/OFPSCFC_BAD_FLAGS")         \
  X(kStaleRole, 11, 0, "OFPET_ROLE_REQUEST_FAILED/OFPRRFC_STALE")                   \
  X(kBadRole, 11, 2, "OFPET_ROLE_REQUEST_FAILED/OFPRRFC_BAD_ROLE")                  \
  X(kMeterBadCommand, 12, 4, "OFPET_METER_MOD_FAILED/OFPMMFC_BAD_COMMAND")          \
  X(kMeterBadFlags, 12, 5, "OFPET_METER_MOD_FAILED/OFPMMFC_BAD_FLAGS")              \
  X(kTableFeaturesNotPermitted, 13, 5, "OFPET_TABLE_FEATURES_FAILED/OFPTFFC_EPERM") \
  X(kBadProperty, 14, 0, "OFPET_BAD_PROPERTY/OFPBPC_BAD_TYPE")                      \
  X(kPropertyBadLength, 14, 1, "OFPET_BAD_PROPERTY/OFPBPC_BAD_LEN")                 \
  X(kPropertyBadValue, 14, 2, "OFPET_BAD_PROPERTY/OFPBPC_BAD_VALUE")                \
  X(kPropertyTwice, 14, 4, "OFPET_BAD_PROPERTY/OFPBPC_DUP_TYPE")                    \
  X(kPropertyBadExperimenter, 14, 5, "OFPET_BAD_PROPERTY/OFPBPC_BAD_EXPERIMENTER")  \
  X(kAsyncInvalid, 15, 0, "OFPET_ASYNC_CONFIG_FAILED/OFPACFC_INVALID")              \
  X(kMonitorExists, 16, 1, "OFPET_FLOW_MONITOR_FAILED/OFPMOFC_MONITOR_EXISTS")      \
  X(kUnknownMonitor, 16, 3, "OFPET_FLOW_MONITOR_FAILED/OFPMOFC_UNKNOWN_MONITOR")    \
  X(kMonitorBadCommand, 16, 4, "OFPET_FLOW_MONITOR_FAILED/OFPMOFC_BAD_COMMAND")     \
  X(kMonitorBadFlags, 16, 5, "OFPET_FLOW_MONITOR_FAILED/OFPMOFC_BAD_FLAGS")         \
  X(kMonitorBadTable, 16, 6, "OFPET_FLOW_MONITOR_FAILED/OFPMOFC_BAD_TABLE_ID")      \
  X(kBundleBadId, 17, 2, "OFPET_BUNDLE_FAILED/OFPBFC_BAD_ID")                       \
  X(kBundleExists, 17, 3, "OFPET_BUNDLE_FAILED/OFPBFC_BUNDLE_EXIST")                \
  X(kBundleClosed, 17, 4, "OFPET_BUNDLE_FAILED/OFPBFC_BUNDLE_CLOSED")               \
  X(kOutOfBundles, 17, 5, "OFPET_BUNDLE_FAILED/OFPBFC_OUT_OF_BUNDLES")              \
  X(kBundleBadType, 17, 6, "OFPET_BUNDLE_FAILED/OFPBFC_BAD_TYPE")                   \
  X(kBundleBadFlags, 17, 7, "OFPET_BUNDLE_FAILED/OFPBFC_BAD_FLAGS")                 \
  X(kBundleBadLength, 17, 8, "OFPET_BUNDLE_FAILED/OFPBFC_MSG_BAD_LEN")              \
  X(kBundleBadXid, 17, 9, "OFPET_BUNDLE_FAILED/OFPBFC_MSG_BAD_XID")                 \
  X(kBundleUnsupported, 17, 10, "OFPET_BUNDLE_FAILED/OFPBFC_MSG_UNSUP")             \
  X(kBundleConflict, 17, 11, "OFPET_BUNDLE_FAILED/OFPBFC_MSG_CONFLICT")             \
  X(kBundleTooMany, 17, 12, "OFPET_BUNDLE_FAILED/OFPBFC_MSG_TOO_MANY")              \
  X(kBundleMessageFailed, 17, 13, "OFPET_BUNDLE_FAILED/OFPBFC_MSG_FAILED")          \
  X(kBundleTimeout, 17, 14, "OFPET_BUNDLE_FAILED/OFPBFC_TIMEOUT")                   \
  X(kBadOutPort, 2, 4, "OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT")                      \
  X(kBadArgument, 2, 5, "OFPET_BAD_ACTION/OFPBAC_BAD_ARGUMENT")                     \
  X(kTooManyActions, 2, 7, "OFPET_BAD_ACTION/OFPBAC_TOO_MANY")                      \
  X(kBadQueue, 2, 8, "OFPET_BAD_ACTION/OFPBAC_BAD_QUEUE")                           \
  X(kBadOutGroup, 2, 9, "OFPET_BAD_ACTION/OFPBAC_BAD_OUT_GROUP")                    \
  X(kMatchInconsistent, 2, 10, "OFPET_BAD_ACTION/OFPBAC_MATCH_INCONSISTENT")        \
  X(kUnsupportedOrder, 2, 11, "OFPET_BAD_ACTION/OFPBAC_UNSUPPORTED_ORDER")          \
  X(kBadTag, 2, 12, "OFPET_BAD_ACTION/OFPBAC_BAD_TAG")                              \
  X(kBadSetType, 2, 13, "OFPET_BAD_ACTION/OFPBAC_BAD_SET_TYPE")                     \
  X(kBadSetArgument, 2, 15, "OFPET_BAD_ACTION/OFPBAC_BAD_SET_ARGUMENT")             \
  X(kBadType, 2, 0, "OFPET_BAD_ACTION/OFPBAC_BAD_TYPE")                             \
  X(kBadInstruction, 3, 0, "OFPET_BAD_INSTRUCTION/OFPBIC_UNKNOWN_INST")             \
  X(kBadTableId, 3, 2, "OFPET_BAD_INSTRUCTION/OFPBIC_BAD_TABLE_ID")                 \
  X(kDuplicateInstruction, 3, 9, "OFPET_BAD_INSTRUCTION/OFPBIC_DUP_INST")           \
  X(kBadMatchType, 4, 0, "OFPET_BAD_MATCH/OFPBMC_BAD_TYPE")                         \
  X(kBadMatchField, 4, 6, "OFPET_BAD_MATCH/OFPBMC_BAD_FIELD")                       \
  X(kBadMatchValue, 4, 7, "OFPET_BAD_MATCH/OFPBMC_BAD_VALUE")                       \
  X(kBadMatchMask, 4, 8, "OFPET_BAD_MATCH/OFPBMC_BAD_MASK")                         \
  X(kBadPrerequisite, 4, 9, "OFPET_BAD_MATCH/OFPBMC_BAD_PREREQ")                    \
  X(kDuplicateField, 4, 10, "OFPET_BAD_MATCH/OFPBMC_DUP_FIELD")                     \
  X(kFlowModUnknown, 5, 0, "OFPET_FLOW_MOD_FAILED/OFPFMFC_UNKNOWN")                 \
  X(kTableFull, 5, 1, "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL")                   \
  X(kFlowModBadTable, 5, 2, "OFPET_FLOW_MOD_FAILED/OFPFMFC_BAD_TABLE_ID")           \
  X(kOverlap, 5, 3, "OFPET_FLOW_MOD_FAILED/OFPFMFC_OVERLAP")                        \
  X(kBadTimeout, 5, 5, "OFPET_FLOW_MOD_FAILED/OFPFMFC_BAD_TIMEOUT")                 \
  X(kBadFlags, 5, 7, "OFPET_FLOW_MOD_FAILED/OFPFMFC_BAD_FLAGS")                     \
  X(kGroupExists, 6, 0, "OFPET_GROUP_MOD_FAILED/OFPGMFC_GROUP_EXISTS")              \
  X(kInvalidGroup, 6, 1, "OFPET_GROUP_MOD_FAILED/OFPGMFC_INVALID_GROUP")            \
  X(kOutOfGroups, 6, 3, "OFPET_GROUP_MOD_FAILED/OFPGMFC_OUT_OF_GROUPS")             \
  X(kOutOfBuckets, 6, 4, "OFPET_GROUP_MOD_FAILED/OFPGMFC_OUT_OF_BUCKETS")           \
  X(kWatchUnsupported, 6, 6, "OFPET_GROUP_MOD_FAILED/OFPGMFC_WATCH_UNSUPPORTED")    \
  X(kGroupLoop, 6, 7, "OFPET_GROUP_MOD_FAILED/OFPGMFC_LOOP")                        \
  X(kUnknownGroup, 6, 8, "OFPET_GROUP_MOD_FAILED/OFPGMFC_UNKNOWN_GROUP")            \
  X(kChainedGroup, 6, 9, "OFPET_GROUP_MOD_FAILED/OFPGMFC_CHAINED_GROUP")            \
  X(kBadGroupType, 6, 10, "OFPET_GROUP_MOD_FAILED/OFPGMFC_BAD_TYPE")                \
  X(kBadBucket, 6, 12, "OFPET_GROUP_MOD_FAILED/OFPGMFC_BAD_BUCKET")                 \
  X(kBadWatch, 6, 13, "OFPET_GROUP_MOD_FAILED/OFPGMFC_BAD_WATCH")                   \
  X(kUnknownBucket, 6, 15, "OFPET_GROUP_MOD_FAILED/OFPGMFC_UNKNOWN_BUCKET")         \
  X(kBucketExists, 6, 16, "OFPET_GROUP_MOD_FAILED/OFPGMFC_BUCKET_EXISTS")           \
  X(kMeterExists, 12, 1, "OFPET_METER_MOD_FAILED/OFPMMFC_METER_EXISTS")             \
  X(kInvalidMeter, 12, 2, "OFPET_METER_MOD_FAILED/OFPMMFC_INVALID_METER")           \
  X(kUnknownMeter, 12, 3, "OFPET_METER_MOD_FAILED/OFPMMFC_UNKNOWN_METER")           \
  X(kBadRate, 12, 6, "OFPET_METER_MOD_FAILED/OFPMMFC_BAD_RATE")                     \
  X(kBadBurst, 12, 7, "OFPET_METER_MOD_FAILED/OFPMMFC_BAD_BURST")                   \
  X(kBadBand, 12, 8, "OFPET_METER_MOD_FAILED/OFPMMFC_BAD_BAND")                     \
  X(kBadBandValue, 12, 9, "OFPET_METER_MOD_FAILED/OFPMMFC_BAD_BAND_VALUE")          \
  X(kOutOfMeters, 12, 10, "OFPET_METER_MOD_FAILED/OFPMMFC_OUT_OF_METERS")           \
  X(kOutOfBands, 12, 11, "OFPET_METER_MOD_FAILED/OFPMMFC_OUT_OF_BANDS")             \
  X(kBadTableConfig, 8, 1, "OFPET_TABLE_MOD_FAILED/OFPTMFC_BAD_CONFIG")             \
  X(kBadTable, 8, 0, "OFPET_TABLE_MOD_FAILED/OFPTMFC_BAD_TABLE")

#define SHUNT_ENUM_OF_ERROR(name, type, code, text) name,
enum class OfErrorCode : std::uint8_t { SHUNT_OF_ERRORS(SHUNT_ENUM_OF_ERROR) };
#undef SHUNT_ENUM_OF_ERROR

struct OfErrorNumbers {
  std::uint16_t type, code;
  std::string_view name;
};
[[nodiscard]] inline OfErrorNumbers numbers_of(OfErrorCode code) {
  static constexpr OfErrorNumbers kNumbers[] = {
#define SHUNT_OF_NUMBERS(name, type, number, text) {type, number, text},
      SHUNT_OF_ERRORS(SHUNT_OF_NUMBERS)
#undef SHUNT_OF_NUMBERS
  };
  return kNumbers[static_cast<std::size_t>(code)];
}

// A change that was refused. `line` is that of the text it came from (FlowMod::line), `column` where in it stands what
// was refused; 0 where there is none. Whoever refuses knows no text, and says what it is by path() or item(); who has
// the text sets the column (locate_flow() and its like).
class OfError : public Error {
 public:
  template <typename... Args>
  explicit OfError(OfErrorCode code, fmt::format_string<Args...> format, Args&&... args)
      : Error(format, std::forward<Args>(args)...), code_{code} {}
  [[nodiscard]] OfErrorCode code() const { return code_; }
  [[nodiscard]] std::size_t line() const { return line_; }
  [[nodiscard]] std::size_t column() const { return column_; }
  void set_line(std::size_t line) { line_ = line; }
  void set_column(std::size_t column) { column_ = column; }

  // The action, by its place in each list around it, the outermost first; of a group, by its bucket before these.
  // Empty: no single one.
  [[nodiscard]] std::span<const std::size_t> path() const { return path_; }
  // What path() leads to so far is inside of number `index` of a list.
  void inside(std::size_t index) { path_.insert(path_.begin(), index); }
  // A setting, by its key in text, which outlives this. Empty: none.
  [[nodiscard]] std::string_view item() const { return item_; }
  OfError&& about(std::string_view item) && {
    item_ = item;
    return std::move(*this);
  }

 private:
  OfErrorCode code_;
  std::size_t line_ = 0, column_ = 0;
  std::vector<std::size_t> path_;
  std::string_view item_;
};

}  // namespace shunt
