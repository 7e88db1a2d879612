// SPDX-License-Identifier: Apache-2.0
// A port's interface, joined to the datapath: prepared, in the maps, with its AF_XDP sockets at the workers and the XDP
// program attached. The destructor takes all of it back in reverse, and restores what was changed outside Shunt; it
// also does so for an interface that has gone. A port whose interface vanishes loses its attachment and keeps its
// number.
//
// Threads: control.
#pragma once

#include <optional>
#include <string>

#include "user/afxdp/umem.h"
#include "user/bpf/datapath.h"
#include "user/control/instance_api.h"
#include "user/control/lane.h"
#include "user/ports/port_device.h"
#include "user/worker/revalidator.h"
#include "user/worker/worker.h"

namespace shunt {

class PortAttachment {
 public:
  // What it joins; all of it outlives the attachment.
  struct Context {
    Datapath& datapath;
    Umem& umem;
    Revalidator& revalidator;
    WorkerPool& workers;
    std::uint32_t upcall_rate, upcall_burst;
    bool busy_poll;
    Lane* lane;  // of mode kTcx; null: there is none yet
  };

  // Joins the device as datapath port `dp`, which the revalidator knows already (Revalidator::add_port). Throws Error
  // and leaves nothing behind.
  PortAttachment(const Context& context, DpPort dp, PortDevice device, const QueueWorkers& places, bool force);
  ~PortAttachment();
  PortAttachment(const PortAttachment&) = delete;
  PortAttachment& operator=(const PortAttachment&) = delete;

  [[nodiscard]] const PortDevice& device() const { return device_; }
  [[nodiscard]] bool zero_copy() const { return zero_copy_; }
  [[nodiscard]] PortOutput output() const { return {device_.ifindex(), device_.xdp_transmit()}; }

  // The interface, or what is behind it, changed: looks again. True where what depends on the port must follow.
  bool recheck();
  void set_mtu(std::uint32_t mtu);  // bytes without the Ethernet header
  // What was joined and changed stays when this object goes, for a later daemon to take over.
  void keep() noexcept;

 private:
  void refuse_foreign_program(bool force) const;
  void open_sockets(const QueueWorkers& places);
  void leave() noexcept;

  Context context_;
  DpPort dp_;
  PortDevice device_;
  Ifindex ifindex_;
  bool zero_copy_ = false;
  bool at_workers_ = false;
  bool attached_ = false;
  bool kept_ = false;
};

}  // namespace shunt
