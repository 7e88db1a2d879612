// SPDX-License-Identifier: Apache-2.0
#include "user/worker/events.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <thread>

#include "user/worker/credit.h"
#include "user/worker/meters.h"
#include "user/worker/packet_reporter.h"

using namespace shunt;

namespace {

bool is_readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

Event packet_in(std::uint16_t id) {
  PacketInEvent event;
  event.what.action.controller_id = id;
  return event;
}

std::uint16_t id_of(const Event& event) { return std::get<PacketInEvent>(event).what.action.controller_id; }

}  // namespace

TEST_SUITE("events") {
  TEST_CASE("the descriptor is readable from the first event until all were taken") {
    EventQueue queue{2};
    CHECK_FALSE(is_readable(queue.fd()));
    CHECK(queue.push(0, packet_in(1)));
    CHECK(queue.push(1, packet_in(2)));
    CHECK(queue.push(0, packet_in(3)));
    CHECK(is_readable(queue.fd()));
    const auto events = queue.drain();
    REQUIRE(events.size() == 3);
    CHECK(id_of(events[0]) == 1);
    CHECK(id_of(events[1]) == 3);
    CHECK(id_of(events[2]) == 2);
    CHECK_FALSE(is_readable(queue.fd()));
    CHECK(queue.push(1, packet_in(4)));
    CHECK(is_readable(queue.fd()));
  }

  TEST_CASE("a full ring loses what comes, counted, and one producer's is not another's") {
    EventQueue queue{2};
    for (std::size_t i = 0; i < EventQueue::kCapacity; ++i) CHECK(queue.push(0, packet_in(0)));
    CHECK_FALSE(queue.push(0, packet_in(9)));
    CHECK(queue.lost() == 1);
    CHECK(queue.push(1, packet_in(2)));
    CHECK(queue.drain().size() == EventQueue::kCapacity + 1);
    CHECK(queue.push(0, packet_in(0)));
  }

  TEST_CASE("no event stays behind while the descriptor is silent") {
    constexpr unsigned kEvents = 50'000;
    EventQueue queue{1};
    std::thread producer{[&] {
      for (unsigned i = 0; i < kEvents; ++i)
        while (!queue.push(0, packet_in(static_cast<std::uint16_t>(i)))) std::this_thread::yield();
    }};
    unsigned seen = 0;
    bool in_order = true;
    while (seen < kEvents) {
      pollfd p{queue.fd(), POLLIN, 0};
      if (::poll(&p, 1, 20'000) != 1) break;
      for (const Event& event : queue.drain())
        in_order = in_order && id_of(event) == static_cast<std::uint16_t>(seen++);
    }
    producer.join();
    CHECK(seen == kEvents);
    CHECK(in_order);
  }
}

TEST_SUITE("packet reports") {
  TEST_CASE("a packet-in has the whole packet, whatever of it is asked for") {
    EventQueue queue{1};
    PacketReporter reporter{&queue, 0};
    Translation translation;
    Translation::Controller what;
    const std::vector<std::uint8_t> frame(500, 7);
    reporter.packet_in(translation, what, PacketInReason::kAction, frame);
    CHECK(queue.drain().empty());  // of no bridge
    translation.bridge = BridgeId{4};
    reporter.packet_in(translation, what, PacketInReason::kInvalidTtl, frame);
    what.action.max_len = 128;
    reporter.packet_in(translation, what, PacketInReason::kAction, frame);
    const auto events = queue.drain();
    REQUIRE(events.size() == 2);
    const auto& whole = std::get<PacketInEvent>(events[0]);
    CHECK(whole.bridge == BridgeId{4});
    CHECK(whole.what.action.reason == PacketInReason::kInvalidTtl);
    CHECK(whole.frame == frame);
    CHECK(whole.length == 500);
    const auto& part = std::get<PacketInEvent>(events[1]);
    CHECK(part.what.action.max_len == 128);
    CHECK(part.frame == frame);
    CHECK(part.length == 500);
  }

  TEST_CASE("a sample has the first 128 bytes and the port where it came in") {
    EventQueue queue{1};
    PacketReporter reporter{&queue, 0};
    BridgeState bridge;
    bridge.ports = {BridgePort{PortNo{5}, DpPort{3}, "p", {}}};
    bridge.index_of[3] = 1;
    SwitchState state;
    state.bridge_of[3] = &bridge;
    Translation translation;
    translation.bridge = BridgeId{1};
    reporter.begin(state, DpPort{3});
    SampleAction action{};
    action.collector_set_id = 2;
    reporter.sample(translation, action, std::vector<std::uint8_t>(300));
    const auto events = queue.drain();
    REQUIRE(events.size() == 1);
    const auto& sample = std::get<SampleEvent>(events[0]);
    CHECK(sample.in_port == PortNo{5});
    CHECK(sample.action.collector_set_id == 2);
    CHECK(sample.frame.size() == 128);
    CHECK(sample.length == 300);
  }

  TEST_CASE("a translation asks for its rules ten times a second at most") {
    EventQueue queue{1};
    PacketReporter reporter{&queue, 0};
    auto decision = std::make_shared<Decision>();
    const TimePoint start{std::chrono::hours{1}};
    TimePoint last{};
    reporter.learn(decision, start, last);
    CHECK(queue.drain().empty());
    decision->translation.follow_ups.make().learned.resize(1);
    reporter.learn(decision, start, last);
    reporter.learn(decision, start + std::chrono::milliseconds{99}, last);
    CHECK(queue.drain().size() == 1);
    reporter.learn(decision, start + std::chrono::milliseconds{100}, last);
    const auto events = queue.drain();
    REQUIRE(events.size() == 1);
    CHECK(std::get<LearnEvent>(events[0]).translation.get() == &decision->translation);
  }

  TEST_CASE("rules are learned in the order in which packets asked for them last") {
    const auto a = std::make_shared<Translation>(), b = std::make_shared<Translation>(),
               c = std::make_shared<Translation>();
    using Refs = std::vector<TranslationRef>;
    CHECK(once_each({a, b, c}) == Refs{a, b, c});
    CHECK(once_each({a, b, a}) == Refs{b, a});
    CHECK(once_each({c, a, b, b, a, c, b}) == Refs{a, c, b});
    CHECK(once_each({}).empty());
  }

  TEST_CASE("without a queue nothing happens") {
    PacketReporter reporter{nullptr, 0};
    Translation translation;
    translation.bridge = BridgeId{1};
    reporter.packet_in(translation, {}, PacketInReason::kAction, {});
    reporter.sample(translation, {}, {});
    TimePoint last{};
    reporter.learn(std::make_shared<Decision>(), TimePoint{}, last);
  }
}

TEST_SUITE("credit") {
  TEST_CASE("rules and everything else that was met count the packets") {
    const auto rule = std::make_shared<Rule>();
    const auto group = std::make_shared<FlowCounters>();
    Translation translation;
    translation.rules = {rule, rule};
    translation.credits = {group};
    const TimePoint now{std::chrono::hours{1}};
    credit(translation, 3, 300, now);
    CHECK(rule->counters.packets() == 6);
    CHECK(group->packets() == 3);
    CHECK(group->bytes() == 300);
    CHECK(group->used() == now);
  }

  TEST_CASE("a FIN lowers timeouts and never raises one; none is for ever") {
    const auto rule_with = [](std::uint16_t idle, std::uint16_t hard) {
      auto rule = std::make_shared<Rule>();
      rule->idle_timeout = idle;
      rule->hard_timeout = hard;
      return rule;
    };
    const auto after = [](const std::shared_ptr<Rule>& rule, std::uint16_t idle, std::uint16_t hard) {
      Translation translation;
      translation.follow_ups.make().fin_timeouts = {{rule, idle, hard}};
      credit(translation, 1, 60, TimePoint{});
      return std::pair<int, int>{rule->idle_timeout, rule->hard_timeout};
    };
    CHECK(after(rule_with(60, 300), 5, 10) == std::pair{5, 10});
    CHECK(after(rule_with(60, 0), 5, 10) == std::pair{5, 10});
    CHECK(after(rule_with(60, 300), 0, 10) == std::pair{60, 10});
    CHECK(after(rule_with(3, 300), 5, 0) == std::pair{3, 300});
    CHECK(after(rule_with(0, 0), 5, 10) == std::pair{5, 10});
    CHECK(after(rule_with(0, 0), 0, 10) == std::pair{0, 10});
  }
}

TEST_SUITE("meters") {
  TEST_CASE("a meter's slot is written whole, and its counters come back in the order of its bands") {
    std::vector<shunt_meter> slots(4);
    Meter meter;
    meter.slot = 2;
    meter.config.bands = {{SHUNT_BAND_DROP, 2000, 0, 0}, {SHUNT_BAND_DSCP_REMARK, 1000, 0, 1}};
    slots[2].packets = 99;
    write_meter(slots, meter);
    CHECK(slots[2].packets == 0);
    CHECK(slots[2].band_count == 2);
    CHECK(slots[2].bands[0].type == SHUNT_BAND_DSCP_REMARK);
    slots[2].packets = 10;
    slots[2].bytes = 1000;
    slots[2].bands[0].packets = 3;
    slots[2].bands[1].packets = 4;
    const MeterStats stats = read_meter(slots, meter);
    CHECK(stats.packets == 10);
    CHECK(stats.bytes == 1000);
    REQUIRE(stats.bands.size() == 2);
    CHECK(stats.bands[0].packets == 4);
    CHECK(stats.bands[1].packets == 3);
  }

  TEST_CASE("slot 0 is no meter's") {
    std::vector<shunt_meter> slots(4);
    CHECK_THROWS(write_meter(slots, Meter{}));
    CHECK(read_meter(slots, Meter{}).bands.empty());
  }
}
