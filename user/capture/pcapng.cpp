// SPDX-License-Identifier: Apache-2.0
#include "user/capture/pcapng.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace shunt {
namespace {

// Block types and option codes, by their sections of the draft.
enum : std::uint32_t {
  kSectionHeader = 0x0a0d0d0a,  // 4.1
  kInterfaceDescription = 1,    // 4.2
  kInterfaceStatistics = 5,     // 4.6
  kEnhancedPacket = 6,          // 4.3
};
enum : std::uint16_t {
  kEndOfOptions = 0,
  kComment = 1,          // of any block
  kUserApplication = 4,  // of the section
  kName = 2,
  kDescription = 3,
  kTimeResolution = 9,  // of an interface
  kFlags = 2,
  kDropCount = 4,  // of a packet
  kStartTime = 2,
  kEndTime = 3,
  kReceived = 4,
  kDropped = 5,  // of statistics
};
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr std::uint16_t kEthernet = 1;                // LINKTYPE_ETHERNET
constexpr std::uint8_t kNanoseconds = 9;              // if_tsresol: 10^-9
constexpr std::uint32_t kInbound = 1, kOutbound = 2;  // epb_flags
constexpr std::size_t kLongestOption = 0xffff;

}  // namespace

PcapngWriter::PcapngWriter(Output output, std::string_view application) : output_{std::move(output)} {
  begin_block(kSectionHeader);
  add32(kByteOrderMagic);
  add32(1);    // version 1.0
  add32(~0u);  // the section's length is not known
  add32(~0u);
  add_option(kUserApplication, application);
  end_options();
  end_block();
}

std::uint32_t PcapngWriter::add_interface(std::string_view name, std::string_view description, std::uint32_t snaplen) {
  begin_block(kInterfaceDescription);
  add32(kEthernet);
  add32(snaplen);
  add_option(kName, name);
  if (!description.empty()) add_option(kDescription, description);
  add_option(kTimeResolution, std::span{&kNanoseconds, 1});
  end_options();
  end_block();
  return interfaces_++;
}

void PcapngWriter::write(const Packet& packet) {
  begin_block(kEnhancedPacket);
  add32(packet.interface);
  add_time(packet.time);
  add32(static_cast<std::uint32_t>(packet.bytes.size()));
  add32(packet.length);
  add_padded(packet.bytes);
  const std::uint32_t flags = packet.outbound ? kOutbound : kInbound;
  std::uint8_t raw[sizeof flags];
  std::memcpy(raw, &flags, sizeof flags);
  add_option(kFlags, raw);
  if (packet.lost != 0) add_option64(kDropCount, packet.lost);
  if (!packet.comment.empty()) add_option(kComment, packet.comment);
  end_options();
  end_block();
}

void PcapngWriter::write_statistics(std::uint32_t interface, std::uint64_t begin, std::uint64_t end,
                                    std::uint64_t captured, std::uint64_t lost) {
  const auto add_time_option = [this](std::uint16_t code, std::uint64_t time) {
    add_option64(code, time >> 32 | time << 32);  // as in a packet: the upper half first
  };
  begin_block(kInterfaceStatistics);
  add32(interface);
  add_time(end);
  add_time_option(kStartTime, begin);
  add_time_option(kEndTime, end);
  add_option64(kReceived, captured);
  add_option64(kDropped, lost);
  end_options();
  end_block();
}

void PcapngWriter::begin_block(std::uint32_t type) {
  block_.clear();
  add32(type);
  add32(0);  // its length, when that is known
}

void PcapngWriter::end_block() {
  const auto length = static_cast<std::uint32_t>(block_.size() + sizeof(std::uint32_t));
  std::memcpy(block_.data() + sizeof(std::uint32_t), &length, sizeof length);
  add32(length);
  output_(block_);
}

void PcapngWriter::add32(std::uint32_t value) {
  std::uint8_t raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  block_.insert(block_.end(), raw, raw + sizeof raw);
}

void PcapngWriter::add_time(std::uint64_t time) {
  add32(static_cast<std::uint32_t>(time >> 32));
  add32(static_cast<std::uint32_t>(time));
}

void PcapngWriter::add_padded(std::span<const std::uint8_t> bytes) {
  block_.insert(block_.end(), bytes.begin(), bytes.end());
  block_.resize((block_.size() + 3) & ~std::size_t{3});
}

void PcapngWriter::add_option(std::uint16_t code, std::span<const std::uint8_t> value) {
  value = value.first(std::min(value.size(), kLongestOption));
  add32(static_cast<std::uint32_t>(value.size()) << 16 | code);
  add_padded(value);
}

void PcapngWriter::add_option(std::uint16_t code, std::string_view text) {
  add_option(code, std::span{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

void PcapngWriter::add_option64(std::uint16_t code, std::uint64_t value) {
  std::uint8_t raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  add_option(code, std::span<const std::uint8_t>{raw});
}

void PcapngWriter::end_options() { add32(kEndOfOptions); }

}  // namespace shunt
