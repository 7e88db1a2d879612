// SPDX-License-Identifier: Apache-2.0
// Ending all of a port's flows at once. Raising its generation is one store, and no program finds them any more; what
// they leave behind in the maps and here goes a piece at a time, while other flows are published.
#include "user/worker/megaflow_table_impl.h"

namespace shunt {

void MegaflowTable::void_flows(DpPort port) {
  commit();
  Impl& t = *impl_;
  t.ports.raise_generation(port);
  for (std::uint32_t slot = 0; slot < slot_end(); ++slot) {
    Flow& flow = t.flows[slot];
    if (flow.state != Flow::State::kLive || flow.port != port.value) continue;
    t.ports.remove_flow(port, flow.mask);
    t.affected.clear(slot);
    flow.state = Flow::State::kVoid;
    t.voided.push_back(slot);
    --t.live;
  }
}

bool MegaflowTable::clear_void(std::size_t most) {
  if (impl_->voided.empty()) return false;
  commit();
  for (; most > 0 && !impl_->voided.empty(); --most) {
    const std::uint32_t slot = impl_->voided.back();
    impl_->voided.pop_back();
    // Where a new flow has taken the place of this one it is retired already; and may be live again.
    if (impl_->flows[slot].state == Flow::State::kVoid) impl_->retire_void(slot);
  }
  return true;
}

void MegaflowTable::Impl::retire_void(std::uint32_t slot) {
  take_out(slot);
  retire_slot(slot);
}

}  // namespace shunt
