// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/smallest_setup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "maps/flow.h"
#include "smallest.skel.h"
#include "user/afxdp/socket.h"
#include "user/afxdp/umem.h"
#include "user/base/error.h"
#include "user/bpf/map.h"

namespace shunt::bench {
namespace {

constexpr std::size_t kBatch = 64;  // as a worker's
constexpr std::uint32_t kFrames = 8192;

XskSocket::Options options_for(const std::string& interface, std::uint32_t fill_target) {
  XskSocket::Options options{.ifindex = Ifindex{if_nametoindex(interface.c_str())}, .name = interface, .queue = {}};
  options.fill_target = fill_target;
  return options;
}

}  // namespace

void run_smallest_setup(const std::string& in, const std::string& out, bool in_batches) {
  Umem umem{kFrames};
  FrameCache frames{umem.pool()};
  XskSocket from{umem, options_for(in, XskSocket::Options{}.fill_target)}, to{umem, options_for(out, 0)};
  from.refill(frames);

  smallest_bpf* programs = smallest_bpf__open_and_load();
  if (programs == nullptr) throw_errno(errno, "smallest program: load");
  const std::uint32_t zero = 0;
  const int fd = from.fd();
  check_libbpf(bpf_map_update_elem(bpf_map__fd(programs->maps.socket), &zero, &fd, BPF_ANY), "XSKMAP");
  // The link goes with the process.
  const auto ifindex = static_cast<int>(if_nametoindex(in.c_str()));
  if (bpf_program__attach_xdp(programs->progs.smallest_up, ifindex) == nullptr) throw_errno(errno, "attach to " + in);
  const BpfMap<shunt_megaflow_key, shunt_megaflow> table{bpf_map__fd(programs->maps.table), "table"};

  std::array<XskDescriptor, kBatch> packets;
  std::array<shunt_megaflow_key, kBatch> keys{};
  const std::array<shunt_megaflow, kBatch> values{};
  pollfd readable{fd, POLLIN, 0};
  for (;;) {
    (void)to.reap(frames);
    from.refill(frames);
    const std::size_t count = from.receive(packets);
    if (count == 0) {
      (void)::poll(&readable, 1, -1);
      continue;
    }
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(&keys[i], umem.data(packets[i].address), std::min<std::size_t>(packets[i].length, sizeof keys[i]));
      if (!in_batches) table.update(keys[i], values[i]);
    }
    if (in_batches && table.try_update(std::span{keys}.first(count), std::span{values}.first(count)) != count)
      throw Error("smallest program: its table is full");
    for (std::size_t i = 0; i < count; ++i)
      if (!to.send(std::span{packets}.subspan(i, 1))) throw Error("smallest program: '{}' does not send", out);
    (void)to.kick();
  }
}

}  // namespace shunt::bench
