// SPDX-License-Identifier: Apache-2.0
#include "user/worker/executor.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

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

struct Fixture {
  Fixture() : ports(SHUNT_MAX_PORTS), frames{umem.pool()}, executor{umem, frames, ports}, sink{umem} {
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
    Translation translation;
    translation.actions = std::move(actions);
    translation.drop = drop;
    return executor.run(translation, sink);
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

  Umem umem{256, false};
  std::vector<shunt_port> ports;
  FrameCache frames;
  Executor executor;
  Sink sink;
};

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
}
