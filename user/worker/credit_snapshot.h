// SPDX-License-Identifier: Apache-2.0
// How far the flows' counters were credited at one moment, gathered in slices while the revalidator goes on: a flow
// that is credited before its turn is taken as it was before that. So what rules had been credited at the moment, and
// what each flow had been, belong together, and nobody waits for a million flows.
//
// Threads: the revalidator.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "user/worker/megaflow_table.h"

namespace shunt {

class CreditSnapshot {
 public:
  // Of flows that had counted something. Those that were retired or moved since are in it or not.
  using Done = std::function<void(std::vector<FlowCredit>)>;

  // Now is the moment. Ends one that is going on, unfinished.
  void begin(const MegaflowTable& table, Done done);
  // The table has credited this to the slot's flow.
  void follow(const MegaflowTable& table, std::uint32_t slot, const MegaflowTable::Counted& counted);
  // Takes the next flows; with the last one it is done. False: none is going on.
  bool step(const MegaflowTable& table, std::uint32_t most);

 private:
  void take(const MegaflowTable& table, std::uint32_t slot, const MegaflowTable::Counted& less);

  std::uint32_t at_ = 0, end_ = 0;  // slots
  std::vector<bool> taken_;
  std::vector<FlowCredit> credits_;
  Done done_;  // empty: none is going on
};

}  // namespace shunt
