// SPDX-License-Identifier: Apache-2.0
// Reads what a capture's kernel side and workers have recorded, in the order of time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "maps/capture.h"
#include "user/base/unique_fd.h"
#include "user/capture/record_ring.h"

struct ring_buffer;

namespace shunt::cli {

class CaptureReader {
 public:
  struct Packet {
    shunt_capture_record head;
    std::vector<std::uint8_t> bytes;
  };

  // `kernel`: a BPF ring buffer; `workers`: memory of `worker_count` rings of `ring_bytes` each.
  CaptureReader(UniqueFd kernel, UniqueFd workers, unsigned worker_count, std::size_t ring_bytes);
  ~CaptureReader();
  CaptureReader(const CaptureReader&) = delete;
  CaptureReader& operator=(const CaptureReader&) = delete;

  // Takes what is there, and hands out what no older packet can come before any more: all of it where `last` is said.
  // Returns how many were taken.
  std::size_t read(bool last, const std::function<void(const Packet& packet)>& each);

 private:
  struct Free {
    void operator()(ring_buffer* buffer) const noexcept;
  };
  static int take(void* self, void* data, std::size_t size);

  UniqueFd kernel_fd_, workers_fd_;
  std::unique_ptr<ring_buffer, Free> kernel_;
  std::vector<std::unique_ptr<RecordReader>> workers_;
  std::vector<Packet> held_;  // taken, and not handed out
  std::size_t taken_ = 0;     // by this read()
};

}  // namespace shunt::cli
