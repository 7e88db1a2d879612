// SPDX-License-Identifier: Apache-2.0
// What workers tell the revalidator: flows to publish. One ring a worker, so that neither side ever waits.
//
// Threads: push() by the worker; pop() by the revalidator.
#pragma once

#include <memory>
#include <utility>

#include "user/base/clock.h"
#include "user/flow/flow_key.h"
#include "user/pipeline/translate.h"
#include "user/worker/doorbell.h"
#include "user/worker/spsc_ring.h"

namespace shunt {

using TranslationRef = std::shared_ptr<const Translation>;

// A packet's key, whole, and what became of it.
struct Decision {
  FlowKey key{};
  Translation translation;
};
using DecisionRef = std::shared_ptr<const Decision>;

inline TranslationRef translation_of(DecisionRef decision) noexcept {
  const Translation* translation = &decision->translation;
  return {std::move(decision), translation};
}

// A packet was translated and has been sent: the flow may be published now (order: DESIGN.md, decision 6).
struct FlowRequest {
  DecisionRef decision;
  DpPort port;           // of the decision's key, which whoever sorts requests by port need not fetch from memory
  TimePoint received{};  // when the worker took the packet
  // What this decision took the place of in the worker's memory. The revalidator frees it, as it can fetch its lines
  // ahead, which the worker with a packet in hand cannot.
  DecisionRef displaced{};
};

class RequestQueue {
 public:
  static constexpr std::size_t kCapacity = 8192;

  explicit RequestQueue(Doorbell& revalidator) : ring_{kCapacity}, doorbell_{revalidator} {}

  // False: the revalidator is behind; the flow's next packet asks again.
  [[nodiscard]] bool push(FlowRequest&& request) noexcept { return ring_.push(std::move(request)); }
  void ring_doorbell() noexcept { doorbell_.ring(); }  // once after a batch of pushes
  [[nodiscard]] bool pop(FlowRequest& request) noexcept { return ring_.pop(request); }
  [[nodiscard]] bool empty() const noexcept { return ring_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return ring_.size(); }

 private:
  SpscRing<FlowRequest> ring_;
  Doorbell& doorbell_;
};

}  // namespace shunt
