// SPDX-License-Identifier: Apache-2.0
// What packets ask of the control thread: packet-ins, rules to learn, timeouts to lower, samples, MACs. One bounded
// ring a producer (each worker, and the revalidator), so that no packet waits: what finds its ring full is counted and
// lost.
//
// Threads: push() by the producer; drain() and fd() by control.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/l2/fdb.h"
#include "user/pipeline/translate.h"
#include "user/worker/spsc_ring.h"
#include "user/worker/upcall.h"

namespace shunt {

struct PacketInEvent {
  BridgeId bridge;
  Translation::Controller what;
  std::vector<std::uint8_t> frame;  // whole: who gets less of it may ask for the rest (buffer ids)
  std::uint32_t length = 0;
};
// The translation's `learned`, for a packet (worker) or for hits since the last sweep (revalidator).
struct LearnEvent {
  TranslationRef translation;
};
struct SampleEvent {
  BridgeId bridge;
  SampleAction action;
  PortNo in_port;
  std::vector<std::uint8_t> frame;  // its first 128 bytes
  std::uint32_t length = 0;
};
// A MAC of a bridge's FDB came, went or moved; only where somebody wants to know (want_macs()).
enum class MacChange : std::uint8_t { kLearned, kMoved, kAged, kEvicted, kRemoved, kSet };
struct MacEvent {
  BridgeId bridge;
  MacChange change = MacChange::kLearned;
  FdbKey key{};
  std::optional<PortNo> port{};      // where it is now
  std::optional<PortNo> old_port{};  // where it was, where that is known
};
using Event = std::variant<PacketInEvent, LearnEvent, SampleEvent, MacEvent>;

// Translations that ask for rules, each once, where it came last: of two that learn the same match otherwise the later
// one holds.
[[nodiscard]] std::vector<TranslationRef> once_each(std::vector<TranslationRef> learning);

class EventQueue {
 public:
  static constexpr std::size_t kCapacity = 1024;  // a producer's

  explicit EventQueue(unsigned producers);

  // False: full, and counted as lost. The doorbell rings only where control has taken everything before.
  bool push(unsigned producer, Event&& event) noexcept;

  // Whether changes of MACs are events, too. Control says so, the revalidator asks.
  void want_macs(bool wanted) noexcept { macs_wanted_.store(wanted, std::memory_order_relaxed); }
  [[nodiscard]] bool macs_wanted() const noexcept { return macs_wanted_.load(std::memory_order_relaxed); }
  void push_mac(unsigned producer, const MacEvent& event) noexcept {
    if (!push(producer, event)) macs_lost_.fetch_add(1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t macs_lost() const noexcept { return macs_lost_.load(std::memory_order_relaxed); }

  void lose() noexcept { lost_.fetch_add(1, std::memory_order_relaxed); }  // an event that there was no memory for

  [[nodiscard]] int fd() const noexcept { return doorbell_.get(); }  // readable: drain()
  std::vector<Event> drain();
  // Control: the most that a ring held when it was taken, in this second and the one before.
  [[nodiscard]] std::uint32_t waiting() const noexcept { return std::max(waiting_, waited_); }
  void next_second() noexcept { waited_ = std::exchange(waiting_, 0); }
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

 private:
  UniqueFd doorbell_;
  std::vector<std::unique_ptr<SpscRing<Event>>> rings_;
  std::atomic<bool> rung_{false};
  std::uint32_t waiting_ = 0, waited_ = 0;
  std::atomic<std::uint64_t> lost_{0}, macs_lost_{0};
  std::atomic<bool> macs_wanted_{false};
};

}  // namespace shunt
