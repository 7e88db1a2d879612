// SPDX-License-Identifier: Apache-2.0
// Tags, labels, service tags and TTLs, end to end: a frame's key is translated, the datapath's code runs the actions
// over the frame, and what it made of it is compared: with the frame wanted, and its key with what translation thinks.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <random>

#include "bpf/datapath/act.h"
#include "tests/support/packet_builder.h"
#include "tests/support/pipeline_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr __u32 kHeadroom = 512;
const Mac kSrc{"12:11:11:11:11:11"}, kDst{"22:22:22:22:22:22"};

struct Parsed {
  std::vector<__u8> buffer;
  shunt_frame frame{};
  shunt_headers headers{};
  FlowKey key{};

  explicit Parsed(const Bytes& bytes) : buffer(kHeadroom + bytes.size() + SHUNT_MIN_FRAME) {
    std::memcpy(buffer.data() + kHeadroom, bytes.data(), bytes.size());
    frame = {buffer.data() + kHeadroom, static_cast<__u32>(bytes.size()), kHeadroom, SHUNT_MIN_FRAME};
    REQUIRE(shunt_parse(&frame, frame.len, 101, SHUNT_FEATURE_ALL, &key, &headers) == SHUNT_DROP_NONE);
  }
  Parsed(const Parsed&) = delete;
  [[nodiscard]] Bytes bytes() const {
    const auto* begin = reinterpret_cast<const std::byte*>(frame.data);
    return {begin, begin + frame.len};
  }
};

FlowKey key_of(const Bytes& frame) { return Parsed{frame}.key; }
PacketView view_of(const Bytes& frame) {
  return {{reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size()},
          static_cast<std::uint32_t>(frame.size())};
}

Bytes executed(const DpActions& actions, const Bytes& frame) {
  Parsed now{frame};
  for (const shunt_action& action : actions)
    REQUIRE(shunt_act(&now.frame, &now.headers, &action) == SHUNT_VERDICT_NEXT);
  return now.bytes();
}

// The working key at each `note`.
struct NoteObserver final : TranslationObserver {
  std::vector<PipelineKey> keys;
  void entered_table(std::uint8_t, const PipelineKey&, const Rule*, unsigned) override {}
  void before_action(const Action& action, const PipelineKey& key, unsigned) override {
    if (std::holds_alternative<NoteAction>(action)) keys.push_back(key);
  }
  void entered_group(const Group&, const Bucket*, unsigned) override {}
  void note(std::string, unsigned) override {}
};

ActionList then_output(ActionList actions) {
  actions.emplace_back(NoteAction{});
  actions.emplace_back(to_port(2));
  return actions;
}

// Without the metadata that no frame says.
FlowKey of_frame(FlowKey key) {
  key.in_port = key.dp_hash = 0;
  return key;
}

struct EndToEnd {
  Translation result;
  FlowKey thought{};  // what translation says that the packet is
  FlowKey made{};     // what it is
  Bytes frame;        // sent
};

EndToEnd run(HandmadeBridge& sw, const Bytes& frame, const FlowKey& key) {
  EndToEnd outcome;
  NoteObserver observer;
  const PacketView view = view_of(frame);
  outcome.result = translate(sw.state(), key, &view, &observer);
  if (!observer.keys.empty()) outcome.thought = of_frame(observer.keys.back());
  outcome.frame = executed(outcome.result.actions, frame);
  outcome.made = of_frame(key_of(outcome.frame));
  return outcome;
}

EndToEnd run(const Bytes& frame, const ActionList& actions) {
  HandmadeBridge sw{3};
  sw.rule(0, 1, {}, then_output(actions));
  return run(sw, frame, key_of(frame));
}

std::string hex_of(const Bytes& frame) { return hex(reinterpret_cast<const __u8*>(frame.data()), frame.size()); }
std::string hex_of(const FlowKey& key) { return hex(reinterpret_cast<const __u8*>(&key), sizeof key); }

// What the actions make of a frame. That no packet is needed for it: a flow serves all of its packets.
Bytes made_of(const Bytes& frame, const ActionList& actions) {
  HandmadeBridge sw{3};
  sw.rule(0, 1, {}, then_output(actions));
  const Translation result = sw.run(key_of(frame));
  CHECK_FALSE(result.needs_packet);
  CHECK(result.drop == SHUNT_DROP_NONE);
  const EndToEnd with_packet = run(frame, actions);
  CHECK(hex_of(with_packet.thought) == hex_of(with_packet.made));
  CHECK(text(with_packet.result) == text(result));
  return executed(result.actions, frame);
}

// Two-step pipelines of the tests: `first`, then table 1, which holds `match` -> `second`.
struct TwoTables {
  HandmadeBridge sw{3};
  TwoTables(ActionList first, const Match& match, ActionList second) {
    first.emplace_back(GotoTableAction{1});
    sw.rule(0, 1, {}, std::move(first));
    sw.rule(1, 1, match, then_output(std::move(second)));
  }
};

Match ethertype(std::uint16_t type) { return match_on(FieldId::kEthType, type); }

PacketBuilder ethernet() { return packet().eth(kSrc, kDst); }
// What OS-Ken's test frames carry: IPv4 or IPv6 with TCP, or ARP.
enum class Payload { kIpv4, kIpv6, kArp };
PacketBuilder with_payload(PacketBuilder builder, Payload payload, std::uint8_t ttl = 64) {
  if (payload == Payload::kArp) return builder.arp_request();
  if (payload == Payload::kIpv6)
    return builder.ipv6("10::10", "20::20").label(100).tos(32).ttl(ttl).tcp(11111, 2222).payload(32);
  return builder.ipv4("192.168.10.10", "192.168.20.20").tos(32).ttl(ttl).tcp(11111, 2222).payload(32);
}
constexpr std::array kPayloads{Payload::kIpv4, Payload::kIpv6, Payload::kArp};
std::uint16_t type_of(Payload payload) {
  return payload == Payload::kIpv4 ? 0x0800 : payload == Payload::kIpv6 ? 0x86dd : 0x0806;
}

bool is_mpls(const FlowKey& key) { return holds(Prerequisite::kMpls, key); }
// Of what lies below a frame's only label: by its first bits, or by ARP's.
std::uint16_t type_below(const Bytes& frame) {
  const Parsed parsed{frame};
  const auto first = static_cast<unsigned>(frame[parsed.headers.l3 + 4u]);
  return first == 0 ? 0x0806 : first >> 4 == 4 ? 0x0800 : first >> 4 == 6 ? 0x86dd : 0x88b5;
}

Bytes service_tagged(std::uint32_t tag, const Bytes& inner) {
  Bytes frame = packet().eth(kSrc, kDst).eth_type(0x88e7).build();
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<std::byte>(tag >> shift));
  frame.insert(frame.end(), inner.begin(), inner.end());
  return frame;
}

}  // namespace

TEST_SUITE("translate: headers") {
  // The expectations of OS-Ken's OpenFlow 1.3 conformance tests (of13/action).
  TEST_CASE("push and pop VLAN tags") {
    for (const Payload payload : kPayloads) {
      const Bytes plain = with_payload(ethernet(), payload).build();
      const Bytes one = with_payload(ethernet().vlan(100, 0x8100, 3), payload).build();
      CHECK(made_of(plain, {PushVlanAction{0x8100}}) == with_payload(ethernet().vlan(0), payload).build());
      CHECK(made_of(one, {PushVlanAction{0x88a8}}) ==
            with_payload(ethernet().vlan(100, 0x88a8, 3).vlan(100, 0x8100, 3), payload).build());
      CHECK(made_of(one, {PopVlanAction{}}) == plain);
      CHECK(made_of(plain, {PopVlanAction{}}) == plain);
      CHECK(made_of(plain, {PushVlanAction{0x8100}, set_field(FieldId::kVlanVid, 7), PopVlanAction{}}) == plain);
    }
  }

  TEST_CASE("push MPLS: label, traffic class and TTL from the label that is there, else the TTL of IP") {
    for (const Payload payload : kPayloads) {
      const std::uint8_t ttl = payload == Payload::kArp ? 0 : 64;
      const Bytes plain = with_payload(ethernet(), payload).build();
      const Bytes one = with_payload(ethernet().mpls(100, 3), payload).build();
      CHECK(made_of(plain, {PushMplsAction{0x8847}}) == with_payload(ethernet().mpls(0, 0, ttl), payload).build());
      CHECK(made_of(one, {PushMplsAction{0x8847}}) ==
            with_payload(ethernet().mpls(100, 3).mpls(100, 3), payload).build());
      CHECK(made_of(one, {PushMplsAction{0x8847}, PushMplsAction{0x8847}, set_field(FieldId::kMplsLabel, 9)}) ==
            with_payload(ethernet().mpls(9, 3).mpls(100, 3).mpls(100, 3), payload).build());
    }
  }

  TEST_CASE("pop MPLS") {
    for (const Payload payload : kPayloads) {
      const Bytes plain = with_payload(ethernet(), payload).build();
      CHECK(made_of(with_payload(ethernet().mpls(100, 3), payload).build(), {PopMplsAction{type_of(payload)}}) ==
            plain);
      CHECK(made_of(with_payload(ethernet().mpls(1).mpls(2), payload).build(),
                    {PopMplsAction{0x8847}, PopMplsAction{type_of(payload)}}) == plain);
      CHECK(made_of(plain, {PopMplsAction{0x0800}}) == plain);
      CHECK(made_of(plain, {PushMplsAction{0x8847}, PopMplsAction{type_of(payload)}}) == plain);
      CHECK(made_of(plain, {PushMplsAction{0x8847}, set_field(FieldId::kMplsLabel, 5), PushMplsAction{0x8848},
                            PopMplsAction{0x8847}, PopMplsAction{type_of(payload)}}) == plain);
    }
  }

  TEST_CASE("label, traffic class and TTL of a label") {
    for (const Payload payload : kPayloads) {
      const Bytes frame = with_payload(ethernet().mpls(100, 3, 64), payload).build();
      CHECK(made_of(frame, {set_field(FieldId::kMplsLabel, 203)}) ==
            with_payload(ethernet().mpls(203, 3, 64), payload).build());
      CHECK(made_of(frame, {set_field(FieldId::kMplsTc, 5)}) ==
            with_payload(ethernet().mpls(100, 5, 64), payload).build());
      CHECK(made_of(frame, {SetMplsTtlAction{127}}) == with_payload(ethernet().mpls(100, 3, 127), payload).build());
      CHECK(made_of(frame, {DecMplsTtlAction{}}) == with_payload(ethernet().mpls(100, 3, 63), payload).build());
    }
  }

  // It was once read-only.
  TEST_CASE("the bottom-of-stack bit is written, and says what lies below") {
    for (const Payload payload : kPayloads) {
      const Bytes frame = with_payload(ethernet().mpls(100, 3, 64), payload).build();
      Bytes open = frame;
      open[16] &= std::byte{0xfe};
      CHECK(made_of(frame, {set_field(FieldId::kMplsBos, 0)}) == open);
      CHECK(made_of(open, {set_field(FieldId::kMplsBos, 1)}) == frame);
      CHECK(made_of(open, {set_field(FieldId::kMplsTtl, 64), set_field(FieldId::kMplsBos, 1)}) == frame);
      CHECK(made_of(frame, {set_field(FieldId::kMplsBos, 1)}) == frame);
    }
    const Bytes two = with_payload(ethernet().mpls(1).mpls(2), Payload::kIpv4).build();
    const Match second = ethertype(0x8847) && match_on(FieldId::kMplsBos, 0);
    // Of a label that was the last one, only the packet says which one is below. Of one that is the last, all know.
    TwoTables found{{set_field(FieldId::kMplsBos, 1), set_field(FieldId::kMplsBos, 0)},
                    second && match_on(FieldId::kMplsLse1, 2u << 12, 0xfffff000),
                    {}};
    CHECK(found.sw.run(key_of(two)).needs_packet);
    EndToEnd outcome = run(found.sw, two, key_of(two));
    CHECK(outcome.result.drop == SHUNT_DROP_NONE);
    CHECK(outcome.frame == two);
    TwoTables last{{set_field(FieldId::kMplsBos, 1)}, ethertype(0x8847) && match_on(FieldId::kMplsBos, 1), {}};
    const Translation served = last.sw.run(key_of(two));
    CHECK(served.drop == SHUNT_DROP_NONE);
    CHECK_FALSE(served.needs_packet);
    CHECK(served.mask.mpls_lse[0] == be32{0x100});
    CHECK(served.mask.mpls_lse[1] == be32{0});
    // What an edit had made of the label below is what the pop finds.
    TwoTables popped{
        {SetMplsTtlAction{9}, PushMplsAction{0x8847}, set_field(FieldId::kMplsBos, 1), PopMplsAction{0x8847}},
        ethertype(0x8847) && match_on(FieldId::kMplsTtl, 9),
        {}};
    outcome = run(popped.sw, two, key_of(two));
    CHECK(outcome.result.drop == SHUNT_DROP_NONE);
    CHECK(hex_of(outcome.thought) == hex_of(outcome.made));
  }

  TEST_CASE("TTLs are copied outwards and inwards") {
    for (const Payload payload : {Payload::kIpv4, Payload::kIpv6}) {
      const Bytes frame = with_payload(ethernet().mpls(100, 3, 64), payload, 32).build();
      CHECK(made_of(frame, {CopyTtlOutAction{}}) == with_payload(ethernet().mpls(100, 3, 32), payload, 32).build());
      CHECK(made_of(frame, {CopyTtlInAction{}}) == with_payload(ethernet().mpls(100, 3, 64), payload, 64).build());
      CHECK(made_of(frame, {CopyTtlInAction{}, PopMplsAction{type_of(payload)}, DecTtlAction{}}) ==
            with_payload(ethernet(), payload, 63).build());
      CHECK(made_of(frame, {DecMplsTtlAction{}, PushMplsAction{0x8847}, DecMplsTtlAction{}, CopyTtlInAction{}}) ==
            with_payload(ethernet().mpls(100, 3, 62).mpls(100, 3, 62), payload, 32).build());
      CHECK(made_of(with_payload(ethernet(), payload, 32).build(),
                    {PushMplsAction{0x8847}, SetMplsTtlAction{9}, CopyTtlInAction{},
                     PopMplsAction{type_of(payload)}}) == with_payload(ethernet(), payload, 9).build());
    }
  }

  TEST_CASE("push and pop service tags") {
    for (const Payload payload : kPayloads) {
      const Bytes plain = with_payload(ethernet(), payload).build();
      const Bytes tags = with_payload(ethernet().vlan(10, 0x88a8, 5).vlan(100, 0x8100, 3), payload).build();
      CHECK(made_of(plain, {PushPbbAction{}}) == service_tagged(0, plain));
      CHECK(made_of(plain, {PushPbbAction{}, PushPbbAction{}}) == service_tagged(0, service_tagged(0, plain)));
      CHECK(made_of(tags, {PushPbbAction{}, set_field(FieldId::kPbbIsid, 100)}) == service_tagged(0xa0000064, tags));
      CHECK(made_of(service_tagged(77, plain), {PushPbbAction{}}) == service_tagged(77, service_tagged(77, plain)));
      CHECK(made_of(service_tagged(100, tags), {PopPbbAction{}}) == tags);
      CHECK(made_of(tags, {PushPbbAction{}, set_field(FieldId::kEthDst, 0xaabbccddee00), PopPbbAction{}}) == tags);
      CHECK(made_of(service_tagged(100, tags), {set_field(FieldId::kPbbIsid, 203)}) == service_tagged(203, tags));
      CHECK(made_of(plain, {PopPbbAction{}}) == plain);
    }
  }

  TEST_CASE("what a pop brought to light is looked at with the packet, and only with it") {
    for (const Payload payload : {Payload::kIpv4, Payload::kIpv6}) {
      const std::uint16_t type = type_of(payload);
      const Bytes plain = with_payload(ethernet(), payload).build();
      const Bytes lower = with_payload(ethernet(), payload, 63).build();
      struct Case {
        Bytes frame;
        Action pop;
      };
      for (const Case& each : {Case{with_payload(ethernet().mpls(100, 3), payload).build(), PopMplsAction{type}},
                               Case{service_tagged(100, plain), PopPbbAction{}}}) {
        TwoTables sw{{each.pop},
                     ethertype(type) && match_on(FieldId::kTcpDst, 2222) && match_on(FieldId::kNwProto, 6),
                     {DecTtlAction{}}};
        const Translation without_packet = sw.sw.run(key_of(each.frame));
        CHECK(without_packet.needs_packet);
        CHECK(without_packet.actions.empty());
        const EndToEnd outcome = run(sw.sw, each.frame, key_of(each.frame));
        CHECK(outcome.result.needs_packet);
        CHECK(hex_of(outcome.frame) == hex_of(lower));
        CHECK(hex_of(outcome.thought) == hex_of(outcome.made));
      }
      // After a label the EtherType is the pop's own: a table that looks at no more needs no packet.
      TwoTables by_type{{PopMplsAction{type}}, ethertype(type), {DecTtlAction{}}};
      const Bytes frame = with_payload(ethernet().mpls(100, 3), payload).build();
      const Translation result = by_type.sw.run(key_of(frame));
      CHECK_FALSE(result.needs_packet);
      CHECK(hex_of(executed(result.actions, frame)) == hex_of(lower));
    }
  }

  TEST_CASE("a third tag: popping one needs no packet, looking at what comes to light does") {
    const Bytes frame = with_payload(ethernet().vlan(1).vlan(2).vlan(3), Payload::kIpv4).build();
    const Bytes bare = with_payload(ethernet(), Payload::kIpv4).build();
    CHECK(made_of(frame, {PopVlanAction{}}) == with_payload(ethernet().vlan(2).vlan(3), Payload::kIpv4).build());
    CHECK(made_of(frame, {PopVlanAction{}, PopVlanAction{}}) ==
          with_payload(ethernet().vlan(3), Payload::kIpv4).build());
    const EndToEnd all = run(frame, {PopVlanAction{}, PopVlanAction{}, PopVlanAction{}, DecTtlAction{}});
    CHECK(all.result.needs_packet);
    CHECK(hex_of(all.frame) == hex_of(with_payload(ethernet(), Payload::kIpv4, 63).build()));
    CHECK(hex_of(all.thought) == hex_of(all.made));

    TwoTables inner{{PopVlanAction{}}, match_on(FieldId::kVlanTci1, SHUNT_VLAN_PRESENT | 3, 0x1fff), {}};
    CHECK(inner.sw.run(key_of(frame)).needs_packet);
    CHECK(run(inner.sw, frame, key_of(frame)).result.drop == SHUNT_DROP_NONE);
    // Two tags: none behind them, which the EtherType says.
    const Bytes two = with_payload(ethernet().vlan(1).vlan(2), Payload::kIpv4).build();
    const Translation none = inner.sw.run(key_of(two));
    CHECK_FALSE(none.needs_packet);
    CHECK(none.drop == SHUNT_DROP_TABLE_MISS);
    CHECK(none.mask.eth_type == be16{0xffff});
  }

  TEST_CASE("a tag or label that a push moved out of the key comes back with the pop") {
    const Bytes tags = with_payload(ethernet().vlan(1).vlan(2), Payload::kIpv4).build();
    TwoTables sw{{PushVlanAction{0x8100}, set_field(FieldId::kVlanVid, 9), PushVlanAction{0x8100}, PopVlanAction{},
                  PopVlanAction{}},
                 match_on(FieldId::kVlanTci1, SHUNT_VLAN_PRESENT | 2, 0x1fff),
                 {}};
    CHECK(run(sw.sw, tags, key_of(tags)).frame == tags);

    const Bytes labels = with_payload(ethernet().mpls(1).mpls(2).mpls(3).mpls(4), Payload::kIpv4).build();
    TwoTables three{{PushMplsAction{0x8847}, PopMplsAction{0x8847}},
                    ethertype(0x8847) && match_on(FieldId::kMplsLse2, 3u << 12, 0xfffff000),
                    {}};
    const Translation result = three.sw.run(key_of(labels));
    CHECK_FALSE(result.needs_packet);
    CHECK(executed(result.actions, labels) == labels);
    // The fourth is in no key.
    TwoTables fourth{
        {PopMplsAction{0x8847}}, ethertype(0x8847) && match_on(FieldId::kMplsLse2, 4u << 12, 0xfffff000), {}};
    CHECK(fourth.sw.run(key_of(labels)).needs_packet);
    const EndToEnd outcome = run(fourth.sw, labels, key_of(labels));
    CHECK(outcome.result.drop == SHUNT_DROP_NONE);
    CHECK(hex_of(outcome.thought) == hex_of(outcome.made));
  }

  TEST_CASE("edits behind a pop are the packet's no more") {
    const Bytes frame = with_payload(ethernet().mpls(100), Payload::kIpv4).build();
    TwoTables sw{{PopMplsAction{0x0800}, set_field(FieldId::kIpDst, 0x0a000009)},
                 ethertype(0x0800) && match_on(FieldId::kIpDst, 0x0a000009),
                 {}};
    const Translation result = sw.sw.run(key_of(frame));
    CHECK_FALSE(result.needs_packet);
    CHECK(result.drop == SHUNT_DROP_NONE);
  }

  // Those of all decrements of a flow once heard of each.
  TEST_CASE("of a TTL that runs out hear those whom that decrement names") {
    HandmadeBridge sw{3};
    const Rule& rule = sw.rule(0, 1, {}, {DecTtlAction{{5, 6}}, DecTtlAction{{6}}, DecTtlAction{}, to_port(2)});
    const Translation result = sw.run(tcp_key());
    const std::vector<std::vector<std::uint16_t>> wanted{{5, 6}, {6}, {0}};
    REQUIRE(result.follow_ups->ttl_controllers.size() == wanted.size());
    REQUIRE(result.actions.size() == wanted.size() + 1);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      CAPTURE(i);
      CHECK(result.actions[i].type == SHUNT_ACT_DEC_TTL);
      CHECK(result.actions[i].arg == i);
      std::vector<std::uint16_t> ids;
      for (const Translation::Controller& controller : result.follow_ups->ttl_controllers[i]) {
        ids.push_back(controller.action.controller_id);
        CHECK(controller.action.reason == PacketInReason::kInvalidTtl);
        CHECK(controller.rule.get() == &rule);
      }
      CHECK(ids == wanted[i]);
    }
    CHECK(result.mask.nw_ttl == 0);
  }

  TEST_CASE("what a pushed label is made of is un-wildcarded, and no more") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, {}, {PushMplsAction{0x8847}, to_port(2)});
    const FlowMask over_ip = sw.run(tcp_key()).mask;
    CHECK(over_ip.nw_ttl == 0xff);
    CHECK(over_ip.nw_tos == 0);
    CHECK(over_ip.eth_type == be16{0xffff});
    FlowKey labelled = eth_key();
    labelled.eth_type = be16{0x8847};
    labelled.mpls_lse[0] = be32{0x12345140};
    const FlowMask over_label = sw.run(labelled).mask;
    CHECK(over_label.mpls_lse[0] == be32{0xffffffff});
    CHECK(over_label.mpls_lse[1] == be32{0});

    HandmadeBridge pop{3};
    pop.rule(0, 1, {}, {PopMplsAction{0x0800}, DecTtlAction{}, to_port(2)});
    CHECK(pop.run(labelled).mask.mpls_lse[0] == be32{0});
  }

  TEST_CASE("whatever the order: what translation thinks of the packet is what the datapath made of it") {
    std::mt19937 random{7};
    const auto below = [&](unsigned bound) { return static_cast<unsigned>(random() % bound); };
    unsigned without_packet = 0, edits = 0;
    for (unsigned round = 0; round < 6'000; ++round) {
      CAPTURE(round);
      PacketBuilder builder = ethernet();
      for (unsigned tags = below(5); tags > 0; --tags) builder.vlan(static_cast<std::uint16_t>(tags), 0x8100, 3);
      for (unsigned labels = below(2) * below(6); labels > 0; --labels)
        builder.mpls(1000 + labels, 0, static_cast<std::uint8_t>(100 + labels));
      Bytes frame = with_payload(builder, kPayloads[below(3)], 50).build();
      for (unsigned outer = below(3) / 2; outer > 0; --outer) frame = service_tagged(below(100), frame);

      // Each action is chosen by what is there when it runs.
      ActionList actions;
      Bytes now = frame;
      unsigned service_tags = 0;
      std::vector<std::uint16_t> types_below;  // labels that were pushed: the types that they are in front of
      for (unsigned count = 1 + below(7); count > 0; --count) {
        const FlowKey key = key_of(now);
        const bool two_tags = (key.vlan[1].tci.host() & SHUNT_VLAN_PRESENT) != 0;
        const bool bottom = (key.mpls_lse[0].host() & 0x100) != 0;
        std::optional<Action> action;
        switch (below(15)) {
          case 0:
            if (!two_tags) action = PushVlanAction{0x88a8};
            break;
          case 1:
          case 2:
            action = PopVlanAction{};
            break;
          case 3:
            action = PushMplsAction{0x8847};
            types_below.push_back(key.eth_type.host());
            break;
          case 4:
          case 5:
          case 6:
            if (!is_mpls(key)) break;
            action = PopMplsAction{!types_below.empty() ? types_below.back()
                                   : bottom             ? type_below(now)
                                                        : std::uint16_t{0x8847}};
            if (!types_below.empty()) types_below.pop_back();
            break;
          case 7:
            if (!types_below.empty() || service_tags == 2) break;  // one kind of a push inside another is enough
            action = PushPbbAction{};
            ++service_tags;
            break;
          case 8:
            if (types_below.empty()) action = PopPbbAction{};
            break;
          case 9:  // not to where a TTL runs out
            if (below(2) == 0 && key.nw_ttl > 1) action = DecTtlAction{};
            if ((key.mpls_lse[0].host() & 0xff) > 1) action = DecMplsTtlAction{};
            break;
          case 10:
            action = CopyTtlOutAction{};
            break;
          case 11:
            action = CopyTtlInAction{};
            break;
          case 12:
            action = below(2) == 0 ? Action{set_field(FieldId::kMplsLabel, below(1000))}
                                   : Action{SetMplsTtlAction{static_cast<std::uint8_t>(60 + below(60))}};
            break;
          case 13:
            action = set_field(FieldId::kMplsBos, below(2));
            break;
          default:
            action = below(2) == 0 ? Action{set_field(FieldId::kIpDst, below(1000))}
                                   : Action{set_field(FieldId::kTcpDst, below(1000))};
        }
        if (!action) continue;
        actions.push_back(*action);
        const EndToEnd step = run(frame, actions);
        now = step.frame;
        REQUIRE_MESSAGE(hex_of(step.thought) == hex_of(step.made), text(step.result));
      }
      // A flow made without the packet does the same, if it can be made, to all packets under its mask.
      HandmadeBridge sw{3};
      sw.rule(0, 1, {}, then_output(actions));
      const Translation alone = sw.run(key_of(frame));
      const EndToEnd outcome = run(sw, frame, key_of(frame));
      CHECK(alone.needs_packet == outcome.result.needs_packet);
      edits += outcome.result.actions.size() > 1;
      if (alone.needs_packet) continue;
      ++without_packet;
      CHECK(text(alone) == text(outcome.result));
      for (int i = 0; i < 20; ++i) {
        KeyWords words = to_words(key_of(frame));
        const KeyWords mask = to_words(alone.mask);
        for (std::size_t w = 0; w < kKeyWords; ++w)
          words[w] = (words[w] & mask[w]) | ((random() | std::uint64_t{random()} << 32) & ~mask[w]);
        const Translation other = sw.run(from_words(words));
        REQUIRE(text(other) == text(alone));
        REQUIRE_FALSE(other.needs_packet);
      }
    }
    CHECK(without_packet > 1000);
    CHECK(edits > 2000);
  }
}
