// SPDX-License-Identifier: Apache-2.0
// Messages as a whole: their header, and which there are, by version and number; multipart messages likewise.
//
// One table (kMessages of message.cpp) says what a number means in a version: dispatch, encoding and docs/openflow.md
// all read it. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

inline constexpr std::size_t kHeaderSize = 8;
inline constexpr std::size_t kMaxMessage = 65535;
inline constexpr std::uint8_t kAllTables = 0xff;                                             // OFPTT_ALL
inline constexpr std::uint8_t kHelloType = 0, kErrorType = 1, kExperimenterMessageType = 4;  // of every version

struct Header {
  std::uint8_t version = 0, type = 0;
  std::uint16_t length = 0;  // of all of it, from here
  std::uint32_t xid = 0;
};
// `bytes` begins with one. A length below that of the header is for the caller to refuse.
[[nodiscard]] Header read_header(Bytes bytes);

enum class MessageKind : std::uint8_t {
  kHello,
  kError,
  kEchoRequest,
  kEchoReply,
  kFeaturesRequest,
  kFeaturesReply,
  kGetConfigRequest,
  kGetConfigReply,
  kSetConfig,
  kPacketIn,
  kFlowRemoved,
  kPortStatus,
  kPacketOut,
  kFlowMod,
  kGroupMod,
  kPortMod,
  kTableMod,
  kMultipartRequest,
  kMultipartReply,
  kBarrierRequest,
  kBarrierReply,
  kQueueGetConfigRequest,
  kQueueGetConfigReply,
  kRoleRequest,
  kRoleReply,
  kGetAsyncRequest,
  kGetAsyncReply,
  kSetAsync,
  kMeterMod,
  kRoleStatus,
  kTableStatus,
  kRequestForward,
  kBundleControl,
  kBundleAdd,
  // Nicira's, experimenter messages of every version.
  kNxSetFlowFormat,
  kNxFlowMod,
  kNxFlowRemoved,
  kNxFlowModTableId,
  kNxSetPacketInFormat,
  kNxPacketIn,
  kNxFlowAge,
  kNxSetControllerId,
  kFlowMonitorCancel,
  kFlowMonitorPaused,
  kFlowMonitorResumed,
  kNxSetAsyncConfig2,
  kNxResume,
  kNxPacketIn2,
  kNxSetAsyncConfig,
  kNxGroupMod,
};

enum class MultipartKind : std::uint8_t {
  kDescription,
  kFlow,
  kAggregate,
  kTable,
  kPort,
  kQueue,
  kGroup,
  kGroupDescription,
  kGroupFeatures,
  kMeter,
  kMeterConfig,
  kMeterFeatures,
  kTableFeatures,
  kPortDescription,
  kTableDescription,
  kQueueDescription,
  kFlowMonitor,
  kFlowStats,       // OpenFlow 1.5: counters without instructions
  kBundleFeatures,  // OpenFlow 1.5
  kNxFlow,          // Nicira's of OpenFlow 1.0
  kNxAggregate,
};

enum class Direction : std::uint8_t { kToSwitch, kToController, kBoth };

struct MessageFormat {
  MessageKind kind;
  std::string_view name;
  std::uint32_t experimenter;  // 0: a number of OpenFlow's own
  std::uint32_t number;        // of the message's type, or of the experimenter's
  Version since, until;
  Direction direction;
  // Of a request's body: bytes at least, and what more there is comes in these; 0: no more.
  std::uint16_t size = 0, unit = 0;
};
[[nodiscard]] std::span<const MessageFormat> message_formats();
// Of a message that begins at the header; null: there is no such message in this version. Throws where its length
// cannot be, or where an experimenter's message is too short to say which it is.
[[nodiscard]] const MessageFormat* find_message(Version version, Bytes message);
[[nodiscard]] Bytes body_of(const MessageFormat& format, Bytes message);
// How a message of that kind is sent.
[[nodiscard]] const MessageFormat& format_of(MessageKind kind, Version version);

struct MultipartFormat {
  MultipartKind kind;
  std::string_view name;
  std::uint32_t experimenter;
  std::uint32_t number;
  Version since, until;
  std::uint16_t size, unit;  // of a request's body, as in MessageFormat
};
[[nodiscard]] std::span<const MultipartFormat> multipart_formats();

struct MultipartRequest {
  const MultipartFormat* format;
  std::uint16_t flags;
  bool more = false;  // OFPMPF_REQ_MORE
  Bytes body;
};
// The body of an OFPT_MULTIPART_REQUEST (OFPT_STATS_REQUEST).
[[nodiscard]] MultipartRequest read_multipart_request(Version version, Bytes message);

// The header of a message while its body is written; the destructor writes the length.
class MessageScope {
 public:
  MessageScope(Writer& out, std::uint8_t version, std::uint8_t type, std::uint32_t xid);
  MessageScope(Writer& out, Version version, std::uint8_t type, std::uint32_t xid)
      : MessageScope{out, number_of(version), type, xid} {}
  MessageScope(Writer& out, Version version, MessageKind kind, std::uint32_t xid);  // with an experimenter's header
  ~MessageScope();
  MessageScope(const MessageScope&) = delete;
  MessageScope& operator=(const MessageScope&) = delete;
  [[nodiscard]] std::size_t start() const { return start_; }

 private:
  Writer& out_;
  std::size_t start_;
};

// One message of a multipart reply while its entries are written.
class MultipartScope {
 public:
  MultipartScope(Writer& out, Version version, const MultipartFormat& format, std::uint32_t xid);
  ~MultipartScope();
  MultipartScope(const MultipartScope&) = delete;
  MultipartScope& operator=(const MultipartScope&) = delete;
  [[nodiscard]] std::size_t size() const;  // so far
  void set_more();                         // OFPMPF_REPLY_MORE: another message follows

 private:
  Writer& out_;
  std::size_t start_;
};

}  // namespace shunt::openflow
