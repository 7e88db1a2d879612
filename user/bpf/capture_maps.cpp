// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/capture_maps.h"

#include <algorithm>
#include <vector>

#include "user/base/error.h"

namespace shunt {

CaptureMaps::CaptureMaps(const Datapath& datapath)
    : counts_fd_{datapath.map_fd(SHUNT_MAP_CAPTURE_COUNTS)},
      budgets_fd_{datapath.map_fd(SHUNT_MAP_CAPTURE_BUDGETS)},
      rings_fd_{datapath.map_fd(SHUNT_MAP_CAPTURE_RINGS)},
      cpus_{datapath.config().cpu_count},
      captures_{datapath.map_fd(SHUNT_MAP_CAPTURES), SHUNT_MAX_CAPTURES, SHUNT_MAP_CAPTURES},
      ports_{datapath.map_fd(SHUNT_MAP_CAPTURE_PORTS), SHUNT_MAX_PORTS, SHUNT_MAP_CAPTURE_PORTS},
      filters_{datapath.map_fd(SHUNT_MAP_CAPTURE_FILTERS), SHUNT_MAX_CAPTURES * SHUNT_FILTER_INSNS,
               SHUNT_MAP_CAPTURE_FILTERS} {}

UniqueFd CaptureMaps::start(unsigned index, const shunt_capture& capture, std::span<const shunt_filter_insn> filter,
                            std::size_t ring_bytes) {
  UniqueFd ring{bpf_map_create(BPF_MAP_TYPE_RINGBUF, "capture_ring", 0, 0, static_cast<__u32>(ring_bytes), nullptr)};
  if (!ring) throw_errno(errno, fmt::format("capture: a ring buffer of {} bytes", ring_bytes));
  const __u32 key = index;
  const std::vector<shunt_capture_counts> none(cpus_);
  const shunt_budget unused{};
  const int fd = ring.get();
  check_libbpf(bpf_map_update_elem(counts_fd_, &key, none.data(), BPF_ANY), "capture: counters");
  check_libbpf(bpf_map_update_elem(budgets_fd_, &key, &unused, BPF_ANY), "capture: budget");
  check_libbpf(bpf_map_update_elem(rings_fd_, &key, &fd, BPF_ANY), "capture: ring buffer");
  std::ranges::copy(filter, &filters_[std::size_t{index} * SHUNT_FILTER_INSNS]);
  captures_[index] = capture;
  return ring;
}

void CaptureMaps::set_port(unsigned index, DpPort port, unsigned stages) {
  std::uint64_t bits = ports_[port.value];
  for (unsigned stage = 0; stage < SHUNT_STAGE_COUNT; ++stage) {
    const std::uint64_t bit = SHUNT_CAPTURE_BIT(index, stage);
    bits = (stages >> stage & 1) != 0 ? bits | bit : bits & ~bit;
  }
  if (bits != ports_[port.value]) __atomic_store_n(&ports_[port.value], bits, __ATOMIC_RELEASE);
}

void CaptureMaps::stop(unsigned index) {
  for (std::uint32_t port = 0; port < SHUNT_MAX_PORTS; ++port) set_port(index, DpPort{port}, 0);
  const __u32 key = index;
  bpf_map_delete_elem(rings_fd_, &key);
}

shunt_capture_counts CaptureMaps::counts(unsigned index) const {
  const __u32 key = index;
  std::vector<shunt_capture_counts> cpus(cpus_);
  check_libbpf(bpf_map_lookup_elem(counts_fd_, &key, cpus.data()), "capture: counters");
  shunt_capture_counts sum{};
  for (const shunt_capture_counts& cpu : cpus) {
    sum.captured += cpu.captured;
    sum.lost_ring += cpu.lost_ring;
    sum.lost_rate += cpu.lost_rate;
    sum.told += cpu.told;
  }
  return sum;
}

}  // namespace shunt
