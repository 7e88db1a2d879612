// SPDX-License-Identifier: Apache-2.0
// A worker's part of packet captures: packets that it sends, and those that it drops. As they came in they were seen by
// the XDP program, before they came up. Stands between the executor and the transmitter while a capture runs, and not
// at all otherwise.
//
// Threads: a worker's own; set() between two rounds.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "maps/capture.h"
#include "maps/drop_reason.h"
#include "user/afxdp/umem.h"
#include "user/base/strong_types.h"
#include "user/capture/filter.h"
#include "user/capture/record_ring.h"
#include "user/worker/executor.h"

namespace shunt {

// A capture as workers know it; replaced as a whole where its ports change.
struct WorkerCapture {
  std::array<std::uint8_t, SHUNT_MAX_PORTS> stages{};  // by datapath port: bits 1 << SHUNT_STAGE_*
  std::uint32_t snaplen = SHUNT_CAPTURE_BYTES;
  std::shared_ptr<const FilterProgram> filter;
  std::vector<std::shared_ptr<RecordWriter>> writers;  // by worker
};
using WorkerCaptures = std::vector<std::shared_ptr<const WorkerCapture>>;

class CaptureTap final : public FrameSink {
 public:
  CaptureTap(unsigned worker, Umem& umem, FrameSink& out) : worker_{worker}, umem_{umem}, out_{out} {}

  void set(std::shared_ptr<const WorkerCaptures> captures);
  [[nodiscard]] bool active() const noexcept { return captures_ != nullptr; }

  // Sends, and records what was sent.
  [[nodiscard]] shunt_drop_reason send(DpPort port, std::span<const XskDescriptor> packet) noexcept override;
  // `length`: of the whole packet.
  void dropped(DpPort in_port, shunt_drop_reason reason, std::span<const std::uint8_t> frame,
               std::uint32_t length) noexcept;

 private:
  // Puts a record into the rings of all that want it. False: nobody does.
  bool put(DpPort port, shunt_capture_stage stage, shunt_drop_reason reason, std::span<const std::uint8_t> bytes,
           std::uint32_t length) noexcept;
  [[nodiscard]] bool wanted(DpPort port, shunt_capture_stage stage) const noexcept;

  const unsigned worker_;
  Umem& umem_;
  FrameSink& out_;
  std::shared_ptr<const WorkerCaptures> captures_;  // null: none runs
  std::unique_ptr<std::uint8_t[]> gathered_;        // a packet of several frames
};

}  // namespace shunt
