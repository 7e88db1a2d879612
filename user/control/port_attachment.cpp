// SPDX-License-Identifier: Apache-2.0
#include "user/control/port_attachment.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "user/afxdp/socket.h"
#include "user/base/error.h"

namespace shunt {

namespace {

constexpr std::uint32_t kSingleChunk = Umem::kFrameSize - 512;  // what of a frame a chunk holds

// The word's other flags are the revalidator's.
void set_flag(shunt_port& entry, __u32 flag, bool on) {
  std::atomic_ref<__u32> flags{entry.flags};
  if (on)
    flags.fetch_or(flag, std::memory_order_release);
  else
    flags.fetch_and(~flag, std::memory_order_release);
}

}  // namespace

PortAttachment::PortAttachment(const Context& context, DpPort dp, PortDevice device, const QueueWorkers& places,
                               bool force)
    : context_{context}, dp_{dp}, device_{std::move(device)}, ifindex_{device_.ifindex()} {
  refuse_foreign_program(force);
  try {
    Datapath& datapath = context_.datapath;
    shunt_port& entry = datapath.ports[dp_.value];
    // What comes in by TC has its checksum completed by the kernel, where anybody looks at it.
    const bool open_checksums = device_.has_local_stack() && device_.mode() != PortMode::kTcx;
    set_flag(entry, SHUNT_PORT_LOCAL_STACK, open_checksums);
    set_flag(entry, SHUNT_PORT_TC, device_.mode() == PortMode::kTcx);
    entry.queue_count = static_cast<__u16>(device_.queues());
    entry.upcall_rate = context_.upcall_rate;
    entry.upcall_burst = context_.upcall_burst;
    entry.mtu = device_.link().mtu;
    entry.ifindex = ifindex_.value;
    if (open_checksums)
      datapath.require_features(SHUNT_FEATURE_CHECKSUM,
                                fmt::format("port {} has a local stack behind it", device_.link().name));
    open_sockets(places);
    datapath.set_ifindex(ifindex_, dp_);
    datapath.set_tx_port(dp_, ifindex_);
    datapath.attach(ifindex_, device_.link().name, device_.mode());
    attached_ = true;
    device_.recheck();  // some drivers tell only now whether XDP can redirect to them
    set_flag(entry, SHUNT_PORT_NO_FRAGS, !device_.takes_frags());
  } catch (...) {
    leave();
    throw;
  }
  for (const std::string& warning : device_.warnings()) spdlog::warn("port '{}': {}", device_.link().name, warning);
}

PortAttachment::~PortAttachment() { leave(); }

void PortAttachment::refuse_foreign_program(bool force) const {
  if (context_.datapath.holds_link(ifindex_)) return;
  const AttachedProgram foreign = Datapath::query(ifindex_);
  if (foreign.id == 0) return;
  const std::string& name = device_.link().name;
  if (!force)
    throw Error("interface '{}' already runs the XDP program '{}' (id {}); remove it, or replace it with --force", name,
                foreign.name, foreign.id);
  spdlog::warn("interface '{}': removing the XDP program '{}' (id {})", name, foreign.name, foreign.id);
  Datapath::remove_foreign(ifindex_);
}

void PortAttachment::open_sockets(const QueueWorkers& places) {
  const Link& link = device_.link();
  const unsigned transmit_queues = device_.transmit_queues();
  std::vector<std::unique_ptr<XskSocket>> sockets;
  for (std::uint32_t queue = 0; queue < device_.queues(); ++queue) {
    XskSocket::Options options;
    options.ifindex = ifindex_;
    options.name = link.name;
    options.queue = QueueId{queue};
    // The kernel redirects no more than the first buffer of what came in by zero copy.
    options.try_zero_copy =
        device_.kind() == DeviceKind::kPhysical && device_.mode() == PortMode::kNative && link.mtu + 18 <= kSingleChunk;
    options.busy_poll = context_.busy_poll;
    options.can_send = queue < transmit_queues;
    if (device_.mode() == PortMode::kTcx) options.fill_target = 0;  // what comes in comes by the lane
    sockets.push_back(std::make_unique<XskSocket>(context_.umem, options));
    zero_copy_ = sockets.back()->zero_copy();
    if (!sockets.back()->multi_buffer() && link.mtu + 18 > kSingleChunk)
      throw Error(
          "interface '{}': its MTU of {} needs multi-buffer AF_XDP, which this kernel or driver lacks; set an "
          "MTU of {} or less (ip link set {} mtu {})",
          link.name, link.mtu, 3498, link.name, 3498);
  }
  if (device_.mode() == PortMode::kTcx)
    context_.lane->serve(dp_);
  else
    for (const auto& socket : sockets) context_.datapath.set_xsk(dp_, socket->queue(), socket->fd());
  at_workers_ = true;
  context_.workers.add_port(dp_, std::move(sockets), places);
}

void PortAttachment::keep() noexcept {
  kept_ = true;
  device_.keep_changes();
}

void PortAttachment::leave() noexcept {
  if (kept_) return;
  Datapath& datapath = context_.datapath;
  try {
    if (attached_) datapath.detach(ifindex_);
    datapath.set_tx_port(dp_, Ifindex{0});
    datapath.set_ifindex(ifindex_, DpPort{0});
    if (device_.mode() == PortMode::kTcx)
      context_.lane->forget(dp_);
    else
      for (std::uint32_t queue = 0; queue < device_.queues(); ++queue) datapath.set_xsk(dp_, QueueId{queue}, -1);
    if (at_workers_) context_.workers.remove_port(dp_);
  } catch (const std::exception& e) {
    spdlog::error("port '{}': detach: {}", device_.link().name, e.what());
  }
  datapath.ports[dp_.value].ifindex = 0;
  attached_ = at_workers_ = false;
  device_.restore();
}

bool PortAttachment::recheck() {
  const bool changed = device_.recheck();
  set_flag(context_.datapath.ports[dp_.value], SHUNT_PORT_NO_FRAGS, !device_.takes_frags());
  if (!changed) return false;
  set_mtu(device_.link().mtu);
  for (const std::string& warning : device_.warnings()) spdlog::warn("port '{}': {}", device_.link().name, warning);
  return true;
}

void PortAttachment::set_mtu(std::uint32_t mtu) { context_.datapath.ports[dp_.value].mtu = mtu; }

}  // namespace shunt
