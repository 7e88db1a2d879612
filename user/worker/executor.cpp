// SPDX-License-Identifier: Apache-2.0
#include "user/worker/executor.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "bpf/datapath/hash.h"
#include "bpf/datapath/meter.h"
#include "bpf/datapath/parse.h"
#include "user/base/clock.h"

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

// The last action that anybody notices. Edits behind it show nowhere, and the frame may be given away there.
std::size_t last_that_counts(const DpActions& actions) noexcept {
  for (std::size_t i = actions.size(); i-- > 0;) {
    switch (actions[i].type) {
      case SHUNT_ACT_OUTPUT:
      case SHUNT_ACT_METER:
      case SHUNT_ACT_SAMPLE:
      case SHUNT_ACT_CONTROLLER:
      case SHUNT_ACT_DEC_TTL:
      case SHUNT_ACT_DEC_MPLS_TTL:
        return i;
      default:
        break;
    }
  }
  return actions.size() - 1;  // none: only why it is dropped counts
}

// The RESTORE that closes the scope which action `i` is in; the list's end where it is in none.
std::size_t end_of_scope(const DpActions& actions, std::size_t i) noexcept {
  std::size_t depth = 0;
  for (++i; i < actions.size(); ++i) {
    if (actions[i].type == SHUNT_ACT_SAVE) ++depth;
    if (actions[i].type == SHUNT_ACT_RESTORE && depth-- == 0) return i;
  }
  return i;
}

}  // namespace

Executor::Executor(Umem& umem, FrameCache& frames, std::span<const shunt_port> ports, std::span<shunt_meter> meters,
                   const HashKeys& hash)
    : umem_{umem},
      frames_{frames},
      ports_{ports},
      meters_{meters},
      hash_{hash},
      side_buffer_{std::make_unique<__u8[]>(kHeadroom + kMaxPacket + SHUNT_MIN_FRAME)},
      saved_bytes_{std::make_unique_for_overwrite<__u8[]>(kMaxSaves * (kHeadroom + kMaxPacket))},
      dice_{std::random_device{}() | std::uint64_t{1} << 32} {}

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
  key_.dp_hash = shunt_dp_hash(&key_, hash_.seed, hash_.multiplier);
  return reason;
}

bool Executor::complete_checksum() noexcept { return shunt_complete_checksum(&frame_, &headers_) == 0; }

shunt_drop_reason Executor::run(const Translation& translation, FrameSink& sink, PacketReports* reports,
                                bool sampled) noexcept {
  const DpActions& actions = translation.actions;
  Run run{translation, sink, reports, sampled};
  if (translation.drop != SHUNT_DROP_NONE) run.reason = translation.drop;
  saved_count_ = 0;
  if (!actions.empty()) {
    const std::size_t last = last_that_counts(actions);
    for (std::size_t i = 0; i <= last; ++i) {
      const Then then = step(run, actions[i], i == last);
      if (then == Then::kEnd) break;
      if (then == Then::kEndScope) i = end_of_scope(actions, i) - 1;  // goes on with the RESTORE
    }
  }
  if (!run.sent && reports != nullptr) reports->dropped(run.reason, frame());
  discard();
  return run.sent ? SHUNT_DROP_NONE : run.reason;
}

Executor::Then Executor::step(Run& run, const shunt_action& action, bool last) noexcept {
  switch (action.type) {
    case SHUNT_ACT_OUTPUT: {
      const shunt_drop_reason outcome = output(action, last, run.sink);
      if (outcome == SHUNT_DROP_NONE)
        run.sent = true;
      else
        run.reason = outcome;
      return Then::kGoOn;
    }
    case SHUNT_ACT_DROP:
      run.reason = static_cast<shunt_drop_reason>(action.field);
      return Then::kEndScope;
    case SHUNT_ACT_METER:
      if (meter(action)) return Then::kGoOn;
      run.reason = SHUNT_DROP_METER;
      return Then::kEndScope;
    case SHUNT_ACT_CONTROLLER:
      report(run, action);
      return Then::kGoOn;
    case SHUNT_ACT_SAMPLE:
      sample(run, action);
      return Then::kGoOn;
    case SHUNT_ACT_SAVE:
      if (save()) return Then::kGoOn;
      run.reason = SHUNT_DROP_TRANSLATION;
      return Then::kEnd;
    case SHUNT_ACT_RESTORE:
      restore();
      return Then::kGoOn;
    default:
      return edit(run, action) ? Then::kGoOn : Then::kEndScope;
  }
}

bool Executor::edit(Run& run, const shunt_action& action) noexcept {
  const shunt_verdict verdict = shunt_act(&frame_, &headers_, &action);
  if (verdict == SHUNT_VERDICT_NEXT) return true;
  run.reason = drop_of(verdict);
  const auto& controllers = run.translation.follow_ups->ttl_controllers;
  if (verdict == SHUNT_VERDICT_TTL && run.reports != nullptr && action.arg < controllers.size())
    for (const Translation::Controller& controller : controllers[action.arg])
      run.reports->packet_in(run.translation, controller, PacketInReason::kInvalidTtl, frame());
  return false;
}

// False: over the rate.
bool Executor::meter(const shunt_action& action) noexcept {
  if (action.arg >= meters_.size()) return true;
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  const __u32 metered = shunt_meter_packet(&meters_[action.arg], length_, static_cast<__u64>(now));
  shunt_action set;
  if (metered > SHUNT_METERED_REMARK && shunt_find_remark(&frame_, &headers_, metered - SHUNT_METERED_REMARK, &set))
    (void)shunt_act(&frame_, &headers_, &set);
  return metered != SHUNT_METERED_DROP;
}

void Executor::report(Run& run, const shunt_action& action) noexcept {
  if (run.reason == SHUNT_DROP_RULE) run.reason = SHUNT_DROP_CONTROLLER;
  const auto& controllers = run.translation.follow_ups->controllers;
  if (run.reports == nullptr || action.arg >= controllers.size()) return;
  const Translation::Controller& controller = controllers[action.arg];
  run.reports->packet_in(run.translation, controller, controller.action.reason, frame());
}

void Executor::sample(Run& run, const shunt_action& action) noexcept {
  dice_ ^= dice_ << 13;
  dice_ ^= dice_ >> 7;
  dice_ ^= dice_ << 17;
  const bool picked = run.sampled || action.arg == 0 || (dice_ >> 48) < action.arg;
  run.sampled = false;
  const std::size_t index = SHUNT_BE16(shunt_load16(action.value));
  if (picked && run.reports != nullptr && index < run.translation.follow_ups->samples.size())
    run.reports->sample(run.translation, run.translation.follow_ups->samples[index], frame());
}

bool Executor::save() noexcept {
  if (saved_count_ == kMaxSaves) return false;
  Saved& saved = saved_[saved_count_];
  saved = {frame_, headers_, saved_count_ == 0 ? 0 : saved_[saved_count_ - 1].at + saved_[saved_count_ - 1].frame.len};
  std::memcpy(saved_bytes_.get() + saved.at, frame_.data, frame_.len);
  ++saved_count_;
  return true;
}

void Executor::restore() noexcept {
  if (saved_count_ == 0) return;
  const Saved& saved = saved_[--saved_count_];
  frame_ = saved.frame;
  headers_ = saved.headers;
  std::memcpy(frame_.data, saved_bytes_.get() + saved.at, frame_.len);
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
