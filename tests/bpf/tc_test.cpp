// SPDX-License-Identifier: Apache-2.0
// Ports in mode tcx against XDP: the same frames, under the same flows, once through the XDP program by a test run and
// once over a veth through TC, and the lane where TC leaves them to XDP. Equal bytes come out, and equal counters.
// SHUNT_SEED repeats a run, SHUNT_ROUNDS lengthens it.
#include <doctest/doctest.h>
#include <linux/bpf.h>

#include <array>
#include <bit>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "bpf/datapath/checksum.h"
#include "bpf/datapath/mask.h"
#include "tests/bpf/random_frames.h"
#include "tests/bpf/switch_fixture.h"
#include "tests/bpf/wire.h"
#include "user/ports/lane_device.h"

namespace shunt::test {
namespace {

using namespace std::chrono_literals;

// What a packet socket sends on an interface with an MTU of 1500.
constexpr std::size_t kLongestFrame = 1514;

// Port 1 is in mode tcx; 2 and 3 are where frames go.
struct TcSwitch {
  Switch sw{SHUNT_FEATURE_ALL, 1024};
  LaneDevice lane{sw.instance, 1};
  Wire in, out[2];

  TcSwitch() : in{sw.peer(1)}, out{Wire{sw.peer(2)}, Wire{sw.peer(3)}} {
    sw.datapath.require_tc();
    sw.datapath.attach(lane.exit().index, lane.exit().name, PortMode::kNative);
    sw.datapath.set_lane(lane.entry().index, lane.queues());
    sw.datapath.detach(sw.ifindex(1));
    sw.datapath.attach(sw.ifindex(1), sw.interface(1), PortMode::kTcx);
    const Ifindex members[]{sw.ifindex(2), sw.ifindex(3)};
    REQUIRE(sw.datapath.set_group(1, members) == 0);
  }
  ~TcSwitch() {
    (void)sw.datapath.set_group(1, {});
    sw.datapath.set_lane(Ifindex{0}, 0);
    sw.datapath.detach(lane.exit().index);
  }

  struct Seen {
    shunt_port_stats stats;
    shunt_flow_counters flow;
    shunt_flow_delta delta;
  };
  [[nodiscard]] Seen seen(std::uint32_t slot) const {
    return {sw.datapath.port_stats(DpPort{1}), sw.counted(slot), sw.delta(slot)};
  }
  // The lane's frames come a moment later.
  void wait_for(std::uint64_t packets) const {
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (sw.datapath.port_stats(DpPort{1}).rx_packets < packets && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(100us);
  }
};

// Counters, as a failed check can show them: those that are not 0, by their place.
template <typename Counters>
std::string words_of(const Counters& counters) {
  const auto words = std::bit_cast<std::array<std::uint64_t, sizeof(Counters) / 8>>(counters);
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words[i] != 0) text += fmt::format("[{}] {} ", i, static_cast<std::int64_t>(words[i]));
  return text;
}

std::string text_of(const Bytes& frame) {
  std::string text;
  for (const std::byte byte : frame) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

// At most two tags, and whole ones. The kernel drops a frame that ends within its outer tag before TC sees it, and
// takes none off above half a tag; behind a third tag no flow is made without looking at the packet itself.
bool has_sound_tags(const Bytes& frame) {
  std::size_t at = 12;
  for (unsigned tags = 0; at + 2 <= frame.size(); ++tags, at += 4) {
    const unsigned type = std::to_integer<unsigned>(frame[at]) << 8 | std::to_integer<unsigned>(frame[at + 1]);
    if (type != 0x8100 && type != 0x88a8) return tags == 0 || at + 4 <= frame.size();
    if (tags == 2) return false;
  }
  return false;
}

// A list that TC runs by itself.
std::vector<shunt_action> random_tc_actions(Random& random) {
  static constexpr std::uint8_t kFields[] = {SHUNT_FIELD_ETH_DST,   SHUNT_FIELD_ETH_SRC,    SHUNT_FIELD_VLAN_TCI,
                                             SHUNT_FIELD_IP_SRC,    SHUNT_FIELD_IP_DST,     SHUNT_FIELD_IPV6_SRC0,
                                             SHUNT_FIELD_IPV6_SRC1, SHUNT_FIELD_IPV6_SRC2,  SHUNT_FIELD_IPV6_SRC3,
                                             SHUNT_FIELD_IPV6_DST0, SHUNT_FIELD_IPV6_DST1,  SHUNT_FIELD_IPV6_DST2,
                                             SHUNT_FIELD_IPV6_DST3, SHUNT_FIELD_IPV6_LABEL, SHUNT_FIELD_IP_TOS,
                                             SHUNT_FIELD_IP_TTL,    SHUNT_FIELD_TP_SRC,     SHUNT_FIELD_TP_DST};
  std::vector<shunt_action> actions;
  for (std::size_t i = random() % 6; i > 0; --i) {
    const auto kind = random() % 6;
    if (kind == 0) {
      actions.push_back(push_vlan(random() % 2 ? 0x8100 : 0x88a8, static_cast<std::uint16_t>(random())));
    } else if (kind == 1) {
      actions.push_back(simple_action(SHUNT_ACT_POP_VLAN));
    } else if (kind == 2) {
      actions.push_back(simple_action(SHUNT_ACT_DEC_TTL));
    } else {
      shunt_action action = simple_action(SHUNT_ACT_SET_FIELD);
      action.field = kFields[random() % std::size(kFields)];
      for (int at = 0; at < 6; ++at) {
        action.mask[at] = random() % 2 ? 0xff : static_cast<std::uint8_t>(random());
        action.value[at] = static_cast<std::uint8_t>(random() & action.mask[at]);
      }
      actions.push_back(action);
    }
  }
  const auto end = random() % 8;
  actions.push_back(end == 0 ? drop_for(SHUNT_DROP_RULE) : end < 3 ? group_output(1) : output_to(2 + random() % 2));
  return actions;
}

// A frame as a stack may send it.
struct Sent {
  Bytes frame;
  std::optional<OpenChecksum> open;
};

// Leaves the checksum of TCP or UDP to the card, as a local stack does; not one that is wrong, or is none.
Sent with_open_checksum(Bytes frame) {
  shunt_frame user{reinterpret_cast<std::uint8_t*>(frame.data()), static_cast<std::uint32_t>(frame.size()), 0, 0};
  shunt_flow_key key;
  shunt_headers headers;
  if (shunt_parse(&user, user.len, 1, SHUNT_FEATURE_ALL, &key, &headers) != SHUNT_DROP_NONE) return {frame, {}};
  if (headers.l4 == 0 || (headers.flags & SHUNT_HEADERS_FRAG) || headers.l3_end != frame.size()) return {frame, {}};
  if (headers.proto != SHUNT_IP_PROTO_TCP && headers.proto != SHUNT_IP_PROTO_UDP) return {frame, {}};
  const auto offset = static_cast<std::uint16_t>(shunt_checksum_offset(headers.proto));
  std::uint8_t* field = user.data + headers.l4 + offset;
  const std::uint32_t len = headers.l3_end - headers.l4;
  const auto pseudo = static_cast<std::uint16_t>(shunt_pseudo_sum(&user, &headers, len));
  const std::uint16_t checksum = shunt_load16(field);
  std::uint32_t sum = 0;
  if (checksum == 0 || checksum == 0xffff || shunt_frame_sum(&user, headers.l4, len, &sum) < 0) return {frame, {}};
  if (shunt_sum_fold(sum + pseudo) != 0xffff) return {frame, {}};
  shunt_store16(field, pseudo);
  return {frame, OpenChecksum{headers.l4, offset}};
}

// Two packets each way, to XDP the frame and to TC what a stack sends of it; the second may be the exact-match cache's.
void compare(TcSwitch& tc, const Bytes& frame, const Sent& sent, std::uint32_t slot,
             const std::vector<shunt_action>& actions, std::uint32_t fields) {
  constexpr int kPackets = 2;
  tc.sw.use_microflows(1, fields);
  Result expected;
  for (int i = 0; i < kPackets; ++i) expected = tc.sw.run(frame);
  const TcSwitch::Seen by_xdp = tc.seen(slot);
  tc.sw.forget_counts(1, slot);
  tc.sw.use_microflows(1, fields);
  for (int i = 0; i < kPackets; ++i) {
    tc.in.send(sent.frame, sent.open);
    tc.wait_for(static_cast<std::uint64_t>(i) + 1);
  }
  const shunt_action& last = actions.back();
  for (unsigned port = 2; port <= 3; ++port) {
    const bool goes_there = expected.verdict == XDP_REDIRECT && (last.type == SHUNT_ACT_OUTPUT_GROUP ||
                                                                 (last.type == SHUNT_ACT_OUTPUT && last.arg == port));
    CAPTURE(port);
    for (int i = 0; goes_there && i < kPackets; ++i) {
      const auto got = tc.out[port - 2].receive(2s);
      CHECK(text_of(got.value_or(Bytes{})) == text_of(expected.frame));
    }
    CHECK(!tc.out[port - 2].receive(0ms));
  }
  const TcSwitch::Seen by_tc = tc.seen(slot);
  CHECK(words_of(by_tc.stats) == words_of(by_xdp.stats));
  CHECK(words_of(by_tc.flow) == words_of(by_xdp.flow));
  CHECK(words_of(by_tc.delta) == words_of(by_xdp.delta));
}

}  // namespace

TEST_SUITE("tc" * doctest::skip(!has_tcx())) {
  TEST_CASE("bridged packets end alike by TC and by XDP") {
    TcSwitch tc;
    for_rounds(400, [&](Random& random) {
      const bool tagged = random() % 2 == 0;
      auto builder = packet().eth("02:00:00:00:00:0a", "02:00:00:00:00:0b");
      if (tagged) builder.vlan(7);
      const Bytes frame = builder.ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(random() % 60).build();
      const std::uint8_t a[] = {2, 0, 0, 0, 0, 0x0a}, b[] = {2, 0, 0, 0, 0, 0x0b};
      const auto flags = static_cast<std::uint16_t>(random() % 2 == 0 ? SHUNT_FDB_TAGGED : SHUNT_FDB_UNTAGGED);
      const auto to = static_cast<std::uint16_t>(1 + random() % 3);
      const auto prepare = [&] {
        tc.sw.reset();
        tc.sw.datapath.ports[1].flags = SHUNT_PORT_TC;
        tc.sw.set_mac(3, a, 1, flags);
        tc.sw.set_mac(3, b, to, flags);
        // What the entries do not say.
        const shunt_action otherwise = drop_for(SHUNT_DROP_RULE);
        const auto slot = tc.sw.publish_bridged(1, frame, 3);
        (void)tc.sw.publish(tc.sw.whole_key(frame), exact_mask(), std::span{&otherwise, 1});
        tc.sw.use_microflows(1, random() % 2 == 0 ? SHUNT_PLAIN_L2 | SHUNT_PLAIN_BRIDGE : 0);
        return slot;
      };
      constexpr unsigned kPackets = 2;
      auto slot = prepare();
      Result expected;
      for (unsigned i = 0; i < kPackets; ++i) expected = tc.sw.run(frame);
      const bool answered = to != 1 && flags == (tagged ? SHUNT_FDB_TAGGED : SHUNT_FDB_UNTAGGED);
      REQUIRE((expected.verdict == XDP_REDIRECT) == answered);
      const TcSwitch::Seen by_xdp = tc.seen(slot);
      const auto sent_by_xdp = tc.sw.datapath.port_stats(DpPort{to}).bridged_bytes;
      CHECK((sent_by_xdp != 0) == answered);

      slot = prepare();
      for (unsigned i = 0; i < kPackets; ++i) {
        tc.in.send(frame);
        tc.wait_for(i + 1);
        if (!answered) continue;
        const auto got = tc.out[to - 2].receive(2s);
        CHECK(text_of(got.value_or(Bytes{})) == text_of(expected.frame));
      }
      CHECK(tc.sw.datapath.port_stats(DpPort{to}).bridged_bytes == sent_by_xdp);
      CHECK(tc.sw.datapath.port_stats(DpPort{to}).bridged_packets == (answered ? kPackets : 0));
      CHECK(words_of(tc.seen(slot).flow) == words_of(by_xdp.flow));
      CHECK(words_of(tc.seen(slot).delta) == words_of(by_xdp.delta));
      CHECK(tc.seen(slot).stats.rx_bytes == by_xdp.stats.rx_bytes);
    });
  }

  TEST_CASE(
      "random frames end alike by TC and by XDP, under flows that TC runs and under those that it leaves to XDP") {
    TcSwitch tc;
    for_rounds(1500, [&](Random& random) {
      const Bytes frame = random_frame(random);
      const bool by_tc = random() % 3 != 0;
      auto actions = by_tc ? random_tc_actions(random) : random_actions(random);
      if (actions.empty()) actions.push_back(drop_for(SHUNT_DROP_RULE));
      // How long a flood's frame may be each port decides, behind the program.
      const std::size_t longest = actions.back().type == SHUNT_ACT_OUTPUT_GROUP ? kLongestFrame - 100 : kLongestFrame;
      if (frame.size() > longest || !has_sound_tags(frame)) return;
      tc.sw.reset();
      tc.sw.datapath.ports[1].flags = SHUNT_PORT_EXACT | SHUNT_PORT_TC;
      const bool exact = random() % 2 == 0;
      const auto slot = tc.sw.publish(tc.sw.whole_key(frame), exact ? exact_mask() : port_mask(), actions,
                                      by_tc ? SHUNT_FLOW_TC | SHUNT_FLOW_EDITS : 0);
      shunt_flow_head& head = tc.sw.datapath.flows[slot].head;
      if (by_tc && (head.flags & SHUNT_FLOW_SINGLE_OUTPUT) == 0) head.flags |= SHUNT_FLOW_LIST;
      if (exact) head.fields = SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3 | SHUNT_PLAIN_NOT_IP;  // there is but this frame
      const auto fields =
          static_cast<std::uint32_t>(random()) & (SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3 | SHUNT_PLAIN_NOT_IP);
      compare(tc, frame, random() % 2 == 0 ? with_open_checksum(frame) : Sent{frame, {}}, slot, actions,
              random() % 2 ? fields : 0);
    });
  }

  TEST_CASE("TC adjusts a tunnel's checksum, which is complete, where that of the packet inside is open") {
    TcSwitch tc;
    const auto tunnel = [](PacketBuilder inner) {
      const Bytes bytes = inner.payload(33).build();
      std::string payload(8, '\0');  // VXLAN's header
      for (const std::byte byte : bytes) payload += std::to_integer<char>(byte);
      return packet()
          .eth("02:00:00:00:00:0a", "02:00:00:00:00:0b")
          .ipv4("10.0.0.1", "10.0.0.2")
          .udp(9, 4789)
          .payload(payload);
    };
    const auto inner = [] {
      return packet().eth("02:00:00:00:00:01", "02:00:00:00:00:02").ipv4("10.1.0.1", "10.1.0.2").tcp(5, 6);
    };
    const Bytes frame = tunnel(inner()).build();
    const Bytes opened = tunnel(inner().partial_checksum()).build();
    constexpr std::uint16_t kUdp = 14 + 20, kInnerTcp = kUdp + 8 + 8 + 14 + 20;
    // Once the card has completed the inner one, the outer one is that of the complete packet.
    Sent sent{opened, OpenChecksum{kInnerTcp, 16}};
    std::copy_n(frame.begin() + kUdp, 8, sent.frame.begin() + kUdp);
    REQUIRE(sent.frame != frame);
    const std::uint8_t address[]{192, 168, 3, 4}, port[]{7, 7}, all[]{0xff, 0xff, 0xff, 0xff};
    const std::vector<shunt_action> actions{set_field(SHUNT_FIELD_IP_DST, address, all),
                                            set_field(SHUNT_FIELD_TP_SRC, port, std::span{all}.first(2)), output_to(2)};
    tc.sw.reset();
    tc.sw.datapath.ports[1].flags = SHUNT_PORT_EXACT | SHUNT_PORT_TC;
    const auto slot = tc.sw.publish(tc.sw.whole_key(frame), exact_mask(), actions, SHUNT_FLOW_TC | SHUNT_FLOW_EDITS);
    compare(tc, frame, sent, slot, actions, 0);
  }

  TEST_CASE("an edit by TC makes no checksum of UDP 0, which would say that there is none") {
    TcSwitch tc;
    const Bytes frame = packet()
                            .eth("02:00:00:00:00:0a", "02:00:00:00:00:0b")
                            .ipv4("10.0.0.1", "10.0.0.2")
                            .udp(1, 2)
                            .payload(9)
                            .build();
    const auto at = [&](std::size_t i) {
      return std::to_integer<unsigned>(frame[i]) << 8 | std::to_integer<unsigned>(frame[i + 1]);
    };
    constexpr std::size_t kUdp = 14 + 20;
    const unsigned port = at(kUdp + 2) + at(kUdp + 6);  // the checksum becomes less by what the port becomes more
    REQUIRE(port <= 0xffff);
    const std::uint8_t value[]{static_cast<std::uint8_t>(port >> 8), static_cast<std::uint8_t>(port)},
        all[]{0xff, 0xff};
    const std::vector<shunt_action> actions{set_field(SHUNT_FIELD_TP_DST, value, all), output_to(2)};
    for (const Sent& sent : {Sent{frame, {}}, with_open_checksum(frame)}) {
      tc.sw.reset();
      tc.sw.datapath.ports[1].flags = SHUNT_PORT_EXACT | SHUNT_PORT_TC;
      const auto slot = tc.sw.publish(tc.sw.whole_key(frame), exact_mask(), actions, SHUNT_FLOW_TC | SHUNT_FLOW_EDITS);
      const Result expected = tc.sw.run(frame);
      REQUIRE(text_of(expected.frame).substr(2 * (kUdp + 6), 4) == "ffff");
      tc.sw.forget_counts(1, slot);
      compare(tc, frame, sent, slot, actions, 0);
    }
  }
}

}  // namespace shunt::test
