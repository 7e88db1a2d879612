// SPDX-License-Identifier: Apache-2.0
#include "user/worker/executor.h"

#include <algorithm>
#include <cstring>

#include "bpf/datapath/parse.h"

namespace shunt {
namespace {

// What a device sends beyond its MTU: the Ethernet header and one tag (as the kernel side has it).
constexpr std::uint32_t kEthernetSize = 14;
constexpr std::uint32_t kTagSize = 4;

std::uint32_t load_shared(const __u32& value) noexcept { return __atomic_load_n(&value, __ATOMIC_RELAXED); }

shunt_drop_reason drop_of(shunt_verdict verdict) noexcept {
  switch (verdict) {
    case SHUNT_VERDICT_TTL:
      return SHUNT_DROP_TTL_EXPIRED;
    case SHUNT_VERDICT_HEADROOM:
      return SHUNT_DROP_HEADROOM;
    default:
      return SHUNT_DROP_BAD_ACTION;
  }
}

}  // namespace

Executor::Executor(Umem& umem, FrameCache& frames, std::span<const shunt_port> ports)
    : umem_{umem},
      frames_{frames},
      ports_{ports},
      side_buffer_{std::make_unique<__u8[]>(kHeadroom + kMaxPacket + SHUNT_MIN_FRAME)} {}

shunt_drop_reason Executor::load(std::span<const XskDescriptor> packet, DpPort in_port) noexcept {
  in_port_ = in_port;
  length_ = 0;
  for (const XskDescriptor& part : packet) length_ += part.length;
  if (packet.size() == 1) {
    const XskDescriptor& only = packet.front();
    held_ = Umem::frame_of(only.address);
    const auto offset = static_cast<std::uint32_t>(only.address % Umem::kFrameSize);
    frame_ = {reinterpret_cast<__u8*>(umem_.data(only.address)), only.length, offset,
              Umem::kFrameSize - offset - only.length};
    in_umem_ = true;
  } else {
    in_umem_ = false;
    frame_ = {side_buffer_.get() + kHeadroom, 0, kHeadroom, kMaxPacket + SHUNT_MIN_FRAME};
    const bool too_long = length_ > kMaxPacket;
    for (const XskDescriptor& part : packet) {
      if (too_long) break;
      std::memcpy(frame_.data + frame_.len, umem_.data(part.address), part.length);
      frame_.len += part.length;
      frame_.tailroom -= part.length;
    }
    release(packet);
    if (too_long) return SHUNT_DROP_FRAME_TOO_LONG;
  }
  const shunt_drop_reason reason = shunt_parse(&frame_, frame_.len, in_port.value, SHUNT_FEATURE_ALL, &key_, &headers_);
  if (reason != SHUNT_DROP_NONE) discard();
  return reason;
}

bool Executor::complete_checksum() noexcept { return shunt_complete_checksum(&frame_, &headers_) == 0; }

shunt_drop_reason Executor::run(const Translation& translation, FrameSink& sink) noexcept {
  const DpActions& actions = translation.actions;
  std::size_t last = actions.size();
  for (std::size_t i = 0; i < actions.size(); ++i)
    if (actions[i].type == SHUNT_ACT_OUTPUT) last = i;

  shunt_drop_reason reason = translation.drop != SHUNT_DROP_NONE ? translation.drop : SHUNT_DROP_RULE;
  bool sent = false;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const shunt_action& action = actions[i];
    if (action.type == SHUNT_ACT_DROP) {
      reason = static_cast<shunt_drop_reason>(action.field);
      break;
    }
    if (action.type == SHUNT_ACT_OUTPUT) {
      const shunt_drop_reason outcome = output(action, i == last, sink);
      if (outcome == SHUNT_DROP_NONE)
        sent = true;
      else
        reason = outcome;
      if (i == last) break;  // edits behind the last output show nowhere
    } else if (const shunt_verdict verdict = shunt_act(&frame_, &headers_, &action); verdict != SHUNT_VERDICT_NEXT) {
      reason = drop_of(verdict);
      break;
    }
  }
  discard();
  return sent ? SHUNT_DROP_NONE : reason;
}

void Executor::discard() noexcept {
  if (in_umem_) release(held_);
  in_umem_ = false;
}

shunt_drop_reason Executor::output(const shunt_action& action, bool last, FrameSink& sink) noexcept {
  const DpPort port{action.arg};
  const shunt_headers headers = headers_;
  headers_.max_len = 0;  // TRUNCATE is for one output
  if (port == in_port_ && action.field != 1) return SHUNT_DROP_SAME_PORT;
  if (!last || !in_umem_) return send_copy(port, frame_, headers, sink);
  headers_.max_len = headers.max_len;
  return send_itself(port, sink);
}

shunt_drop_reason Executor::send_itself(DpPort port, FrameSink& sink) noexcept {
  if (shunt_finish(&frame_, &headers_) != SHUNT_VERDICT_NEXT) return SHUNT_DROP_BAD_ACTION;
  if (!fits(port, frame_.len, headers_.vlan_count)) return SHUNT_DROP_FRAME_TOO_LONG;
  const XskDescriptor descriptor{static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(frame_.data) - umem_.area()),
                                 frame_.len, 0};
  const shunt_drop_reason outcome = sink.send(port, std::span{&descriptor, 1});
  if (outcome == SHUNT_DROP_NONE) in_umem_ = false;
  return outcome;
}

// Cut and padded on the way: the frame itself stays as it is for the outputs that follow.
shunt_drop_reason Executor::send_copy(DpPort port, shunt_frame frame, shunt_headers headers, FrameSink& sink) noexcept {
  std::uint32_t length = frame.len;
  if (headers.max_len != 0) length = std::min(length, headers.max_len);
  const std::uint32_t padded = std::max<std::uint32_t>(length, SHUNT_MIN_FRAME);
  if (!fits(port, padded, headers.vlan_count)) return SHUNT_DROP_FRAME_TOO_LONG;

  std::array<XskDescriptor, kMaxDescriptors> parts;
  std::size_t count = 0;
  for (std::uint32_t at = 0; at < padded; ++count) {
    Frame copy;
    if (!frames_.take(copy)) {
      release(std::span{parts}.first(count));
      return SHUNT_DROP_NO_FRAMES;
    }
    umem_.hand(copy, Hand::kBatch);
    const std::uint32_t size = std::min(padded - at, Umem::kFrameSize);
    auto* to = reinterpret_cast<__u8*>(umem_.data(Umem::address_of(copy)));
    const std::uint32_t bytes = at < length ? std::min(size, length - at) : 0;
    std::memcpy(to, frame.data + at, bytes);
    std::memset(to + bytes, 0, size - bytes);
    parts[count] = {Umem::address_of(copy), size, 0};
    at += size;
    if (at < padded) parts[count].options = kContinued;
  }
  const std::span<const XskDescriptor> packet = std::span{parts}.first(count);
  const shunt_drop_reason outcome = sink.send(port, packet);
  if (outcome != SHUNT_DROP_NONE) release(packet);
  return outcome;
}

bool Executor::fits(DpPort port, std::uint32_t length, std::uint32_t tags) const noexcept {
  if (port.value >= ports_.size()) return true;  // no such port: the sink says so
  return length <= load_shared(ports_[port.value].mtu) + kEthernetSize + std::min(tags, 1u) * kTagSize;
}

void Executor::release(std::span<const XskDescriptor> packet) noexcept {
  for (const XskDescriptor& part : packet) release(Umem::frame_of(part.address));
}

void Executor::release(Frame frame) noexcept {
  umem_.hand(frame, Hand::kPool);
  frames_.give(frame);
}

}  // namespace shunt
