// SPDX-License-Identifier: Apache-2.0
// The lane, joined to the datapath: what ports in mode tcx leave to XDP comes in at its exit, and what XDP does not
// know goes up there, for whichever port, by the lane's AF_XDP sockets. Made with the first such port, and there as
// long as the instance.
//
// Threads: control.
#pragma once

#include <string>
#include <vector>

#include "user/afxdp/umem.h"
#include "user/bpf/datapath.h"
#include "user/ports/lane_device.h"
#include "user/worker/worker.h"

namespace shunt {

class Lane {
 public:
  // Loads the programs of mode tcx, and throws where the kernel is too old or refuses.
  Lane(const std::string& instance, Datapath& datapath, Umem& umem, WorkerPool& workers, bool busy_poll);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Misses of the port go up by the lane's sockets, from now on or no more.
  void serve(DpPort port);
  void forget(DpPort port);
  void keep() noexcept;  // stays when this object goes, for a later daemon to take over

 private:
  void open_sockets(Umem& umem, bool busy_poll);

  Datapath& datapath_;
  WorkerPool& workers_;
  LaneDevice device_;
  std::vector<int> sockets_;  // by queue; the workers own them
  bool kept_ = false;
};

}  // namespace shunt
