// SPDX-License-Identifier: Apache-2.0
// The packet captures that run: each has a BPF ring buffer that the XDP program fills, and memory with a ring for each
// worker; whoever asked gets both as file descriptors and reads them by itself. So no packet passes the control thread,
// and a reader that stands still loses its own packets only.
//
// The program that has the tap is loaded with the first capture and given back with the last.
//
// Threads: control.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "user/base/strong_types.h"
#include "user/base/unique_fd.h"
#include "user/bpf/capture_maps.h"
#include "user/bpf/datapath.h"
#include "user/capture/filter.h"
#include "user/worker/capture_tap.h"
#include "user/worker/worker.h"

namespace shunt {

// A port that packets of a capture may name.
struct CapturePort {
  DpPort dp;
  std::string name;
};

struct CaptureRequest {
  std::string bridge;
  std::optional<std::string> port;  // none: all of the bridge's
  unsigned stages = 0;              // 1 << SHUNT_STAGE_*
  std::uint32_t snaplen = SHUNT_CAPTURE_BYTES;
  std::uint32_t rate = 0;                                // packets a second that the kernel side records
  std::size_t ring_bytes = 0;                            // of the kernel's ring; a power of two
  FilterProgram filter;                                  // checked
  std::function<void(const CapturePort& port)> on_port;  // one that comes later, or gets another name
};

struct StartedCapture {
  std::uint64_t id = 0;
  std::vector<CapturePort> ports;
  UniqueFd kernel_ring;        // BPF_MAP_TYPE_RINGBUF of shunt_capture_record
  UniqueFd worker_rings;       // user/capture/record_ring.h
  unsigned workers = 0;        // rings in there
  std::size_t ring_bytes = 0;  // of each
};

struct CaptureTotals {
  std::uint64_t captured = 0;   // recorded, by kernel and workers
  std::uint64_t lost_ring = 0;  // a ring was full: the reader was too slow
  std::uint64_t lost_rate = 0;  // over the rate
};

struct CaptureStatus {
  std::uint64_t id = 0;
  std::string bridge;
  std::optional<std::string> port;
  unsigned stages = 0;
  CaptureTotals totals;
};

class Captures {
 public:
  Captures(Datapath& datapath, WorkerPool& workers, unsigned worker_count);

  // In force when it returns. `ports`: those of the request's bridge. Throws Error where as many run as can.
  StartedCapture start(CaptureRequest request, const std::vector<CapturePort>& ports);
  // Nothing is recorded any more when it returns. None where it has ended before.
  std::optional<CaptureTotals> stop(std::uint64_t id);
  [[nodiscard]] std::vector<CaptureStatus> list() const;
  [[nodiscard]] std::size_t count() const { return running_.size(); }

  void port_came(const std::string& bridge, const CapturePort& port);  // or is called otherwise now
  void port_went(DpPort port);

 private:
  struct Running {
    unsigned index;  // in the maps
    CaptureRequest request;
    std::shared_ptr<WorkerCapture> worker;
  };

  [[nodiscard]] unsigned free_index() const;
  [[nodiscard]] CaptureTotals totals(const Running& running) const;
  void see(Running& running, DpPort port, unsigned stages);
  void publish();  // to the workers

  Datapath& datapath_;
  WorkerPool& workers_;
  unsigned worker_count_;
  CaptureMaps maps_;
  std::map<std::uint64_t, Running> running_;
  std::shared_ptr<const WorkerCaptures> published_;
  std::uint64_t next_id_ = 1;
};

}  // namespace shunt
