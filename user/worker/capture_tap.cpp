// SPDX-License-Identifier: Apache-2.0
#include "user/worker/capture_tap.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "user/base/clock.h"

namespace shunt {

void CaptureTap::set(std::shared_ptr<const WorkerCaptures> captures) {
  captures_ = captures != nullptr && captures->empty() ? nullptr : std::move(captures);
  if (captures_ != nullptr && gathered_ == nullptr)
    gathered_ = std::make_unique_for_overwrite<std::uint8_t[]>(SHUNT_CAPTURE_BYTES);
}

bool CaptureTap::wanted(DpPort port, shunt_capture_stage stage) const noexcept {
  return port.value < SHUNT_MAX_PORTS && std::ranges::any_of(*captures_, [&](const auto& capture) {
           return (capture->stages[port.value] >> stage & 1) != 0;
         });
}

// Recorded before it is sent, for then it is the kernel's; shown when it was.
shunt_drop_reason CaptureTap::send(DpPort port, std::span<const XskDescriptor> packet) noexcept {
  if (captures_ == nullptr || packet.empty() || !wanted(port, SHUNT_STAGE_AFTER)) return out_.send(port, packet);
  std::uint32_t length = 0;
  for (const XskDescriptor& part : packet) length += part.length;
  std::span<const std::uint8_t> bytes{reinterpret_cast<const std::uint8_t*>(umem_.data(packet.front().address)),
                                      packet.front().length};
  if (packet.size() > 1) {
    std::uint32_t filled = 0;
    for (const XskDescriptor& part : packet) {
      const std::uint32_t size = std::min<std::uint32_t>(part.length, SHUNT_CAPTURE_BYTES - filled);
      std::memcpy(gathered_.get() + filled, umem_.data(part.address), size);
      filled += size;
    }
    bytes = {gathered_.get(), filled};
  }
  const bool put_any = put(port, SHUNT_STAGE_AFTER, SHUNT_DROP_NONE, bytes, length);
  const shunt_drop_reason outcome = out_.send(port, packet);
  if (!put_any) return outcome;
  for (const auto& capture : *captures_) {
    RecordWriter& writer = *capture->writers[worker_];
    outcome == SHUNT_DROP_NONE ? writer.publish() : writer.forget();
  }
  return outcome;
}

void CaptureTap::dropped(DpPort in_port, shunt_drop_reason reason, std::span<const std::uint8_t> frame,
                         std::uint32_t length) noexcept {
  if (captures_ == nullptr || !wanted(in_port, SHUNT_STAGE_DROP)) return;
  if (!put(in_port, SHUNT_STAGE_DROP, reason, frame, length)) return;
  for (const auto& capture : *captures_) capture->writers[worker_]->publish();
}

bool CaptureTap::put(DpPort port, shunt_capture_stage stage, shunt_drop_reason reason,
                     std::span<const std::uint8_t> bytes, std::uint32_t length) noexcept {
  shunt_capture_record record{};
  record.time =
      static_cast<__u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count());
  record.length = length;
  record.port = static_cast<__u16>(port.value);
  record.stage = static_cast<__u8>(stage);
  record.reason = static_cast<__u8>(reason);
  bool any = false;
  for (const auto& capture : *captures_) {
    if ((capture->stages[port.value] >> stage & 1) == 0 || !accepts(*capture->filter, bytes, length)) continue;
    record.captured = std::min(capture->snaplen, static_cast<__u32>(bytes.size()));
    any = capture->writers[worker_]->put(record, bytes) || any;
  }
  return any;
}

}  // namespace shunt
