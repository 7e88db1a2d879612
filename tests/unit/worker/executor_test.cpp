// SPDX-License-Identifier: Apache-2.0
#include "user/worker/executor.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "bpf/datapath/hash.h"
#include "tests/support/packet_builder.h"
#include "tests/unit/worker/memory_maps.h"

using namespace shunt;
using namespace shunt::test;

namespace {

struct Sent {
  DpPort port;
  Bytes bytes;
  std::size_t parts;
};

// Takes frames as a socket would, and notes what they hold.
struct Sink final : FrameSink {
  explicit Sink(Umem& memory) : umem{memory} {}
  shunt_drop_reason send(DpPort port, std::span<const XskDescriptor> packet) noexcept override {
    if (refuse != SHUNT_DROP_NONE) return refuse;
    Sent one{port, {}, packet.size()};
    for (std::size_t i = 0; i < packet.size(); ++i) {
      const std::byte* at = umem.data(packet[i].address);
      one.bytes.insert(one.bytes.end(), at, at + packet[i].length);
      CHECK(umem.holder(Umem::frame_of(packet[i].address)) == Hand::kBatch);
      CHECK(((packet[i].options & kContinued) != 0) == (i + 1 < packet.size()));
      umem.hand(Umem::frame_of(packet[i].address), Hand::kKernelTx, 1);
    }
    sent.push_back(std::move(one));
    return SHUNT_DROP_NONE;
  }
  Umem& umem;
  shunt_drop_reason refuse = SHUNT_DROP_NONE;
  std::vector<Sent> sent;
};

// Notes what it is told of.
struct Reports final : PacketReports {
  void packet_in(const Translation&, const Translation::Controller& controller, PacketInReason reason,
                 std::span<const std::uint8_t> frame) noexcept override {
    packet_ins.push_back({controller.action.controller_id, reason, bytes(frame)});
  }
  void sample(const Translation&, const SampleAction& sample, std::span<const std::uint8_t> frame) noexcept override {
    samples.push_back({static_cast<std::uint16_t>(sample.obs_point_id), PacketInReason::kAction, bytes(frame)});
  }
  void dropped(shunt_drop_reason reason, std::span<const std::uint8_t> frame) noexcept override {
    drops.push_back({reason, bytes(frame)});
  }
  static Bytes bytes(std::span<const std::uint8_t> frame) {
    const auto view = std::as_bytes(frame);
    return {view.begin(), view.end()};
  }
  struct One {
    std::uint16_t id;
    PacketInReason reason;
    Bytes frame;
  };
  std::vector<One> packet_ins, samples;
  std::vector<std::pair<shunt_drop_reason, Bytes>> drops;
};

struct Fixture {
  Fixture()
      : ports(SHUNT_MAX_PORTS),
        meters(8),
        frames{umem.pool()},
        executor{umem, frames, ports, meters, {kSeed, kMultiplier}},
        sink{umem} {
    for (shunt_port& port : ports) port.mtu = 9000;
  }
  // As the kernel receives: behind 256 bytes of headroom, in as many frames as it takes.
  std::vector<XskDescriptor> receive(const Bytes& bytes) {
    std::vector<XskDescriptor> packet;
    for (std::size_t at = 0; at < bytes.size() || packet.empty();) {
      Frame frame = 0;
      REQUIRE(frames.take(frame));
      umem.hand(frame, Hand::kBatch);
      const std::size_t size = std::min<std::size_t>(bytes.size() - at, Umem::kFrameSize - 256);
      const std::uint64_t address = Umem::address_of(frame) + 256;
      std::memcpy(umem.data(address), bytes.data() + at, size);
      at += size;
      packet.push_back({address, static_cast<std::uint32_t>(size), at < bytes.size() ? kContinued : 0});
    }
    return packet;
  }
  shunt_drop_reason run(const Bytes& bytes, DpActions actions, shunt_drop_reason drop = SHUNT_DROP_NONE) {
    const std::vector<XskDescriptor> packet = receive(bytes);
    if (const shunt_drop_reason reason = executor.load(packet, DpPort{1}); reason != SHUNT_DROP_NONE) return reason;
    translation.actions = std::move(actions);
    translation.drop = drop;
    return executor.run(translation, sink, &reports, sampled);
  }
  // No frame is lost and none is in two hands: what was not sent is free again.
  void check_frames() {
    std::uint32_t sent_frames = 0;
    for (const Sent& one : sink.sent) sent_frames += static_cast<std::uint32_t>(one.parts);
    const FrameCensus census = umem.census();
    CHECK(census.kernel_tx == sent_frames);
    CHECK(census.batch == 0);
    CHECK(census.pool == umem.frame_count() - sent_frames);
    CHECK(frames.count() + umem.pool().free_count() == umem.frame_count() - sent_frames);
  }

  static constexpr std::uint64_t kSeed = 77, kMultiplier = 0x9e3779b97f4a7c15;
  Umem umem{256, false};
  std::vector<shunt_port> ports;
  std::vector<shunt_meter> meters;
  FrameCache frames;
  Executor executor;
  Sink sink;
  Reports reports;
  Translation translation;  // controllers, samples: to be filled in
  bool sampled = false;
};

// A meter of one band that every packet is over.
shunt_meter full_meter(shunt_band_type type, std::uint32_t precedence = 0) {
  shunt_meter meter{};
  meter.flags = SHUNT_METER_IN_USE;
  meter.band_count = 1;
  meter.bands[0].type = type;
  meter.bands[0].precedence = precedence;
  return meter;
}

Translation::Controller controller(std::uint16_t id) {
  Translation::Controller c;
  c.action.controller_id = id;
  return c;
}

Bytes udp_with_ttl(unsigned ttl) {
  return packet()
      .eth("02:00:00:00:00:01", "02:00:00:00:00:02")
      .ipv4("10.0.0.1", "10.0.0.2")
      .ttl(static_cast<std::uint8_t>(ttl))
      .udp(1, 2)
      .payload(100)
      .build();
}

Bytes udp(std::size_t payload) {
  return packet()
      .eth("02:00:00:00:00:01", "02:00:00:00:00:02")
      .ipv4("10.0.0.1", "10.0.0.2")
      .udp(1, 2)
      .payload(payload)
      .build();
}

}  // namespace

TEST_SUITE("executor") {
  TEST_CASE("one output sends the frame that came, unchanged") {
    Fixture f;
    const Bytes frame = udp(100);
    CHECK(f.run(frame, {output_to(2)}) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 1);
    CHECK(f.sink.sent[0].port == DpPort{2});
    CHECK(f.sink.sent[0].bytes == frame);
    f.check_frames();
  }

  TEST_CASE("each output gets the frame as the edits before it made it") {
    Fixture f;
    const Bytes frame = udp(100);
    CHECK(f.run(frame, {output_to(2), push_vlan(5), output_to(3), set_eth_dst(9), output_to(4)}) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 3);
    CHECK(f.sink.sent[0].bytes == frame);
    CHECK(f.sink.sent[1].bytes.size() == frame.size() + 4);
    CHECK(f.sink.sent[1].bytes[12] == std::byte{0x81});
    CHECK(f.sink.sent[1].bytes[5] == frame[5]);
    CHECK(f.sink.sent[2].bytes[5] == std::byte{9});
    f.check_frames();
  }

  TEST_CASE("a packet in several frames is sent in several frames, to each output") {
    Fixture f;
    const Bytes frame = udp(8900);
    CHECK(f.run(frame, {output_to(2), output_to(3)}) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 2);
    for (const Sent& one : f.sink.sent) {
      CHECK(one.parts == 3);
      CHECK(one.bytes == frame);
    }
    f.check_frames();
  }

  TEST_CASE("short frames are padded with zeros, copies too") {
    Fixture f;
    Bytes frame = udp(0);
    REQUIRE(frame.size() < SHUNT_MIN_FRAME);
    CHECK(f.run(frame, {output_to(2), output_to(3)}) == SHUNT_DROP_NONE);
    frame.resize(SHUNT_MIN_FRAME);
    REQUIRE(f.sink.sent.size() == 2);
    CHECK(f.sink.sent[0].bytes == frame);
    CHECK(f.sink.sent[1].bytes == frame);
    f.check_frames();
  }

  TEST_CASE("a truncation is for the next output only") {
    Fixture f;
    const Bytes frame = udp(400);
    CHECK(f.run(frame, {simple(SHUNT_ACT_TRUNCATE, 100), output_to(2), output_to(3)}) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 2);
    CHECK(f.sink.sent[0].bytes == Bytes(frame.begin(), frame.begin() + 100));
    CHECK(f.sink.sent[1].bytes == frame);
    CHECK(f.run(frame, {output_to(3), simple(SHUNT_ACT_TRUNCATE, 100), output_to(2)}) == SHUNT_DROP_NONE);
    CHECK(f.sink.sent.back().bytes.size() == 100);
    f.check_frames();
  }

  TEST_CASE("a packet goes back out of its input port only where an action says so") {
    Fixture f;
    CHECK(f.run(udp(100), {output_to(1)}) == SHUNT_DROP_SAME_PORT);
    CHECK(f.sink.sent.empty());
    CHECK(f.run(udp(100), {output_to(1, true)}) == SHUNT_DROP_NONE);
    CHECK(f.sink.sent.size() == 1);
    f.check_frames();
  }

  TEST_CASE("every way to end without an output has its reason and gives the frames back") {
    Fixture f;
    CHECK(f.run(udp(100), {}, SHUNT_DROP_TABLE_MISS) == SHUNT_DROP_TABLE_MISS);
    CHECK(f.run(udp(100), {}) == SHUNT_DROP_RULE);
    shunt_action drop = simple(SHUNT_ACT_DROP);
    drop.field = SHUNT_DROP_VLAN_NOT_ALLOWED;
    CHECK(f.run(udp(100), {drop}) == SHUNT_DROP_VLAN_NOT_ALLOWED);
    CHECK(f.run(Bytes(10), {output_to(2)}) == SHUNT_DROP_TRUNCATED_ETH);
    f.ports[2].mtu = 1500;
    CHECK(f.run(udp(1473), {output_to(2)}) == SHUNT_DROP_FRAME_TOO_LONG);
    CHECK(f.run(udp(8000), {output_to(2)}) == SHUNT_DROP_FRAME_TOO_LONG);
    f.sink.refuse = SHUNT_DROP_TX_RING_FULL;
    CHECK(f.run(udp(100), {output_to(2), output_to(3)}) == SHUNT_DROP_TX_RING_FULL);
    f.sink.refuse = SHUNT_DROP_NO_OUTPUT_PORT;
    CHECK(f.run(udp(8900), {output_to(3)}) == SHUNT_DROP_NO_OUTPUT_PORT);
    CHECK(f.sink.sent.empty());
    f.check_frames();
  }

  TEST_CASE("what goes out nowhere is told once, with its bytes as they were then; what goes out anywhere is not") {
    Fixture f;
    const Bytes frame = udp(100), jumbo = udp(8000);
    CHECK(f.run(frame, {set_eth_dst(9), simple(SHUNT_ACT_METER)}) == SHUNT_DROP_RULE);
    REQUIRE(f.reports.drops.size() == 1);
    CHECK(f.reports.drops[0].first == SHUNT_DROP_RULE);
    CHECK(f.reports.drops[0].second.size() == frame.size());
    CHECK(f.reports.drops[0].second[5] == std::byte{9});
    f.ports[2].mtu = 1500;
    CHECK(f.run(jumbo, {output_to(2)}) == SHUNT_DROP_FRAME_TOO_LONG);
    REQUIRE(f.reports.drops.size() == 2);
    CHECK(f.reports.drops[1].second == jumbo);
    CHECK(f.run(frame, {output_to(3), output_to(1)}) == SHUNT_DROP_NONE);
    CHECK(f.reports.drops.size() == 2);
    f.check_frames();
  }

  TEST_CASE("the longest frame of the MTU passes, with one tag on top") {
    Fixture f;
    f.ports[2].mtu = 1500;
    CHECK(f.run(udp(1472), {output_to(2)}) == SHUNT_DROP_NONE);
    CHECK(f.run(udp(1472), {push_vlan(3), output_to(2)}) == SHUNT_DROP_NONE);
    f.check_frames();
  }

  TEST_CASE("an expiring TTL ends the packet, but not the outputs before it") {
    Fixture f;
    const Bytes frame = packet()
                            .eth("02:00:00:00:00:01", "02:00:00:00:00:02")
                            .ipv4("10.0.0.1", "10.0.0.2")
                            .ttl(1)
                            .udp(1, 2)
                            .payload(100)
                            .build();
    CHECK(f.run(frame, {simple(SHUNT_ACT_DEC_TTL), output_to(2)}) == SHUNT_DROP_TTL_EXPIRED);
    CHECK(f.run(frame, {output_to(3), simple(SHUNT_ACT_DEC_TTL), output_to(2)}) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 1);
    CHECK(f.sink.sent[0].bytes == frame);
    f.check_frames();
  }

  TEST_CASE("without free frames copies are dropped, and the frame itself still goes out") {
    Fixture f;
    const std::vector<XskDescriptor> packet = f.receive(udp(100));
    std::vector<Frame> hoard;
    for (Frame frame; f.frames.take(frame);) hoard.push_back(frame);
    REQUIRE(f.executor.load(packet, DpPort{1}) == SHUNT_DROP_NONE);
    Translation translation;
    translation.actions = {output_to(2), output_to(3)};
    CHECK(f.executor.run(translation, f.sink) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 1);
    CHECK(f.sink.sent[0].port == DpPort{3});
    for (const Frame frame : hoard) f.frames.give(frame);
    f.check_frames();
  }

  TEST_CASE("a packet's key has the hash that select groups look at") {
    Fixture f;
    const Bytes frame = udp(100);
    REQUIRE(f.executor.load(f.receive(frame), DpPort{1}) == SHUNT_DROP_NONE);
    const FlowKey key = f.executor.key();
    CHECK(key.dp_hash != 0);
    CHECK(key.dp_hash == shunt_dp_hash(&key, Fixture::kSeed, Fixture::kMultiplier));
    CHECK(Reports::bytes(f.executor.frame()) == frame);
    f.executor.discard();
    f.check_frames();
  }

  TEST_CASE("what SAVE kept comes back at RESTORE, at any depth, in one frame and in several") {
    const shunt_action save = simple(SHUNT_ACT_SAVE), restore = simple(SHUNT_ACT_RESTORE);
    for (const Bytes& frame : {udp(100), udp(8900)}) {
      Fixture f;
      CHECK(f.run(frame, {save, push_vlan(5), save, set_eth_dst(9), push_vlan(6), output_to(2), restore, output_to(3),
                          restore, output_to(4)}) == SHUNT_DROP_NONE);
      REQUIRE(f.sink.sent.size() == 3);
      CHECK(f.sink.sent[0].bytes.size() == frame.size() + 8);
      CHECK(f.sink.sent[0].bytes[5] == std::byte{9});
      CHECK(f.sink.sent[1].bytes.size() == frame.size() + 4);
      CHECK(f.sink.sent[1].bytes[5] == frame[5]);
      CHECK(f.sink.sent[2].bytes == frame);
      f.check_frames();
    }
  }

  TEST_CASE("a label popped in a copy is there again after it") {
    Fixture f;
    const Bytes frame = packet()
                            .eth("02:00:00:00:00:01", "02:00:00:00:00:02")
                            .mpls(7)
                            .ipv4("10.0.0.1", "10.0.0.2")
                            .udp(1, 2)
                            .payload(100)
                            .build();
    shunt_action pop = simple(SHUNT_ACT_POP_MPLS);
    pop.value[0] = 0x08;
    CHECK(f.run(frame, {simple(SHUNT_ACT_SAVE), pop, simple(SHUNT_ACT_DEC_TTL), output_to(2), simple(SHUNT_ACT_RESTORE),
                        output_to(3)}) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 2);
    CHECK(f.sink.sent[0].bytes.size() == frame.size() - 4);
    CHECK(f.sink.sent[0].bytes[14 + 8] == std::byte{63});
    CHECK(f.sink.sent[1].bytes == frame);
    f.check_frames();
  }

  TEST_CASE("what ends a copy ends only that") {
    Fixture f;
    const shunt_action save = simple(SHUNT_ACT_SAVE), restore = simple(SHUNT_ACT_RESTORE);
    f.meters[1] = full_meter(SHUNT_BAND_DROP);
    const Bytes frame = udp(100);
    CHECK(f.run(frame, {save, push_vlan(1), simple(SHUNT_ACT_METER, 1), save, output_to(2), restore, output_to(3),
                        restore, output_to(4)}) == SHUNT_DROP_NONE);
    REQUIRE(f.sink.sent.size() == 1);
    CHECK(f.sink.sent[0].port == DpPort{4});
    CHECK(f.sink.sent[0].bytes == frame);
    CHECK(f.run(frame, {simple(SHUNT_ACT_METER, 1), output_to(4)}) == SHUNT_DROP_METER);
    CHECK(f.meters[1].packets == 2);
    f.check_frames();
  }

  TEST_CASE("copies within copies have a bound") {
    Fixture f;
    DpActions actions(Executor::kMaxSaves, simple(SHUNT_ACT_SAVE));
    actions.push_back(output_to(2));
    actions.insert(actions.end(), Executor::kMaxSaves, simple(SHUNT_ACT_RESTORE));
    actions.push_back(output_to(3));
    CHECK(f.run(udp(100), actions) == SHUNT_DROP_NONE);
    CHECK(f.sink.sent.size() == 2);
    actions.insert(actions.begin(), simple(SHUNT_ACT_SAVE));
    CHECK(f.run(udp(100), actions) == SHUNT_DROP_TRANSLATION);
    f.check_frames();
  }

  TEST_CASE("a meter counts what was received, behind the last output too, and remarks the drop precedence") {
    Fixture f;
    f.meters[2] = full_meter(SHUNT_BAND_DSCP_REMARK, 1);
    const auto frame = [](std::uint8_t tos) {
      return packet()
          .eth("02:00:00:00:00:01", "02:00:00:00:00:02")
          .ipv4("10.0.0.1", "10.0.0.2")
          .tos(tos)
          .udp(1, 2)
          .payload(100)
          .build();
    };
    CHECK(f.run(frame(0x28), {push_vlan(1), simple(SHUNT_ACT_POP_VLAN), simple(SHUNT_ACT_METER, 2), output_to(2)}) ==
          SHUNT_DROP_NONE);
    CHECK(f.sink.sent[0].bytes == frame(0x30));
    CHECK(f.run(frame(0x28), {output_to(2), simple(SHUNT_ACT_METER, 2)}) == SHUNT_DROP_NONE);
    CHECK(f.sink.sent[1].bytes == frame(0x28));
    CHECK(f.meters[2].packets == 2);
    CHECK(f.meters[2].bytes == 2 * frame(0).size());
    CHECK(f.run(frame(0), {simple(SHUNT_ACT_METER, 9999), output_to(2)}) == SHUNT_DROP_NONE);
    f.check_frames();
  }

  TEST_CASE("the controller gets the packet as it is at that point, wherever that is") {
    Fixture f;
    f.translation.follow_ups.make().controllers = {controller(10), controller(11)};
    const Bytes frame = udp(100);
    CHECK(f.run(frame, {simple(SHUNT_ACT_CONTROLLER, 0), push_vlan(5), output_to(2),
                        simple(SHUNT_ACT_CONTROLLER, 1)}) == SHUNT_DROP_NONE);
    REQUIRE(f.reports.packet_ins.size() == 2);
    CHECK(f.reports.packet_ins[0].id == 10);
    CHECK(f.reports.packet_ins[0].reason == PacketInReason::kAction);
    CHECK(f.reports.packet_ins[0].frame == frame);
    CHECK(f.reports.packet_ins[1].id == 11);
    CHECK(f.reports.packet_ins[1].frame == f.sink.sent[0].bytes);
    CHECK(f.run(frame, {simple(SHUNT_ACT_CONTROLLER, 0)}) == SHUNT_DROP_CONTROLLER);
    CHECK(f.run(frame, {simple(SHUNT_ACT_CONTROLLER, 7), output_to(2)}) == SHUNT_DROP_NONE);
    CHECK(f.reports.packet_ins.size() == 3);
    f.check_frames();
  }

  TEST_CASE("who asked hears of a TTL that runs out, with the packet as it was") {
    Fixture f;
    f.translation.follow_ups.make().ttl_controllers = {{controller(3), controller(4)}};
    const Bytes frame = udp_with_ttl(1);
    CHECK(f.run(frame, {simple(SHUNT_ACT_DEC_TTL), output_to(2)}) == SHUNT_DROP_TTL_EXPIRED);
    REQUIRE(f.reports.packet_ins.size() == 2);
    CHECK(f.reports.packet_ins[1].id == 4);
    CHECK(f.reports.packet_ins[1].reason == PacketInReason::kInvalidTtl);
    CHECK(f.reports.packet_ins[1].frame == frame);
    CHECK(f.run(udp(100), {simple(SHUNT_ACT_DEC_TTL), output_to(2)}) == SHUNT_DROP_NONE);
    CHECK(f.reports.packet_ins.size() == 2);
    f.translation.drop = SHUNT_DROP_RULE;
    const DpActions unsent{simple(SHUNT_ACT_METER, 9999), simple(SHUNT_ACT_DEC_TTL)};
    CHECK(f.run(frame, unsent) == SHUNT_DROP_TTL_EXPIRED);
    CHECK(f.reports.packet_ins.size() == 4);
    CHECK(f.run(udp(100), unsent) == SHUNT_DROP_RULE);
    CHECK(f.reports.packet_ins.size() == 4);
    f.check_frames();
  }

  TEST_CASE("of several decrements the one that finds the TTL used up says who hears of it") {
    Fixture f;
    f.translation.follow_ups.make().ttl_controllers = {
        {controller(3)}, {controller(4), controller(5)}, {controller(6)}};
    DpActions actions;
    for (std::uint16_t i = 0; i < 3; ++i) actions.push_back(simple(SHUNT_ACT_DEC_TTL, i));
    actions.push_back(output_to(2));
    const std::vector<std::vector<std::uint16_t>> wanted{{3}, {4, 5}, {6}, {}};
    for (unsigned ttl = 1; ttl <= 4; ++ttl) {
      CAPTURE(ttl);
      f.reports.packet_ins.clear();
      CHECK(f.run(udp_with_ttl(ttl), actions) == (ttl < 4 ? SHUNT_DROP_TTL_EXPIRED : SHUNT_DROP_NONE));
      std::vector<std::uint16_t> ids;
      for (const auto& packet_in : f.reports.packet_ins) ids.push_back(packet_in.id);
      CHECK(ids == wanted[ttl - 1]);
    }
    f.check_frames();
  }

  TEST_CASE("a packet that the kernel picked is sampled once; others by dice") {
    Fixture f;
    f.translation.follow_ups.make().samples.resize(2);
    f.translation.follow_ups.make().samples[0].obs_point_id = 20;
    f.translation.follow_ups.make().samples[1].obs_point_id = 21;
    shunt_action all = simple(SHUNT_ACT_SAMPLE), seldom = simple(SHUNT_ACT_SAMPLE, 1), half = simple(SHUNT_ACT_SAMPLE);
    half.arg = 0x8000;
    half.value[1] = 1;
    CHECK(f.run(udp(100), {all, output_to(2)}) == SHUNT_DROP_NONE);
    REQUIRE(f.reports.samples.size() == 1);
    CHECK(f.reports.samples[0].id == 20);
    CHECK(f.reports.samples[0].frame == udp(100));
    f.sampled = true;
    CHECK(f.run(udp(100), {seldom, output_to(2)}) == SHUNT_DROP_NONE);
    CHECK(f.reports.samples.size() == 2);
    f.sampled = false;
    f.reports.samples.clear();
    for (int i = 0; i < 20'000; ++i) CHECK(f.run(udp(100), {half}) == SHUNT_DROP_RULE);
    CHECK(f.reports.samples.size() > 9'500);  // seven standard deviations
    CHECK(f.reports.samples.size() < 10'500);
    CHECK(f.reports.samples[0].id == 21);
    f.check_frames();
  }
}
