// SPDX-License-Identifier: Apache-2.0
#include "cli/capture_reader.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "user/base/clock.h"
#include "user/base/error.h"

namespace shunt::cli {
namespace {

// What a program or a worker has begun to record is there after this.
constexpr std::chrono::milliseconds kInTheMaking{2};
// Of one ring at a time, so that the other ones do not fill up meanwhile.
constexpr std::size_t kMostAtOnce = 65'536;

}  // namespace

void CaptureReader::Free::operator()(ring_buffer* buffer) const noexcept { ::ring_buffer__free(buffer); }

CaptureReader::CaptureReader(UniqueFd kernel, UniqueFd workers, unsigned worker_count, std::size_t ring_bytes)
    : kernel_fd_{std::move(kernel)}, workers_fd_{std::move(workers)} {
  kernel_.reset(::ring_buffer__new(kernel_fd_.get(), take, this, nullptr));
  if (!kernel_) throw_errno(errno, "capture: map the ring buffer");
  for (unsigned i = 0; i < worker_count; ++i)
    workers_.push_back(std::make_unique<RecordReader>(workers_fd_.get(), i, ring_bytes));
}

CaptureReader::~CaptureReader() = default;

// Called by libbpf with each record. A negative answer ends its round.
int CaptureReader::take(void* self, void* data, std::size_t size) {
  auto& reader = *static_cast<CaptureReader*>(self);
  Packet packet;
  if (size < sizeof packet.head) return 0;
  std::memcpy(&packet.head, data, sizeof packet.head);
  const std::size_t bytes = std::min<std::size_t>(packet.head.captured, size - sizeof packet.head);
  const auto* at = static_cast<const std::uint8_t*>(data) + sizeof packet.head;
  packet.bytes.assign(at, at + bytes);
  reader.held_.push_back(std::move(packet));
  return ++reader.taken_ % kMostAtOnce == 0 ? -EAGAIN : 0;
}

std::size_t CaptureReader::read(bool last, const std::function<void(const Packet& packet)>& each) {
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch() - kInTheMaking);
  const std::size_t before = taken_ = 0;
  do {
    (void)::ring_buffer__consume(kernel_.get());
  } while (last && taken_ != 0 && taken_ % kMostAtOnce == 0);
  for (const auto& worker : workers_) {
    for (std::size_t i = 0; last || i < kMostAtOnce; ++i) {
      const auto record = worker->next();
      if (!record) break;
      held_.push_back({record->head, {record->bytes.begin(), record->bytes.end()}});
      ++taken_;
    }
  }
  std::ranges::stable_sort(held_, {}, [](const Packet& packet) { return packet.head.time; });
  const auto end = last ? held_.end() : std::ranges::find_if(held_, [&](const Packet& packet) {
    return packet.head.time >= static_cast<std::uint64_t>(now.count());
  });
  for (auto at = held_.begin(); at != end; ++at) each(*at);
  held_.erase(held_.begin(), end);
  return taken_ - before;
}

}  // namespace shunt::cli
