// SPDX-License-Identifier: Apache-2.0
// A change that alters most of very many flows ends them at once.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/unit/worker/memory_maps.h"
#include "user/worker/revalidator.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr std::uint32_t kMany = 40'000;  // above what a walk rewrites

FlowKey frame(std::uint32_t number, std::uint32_t in_port = 1) {
  FlowKey key{};
  key.in_port = in_port;
  key.eth_src[0] = key.eth_dst[0] = 2;
  key.eth_src[5] = static_cast<__u8>(in_port);
  key.eth_dst[5] = 3;
  key.eth_type = be16{0x0800};
  key.nw_proto = 17;
  key.tp_src = be16{static_cast<std::uint16_t>(number)};
  return key;
}

struct Fixture {
  Fixture() : revalidator{sw, maps, {}} {
    bridge = sw.add_bridge("br0");
    for (std::uint32_t port = 1; port <= 3; ++port) {
      sw.add_port(bridge, {PortNo{port}, DpPort{port}, "p" + std::to_string(port), {}, true});
      revalidator.add_port(DpPort{port}, {Ifindex{100 + port}, true});
    }
    revalidator.start();
    for (const std::uint32_t port : {1, 2}) {  // their MACs are learned: what comes later is as it was asked for
      ask(frame(0, port));
      settle();
    }
    (void)revalidator.flush();
  }
  ~Fixture() { revalidator.stop(); }

  // A flow for each UDP source port, whatever the rules look at, under which the rules to come fit.
  void ask(const FlowKey& key) {
    Translation made = translate(*sw.state(), key);
    made.mask.tp_src = made.mask.eth_type = be16{0xffff};
    FlowRequest request{key, std::make_shared<const Translation>(std::move(made))};
    while (!revalidator.queue(0).push(std::move(request))) settle();
    revalidator.queue(0).ring_doorbell();
  }
  void settle() {
    while (!revalidator.queue(0).empty()) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    (void)revalidator.stats();
  }
  template <typename Work>
  void in_its_thread(Work work) {
    settle();
    (void)revalidator.change_fdb(bridge, [&](Fdb&) {
      work();
      return std::vector<FdbKey>{};
    });
  }
  // 0: a miss.
  std::uint8_t answer(const FlowKey& key) {
    std::uint8_t type = 0;
    in_its_thread([&] {
      if (const auto hit = maps.lookup(key)) type = hit->actions.back().type;
    });
    return type;
  }
  void hit(const FlowKey& key) {
    in_its_thread([&] { CHECK(maps.packet(key)); });
  }
  bool add(std::uint16_t priority, ActionList actions, std::uint32_t in_port) {
    FlowMod mod;
    mod.priority = priority;
    mod.actions = std::move(actions);
    mod.match.mask.eth_type = be16{0xffff};
    mod.match.value.eth_type = be16{0x0800};
    mod.match.mask.in_port = ~0u;
    mod.match.value.in_port = in_port;
    return revalidator.revalidate(sw.apply(bridge, std::span{&mod, 1}, Clock::now()));
  }
  std::uint64_t packets_of(std::uint16_t priority) {
    for (const RuleRef& rule : sw.list(bridge, FlowMod{}))
      if (rule->priority == priority) return rule->counters.packets();
    return 0;
  }

  MemoryMaps maps{65536, 16384};
  Switch sw;
  Revalidator revalidator;
  BridgeId bridge;
};

}  // namespace

TEST_SUITE("revalidator: many flows altered") {
  TEST_CASE("all of the port's end at once, are counted, and come back as what they are now") {
    Fixture f;
    for (std::uint32_t i = 0; i < kMany; ++i) f.ask(frame(i));
    f.ask(frame(1, 2));
    f.settle();
    REQUIRE(f.revalidator.stats().flows == kMany + 1);
    REQUIRE(f.answer(frame(kMany - 1)) == SHUNT_ACT_OUTPUT_GROUP);
    f.hit(frame(7));
    f.hit(frame(kMany - 1));
    f.hit(frame(kMany - 1));

    const std::uint64_t revalidated = f.revalidator.stats().revalidated;
    CHECK(f.add(200, {}, 1));
    CHECK(f.revalidator.stats().revalidated - revalidated < kMany / 4);
    CHECK(f.packets_of(0) == 3);
    CHECK(f.answer(frame(kMany - 1)) == 0);
    CHECK(f.answer(frame(1, 2)) == SHUNT_ACT_OUTPUT_GROUP);

    f.ask(frame(kMany - 1));
    CHECK(f.answer(frame(kMany - 1)) == SHUNT_ACT_DROP);
    std::size_t left = 0;
    for (int i = 0; i < 2000; ++i) {
      f.in_its_thread([&] { left = f.maps.table.size(); });
      if (left == 2) break;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    CHECK(left == 2);
    CHECK(f.revalidator.stats().flows == 2);
    CHECK(f.answer(frame(kMany - 1)) == SHUNT_ACT_DROP);
  }

  TEST_CASE("where hardly any is altered none is lost") {
    Fixture f;
    for (std::uint32_t i = 0; i < kMany; ++i) f.ask(frame(i));
    f.settle();
    CHECK_FALSE(f.add(200, {OutputAction{kPortNormal}}, 1));
    CHECK(f.revalidator.stats().revalidated >= kMany);
    CHECK(f.revalidator.stats().flows == kMany);
    CHECK(f.answer(frame(7)) == SHUNT_ACT_OUTPUT_GROUP);
  }
}
