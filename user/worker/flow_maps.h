// SPDX-License-Identifier: Apache-2.0
// The maps of the flow cache as the megaflow table writes them: mmapped arrays as spans, and the few updates that need
// a syscall. DatapathMaps stands on a loaded Datapath; unit tests put plain memory behind the same interface.
//
// Threads: the revalidator.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "maps/fdb.h"
#include "maps/flow.h"
#include "maps/port.h"
#include "user/bpf/datapath.h"

namespace shunt {

class FlowMaps {
 public:
  virtual ~FlowMaps() = default;

  shunt_config config{};
  std::span<shunt_flow> flows;
  std::span<shunt_action> action_lists;
  std::span<shunt_index_bucket> index;
  std::span<const shunt_microflow_group> microflows;
  std::span<shunt_flow_counters> counters;
  std::span<shunt_flow_delta> deltas;
  std::span<shunt_mask> masks;
  std::span<shunt_port> ports;
  std::span<shunt_fdb_bucket> fdb;  // SHUNT_FDB_BUCKETS
  std::span<const shunt_order> order;

  // Sets errors[i] to 0 or -errno. This and erase_megaflows() also by the thread of MegaflowWriter, one at a time.
  virtual void update_megaflows(std::span<const shunt_megaflow_key> keys, std::span<const shunt_megaflow> values,
                                std::span<int> errors) noexcept = 0;
  virtual void erase_megaflows(std::span<const shunt_megaflow_key> keys) noexcept = 0;
  [[nodiscard]] virtual int set_group(std::uint16_t group, std::span<const Ifindex> members) noexcept = 0;
  // What an earlier daemon put there.
  virtual void for_each_megaflow(
      const std::function<void(const shunt_megaflow_key&, const shunt_megaflow&)>& visit) const = 0;
  [[nodiscard]] virtual std::vector<Ifindex> group_members(std::uint16_t group) const = 0;
  // Returns when no program that ran at the time of the call still runs. Called from the grace thread as well.
  virtual void wait_grace_period() = 0;
};

class DatapathMaps final : public FlowMaps {
 public:
  explicit DatapathMaps(Datapath& datapath);  // borrows

  void update_megaflows(std::span<const shunt_megaflow_key> keys, std::span<const shunt_megaflow> values,
                        std::span<int> errors) noexcept override;
  void erase_megaflows(std::span<const shunt_megaflow_key> keys) noexcept override;
  int set_group(std::uint16_t group, std::span<const Ifindex> members) noexcept override;
  void for_each_megaflow(
      const std::function<void(const shunt_megaflow_key&, const shunt_megaflow&)>& visit) const override;
  [[nodiscard]] std::vector<Ifindex> group_members(std::uint16_t group) const override;
  void wait_grace_period() override;

 private:
  Datapath& datapath_;
  BpfMap<shunt_megaflow_key, shunt_megaflow> megaflows_;
};

}  // namespace shunt
