// SPDX-License-Identifier: Apache-2.0
// A bridge whose revalidator runs over maps in memory, for tests: what workers ask of it, and what the kernel answers.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "tests/unit/worker/flow_requests.h"
#include "tests/unit/worker/memory_maps.h"
#include "user/flow/fields.h"
#include "user/worker/events.h"
#include "user/worker/revalidator.h"

namespace shunt::test {

inline constexpr PortNo kOne{1}, kTwo{2}, kThree{3};

inline FlowKey frame(std::uint32_t in_port, std::uint8_t src, std::uint8_t dst, std::uint16_t tp_dst = 80) {
  FlowKey key{};
  key.in_port = in_port;
  key.eth_src[0] = key.eth_dst[0] = 2;
  key.eth_src[5] = src;
  key.eth_dst[5] = dst;
  key.eth_type = be16{0x0800};
  key.nw_proto = 17;
  key.tp_dst = be16{tp_dst};
  return key;
}

inline FdbKey mac_of(std::uint8_t last) { return {VlanId{0}, MacAddr{{2, 0, 0, 0, 0, last}}}; }

// A bridge with three ports whose revalidator runs over maps in memory.
struct RevalidatorFixture {
  explicit RevalidatorFixture(std::chrono::milliseconds idle = std::chrono::seconds{10},
                              std::uint32_t flow_limit = 256, std::uint32_t buckets = 64)
      : maps{flow_limit, buckets}, revalidator{sw, maps, {1, idle, [this] { ++features_wanted; }, &events}} {
    bridge = sw.add_bridge("br0");
    for (std::uint32_t port = 1; port <= 3; ++port) {
      sw.add_port(bridge, {PortNo{port}, DpPort{port}, "p" + std::to_string(port), {}, true});
      revalidator.add_port(DpPort{port}, {Ifindex{100 + port}, true});
    }
    revalidator.start();
  }
  ~RevalidatorFixture() { revalidator.stop(); }

  // What a worker does for a miss.
  TranslationRef miss(const FlowKey& key) {
    auto made = std::make_shared<const Translation>(translate(*sw.state(), key));
    ask(key, *made);
    return made;
  }
  void ask(const FlowKey& key, const Translation& translation) {
    REQUIRE(revalidator.queue(0).push(request_for(key, translation)));
    revalidator.queue(0).ring_doorbell();
    settle();
  }
  // Returns when the revalidator has served what was asked for.
  void settle() {
    // By a command of its own: the round that took the last request is over.
    const auto served = [this] { return revalidator.queue(0).empty() && revalidator.stats().requests_pending == 0; };
    for (int i = 0; i < 1000 && !served(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    REQUIRE(served());
  }
  void apply(FlowMod::Command command, std::uint16_t priority, ActionList actions, std::uint16_t tp_dst) {
    FlowMod mod;
    mod.command = command;
    mod.priority = priority;
    mod.actions = std::move(actions);
    mod.match.mask.eth_type = be16{0xffff};
    mod.match.value.eth_type = be16{0x0800};
    mod.match.mask.nw_proto = 0xff;
    mod.match.value.nw_proto = 17;
    mod.match.mask.tp_dst = be16{0xffff};
    mod.match.value.tp_dst = be16{tp_dst};
    const Change change = sw.apply(bridge, std::span{&mod, 1}, Clock::now());
    met = revalidator.meets(change);
    changed = revalidator.revalidate(change);
  }
  const BridgeState& bridge_state() { return *sw.find_bridge("br0"); }
  // In the revalidator's thread, and while the megaflow writer does nothing: unlike the kernel the model does not read
  // while it is written.
  template <typename Work>
  void in_its_thread(Work work) {
    settle();
    (void)revalidator.change_fdb(bridge, [&](Fdb&) {
      const std::lock_guard lock{maps.table_mutex};
      work();
      return std::vector<FdbKey>{};
    });
  }
  // The kernel's answer, as an action; none: a miss.
  std::optional<shunt_action> answer(const FlowKey& key) {
    std::optional<shunt_action> action;
    in_its_thread([&] {
      if (const auto hit = maps.lookup(key)) action = hit->actions.back();
    });
    return action;
  }
  // A packet that the kernel answers.
  bool hit(const FlowKey& key, std::uint32_t bytes = 100) {
    bool answered = false;
    in_its_thread([&] { answered = maps.packet(key, bytes); });
    return answered;
  }
  bool outputs_to(const FlowKey& key, std::uint16_t port) {
    const auto action = answer(key);
    return action && action->type == SHUNT_ACT_OUTPUT && action->arg == port;
  }

  std::atomic<int> features_wanted{0};
  EventQueue events{2};
  MemoryMaps maps;
  Switch sw;
  Revalidator revalidator;
  BridgeId bridge;
  bool changed = false, met = false;  // by the last apply()
};

}  // namespace shunt::test
