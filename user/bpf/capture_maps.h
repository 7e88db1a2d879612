// SPDX-License-Identifier: Apache-2.0
// The kernel side of packet captures: what the tap of the XDP program (bpf/capture.bpf.h) is told, and what it counts.
//
// Threads: control.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "maps/capture.h"
#include "user/base/unique_fd.h"
#include "user/bpf/datapath.h"
#include "user/bpf/map.h"

namespace shunt {

class CaptureMaps {
 public:
  explicit CaptureMaps(const Datapath& datapath);

  // Puts a capture at an index where none is: its counters begin at 0. Returns its ring buffer, of `ring_bytes` (a
  // power of two of pages).
  [[nodiscard]] UniqueFd start(unsigned index, const shunt_capture& capture, std::span<const shunt_filter_insn> filter,
                               std::size_t ring_bytes);
  // Which packets of a port it sees: a bit a stage (1 << SHUNT_STAGE_*). A program without SHUNT_FEATURE_CAPTURE shows
  // it none.
  void set_port(unsigned index, DpPort port, unsigned stages);
  // Of all ports; nothing is recorded any more once a grace period has passed. The ring lives as long as somebody has
  // it.
  void stop(unsigned index);
  [[nodiscard]] shunt_capture_counts counts(unsigned index) const;  // summed over CPUs

 private:
  int counts_fd_, budgets_fd_, rings_fd_;
  std::size_t cpus_;
  MappedArray<shunt_capture> captures_;
  MappedArray<std::uint64_t> ports_;
  MappedArray<shunt_filter_insn> filters_;
};

}  // namespace shunt
