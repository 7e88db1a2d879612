// SPDX-License-Identifier: Apache-2.0
#include "user/control/lane.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "user/afxdp/socket.h"
#include "user/base/capabilities.h"
#include "user/base/error.h"

namespace shunt {
namespace {

constexpr KernelVersion kOldestTcx{6, 6, 0};

Datapath& with_tc(Datapath& datapath) {
  if (running_kernel() < kOldestTcx) throw Error("mode tcx needs Linux 6.6");
  datapath.require_tc();
  return datapath;
}

// One a core: each core's packets keep to theirs.
unsigned queue_count() { return std::clamp<unsigned>(std::thread::hardware_concurrency(), 1, SHUNT_MAX_QUEUES); }

}  // namespace

Lane::Lane(const std::string& instance, Datapath& datapath, Umem& umem, WorkerPool& workers, bool busy_poll)
    : datapath_{with_tc(datapath)}, workers_{workers}, device_{instance, queue_count()} {
  open_sockets(umem, busy_poll);
  try {
    datapath_.attach(device_.exit().index, device_.exit().name, PortMode::kNative);
    datapath_.set_lane(device_.entry().index, device_.queues());
  } catch (...) {
    workers_.remove_port(DpPort{SHUNT_LANE});
    throw;
  }
}

Lane::~Lane() {
  if (!kept_) {
    datapath_.set_lane(Ifindex{0}, 0);
    datapath_.detach(device_.exit().index);
  }
  try {
    workers_.remove_port(DpPort{SHUNT_LANE});
  } catch (const std::exception& e) {
    spdlog::error("the lane of mode tcx: {}", e.what());
  }
}

void Lane::open_sockets(Umem& umem, bool busy_poll) {
  std::vector<std::unique_ptr<XskSocket>> sockets;
  for (std::uint32_t queue = 0; queue < device_.queues(); ++queue) {
    XskSocket::Options options;
    options.ifindex = device_.exit().index;
    options.name = device_.exit().name;
    options.queue = QueueId{queue};
    options.busy_poll = busy_poll;
    options.can_send = false;
    sockets.push_back(std::make_unique<XskSocket>(umem, options));
    sockets_.push_back(sockets.back()->fd());
  }
  workers_.add_lane(std::move(sockets));
}

void Lane::serve(DpPort port) {
  for (std::uint32_t queue = 0; queue < sockets_.size(); ++queue)
    datapath_.set_xsk(port, QueueId{queue}, sockets_[queue]);
}

void Lane::forget(DpPort port) {
  for (std::uint32_t queue = 0; queue < sockets_.size(); ++queue) datapath_.set_xsk(port, QueueId{queue}, -1);
}

void Lane::keep() noexcept {
  kept_ = true;
  device_.keep();
}

}  // namespace shunt
