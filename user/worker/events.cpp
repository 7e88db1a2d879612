// SPDX-License-Identifier: Apache-2.0
#include "user/worker/events.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "user/base/error.h"

namespace shunt {

std::vector<TranslationRef> once_each(std::vector<TranslationRef> learning) {
  std::unordered_set<TranslationRef> later;
  const auto kept = std::remove_if(learning.rbegin(), learning.rend(),
                                   [&later](const TranslationRef& each) { return !later.insert(each).second; });
  learning.erase(learning.begin(), kept.base());
  return learning;
}

EventQueue::EventQueue(unsigned producers)
    : doorbell_{check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "events: eventfd")} {
  for (unsigned i = 0; i < producers; ++i) rings_.push_back(std::make_unique<SpscRing<Event>>(kCapacity));
}

bool EventQueue::push(unsigned producer, Event&& event) noexcept {
  if (!rings_[producer]->push(std::move(event))) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  // Set already: drain() has not begun to look yet, and will see this event.
  if (!rung_.exchange(true, std::memory_order_acq_rel)) {
    const std::uint64_t one = 1;
    (void)!::write(doorbell_.get(), &one, sizeof one);
  }
  return true;
}

std::vector<Event> EventQueue::drain() {
  std::uint64_t rings = 0;
  (void)!::read(doorbell_.get(), &rings, sizeof rings);
  rung_.exchange(false, std::memory_order_acq_rel);
  std::vector<Event> events;
  for (const auto& ring : rings_) {
    waiting_ = std::max(waiting_, static_cast<std::uint32_t>(ring->size()));
    Event event;
    // What is there now: a producer that goes on pushing does not keep control here.
    for (std::size_t left = ring->size(); left > 0 && ring->pop(event); --left) events.push_back(std::move(event));
  }
  return events;
}

}  // namespace shunt
