// SPDX-License-Identifier: Apache-2.0
// A change that alters most of very many flows ends them at once.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "tests/unit/worker/revalidator_fixture.h"

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

struct Fixture : RevalidatorFixture {
  Fixture() : RevalidatorFixture{std::chrono::seconds{10}, 65536, 16384} {
    for (const std::uint32_t port : {1, 2}) {  // their MACs are learned: what comes later is as it was asked for
      ask_for(frame(0, port));
      settle();
    }
    (void)revalidator.flush();
  }

  // A flow for each UDP source port, whatever the rules look at, under which the rules to come fit.
  void ask_for(const FlowKey& key) {
    Translation made = translate(*sw.state(), key);
    made.mask.tp_src = made.mask.eth_type = be16{0xffff};
    REQUIRE(revalidator.queue(0).push(request_for(key, std::move(made))));
    revalidator.queue(0).ring_doorbell();
    if (++asked % 4096 == 0) settle();  // more of a port at a time are put off
  }
  std::uint32_t asked = 0;
  // Of the kernel's answer; 0: a miss.
  std::uint8_t answer_type(const FlowKey& key) {
    const auto action = answer(key);
    return action ? action->type : 0;
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
};

}  // namespace

TEST_SUITE("revalidator: many flows altered") {
  TEST_CASE("all of the port's end at once, are counted, and come back as what they are now") {
    Fixture f;
    for (std::uint32_t i = 0; i < kMany; ++i) f.ask_for(frame(i));
    f.ask_for(frame(1, 2));
    f.settle();
    REQUIRE(f.revalidator.stats().flows == kMany + 1);
    REQUIRE(f.answer_type(frame(kMany - 1)) == SHUNT_ACT_OUTPUT_GROUP);
    CHECK(f.hit(frame(7)));
    CHECK(f.hit(frame(kMany - 1)));
    CHECK(f.hit(frame(kMany - 1)));

    const std::uint64_t revalidated = f.revalidator.stats().revalidated;
    CHECK(f.add(200, {}, 1));
    CHECK(f.revalidator.stats().revalidated - revalidated < kMany / 4);
    f.revalidator.collect_counters();
    CHECK(f.packets_of(0) == 3);
    CHECK(f.answer_type(frame(kMany - 1)) == 0);
    CHECK(f.answer_type(frame(1, 2)) == SHUNT_ACT_OUTPUT_GROUP);

    f.ask_for(frame(kMany - 1));
    CHECK(f.answer_type(frame(kMany - 1)) == SHUNT_ACT_DROP);
    std::size_t left = 0;
    for (int i = 0; i < 2000; ++i) {
      f.in_its_thread([&] { left = f.maps.table.size(); });
      if (left == 2) break;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    CHECK(left == 2);
    CHECK(f.revalidator.stats().flows == 2);
    CHECK(f.answer_type(frame(kMany - 1)) == SHUNT_ACT_DROP);
  }

  TEST_CASE("where hardly any is altered none is lost") {
    Fixture f;
    for (std::uint32_t i = 0; i < kMany; ++i) f.ask_for(frame(i));
    f.settle();
    CHECK_FALSE(f.add(200, {OutputAction{kPortNormal}}, 1));
    CHECK(f.revalidator.stats().revalidated >= kMany);
    CHECK(f.revalidator.stats().flows == kMany);
    CHECK(f.answer_type(frame(7)) == SHUNT_ACT_OUTPUT_GROUP);
  }
}
