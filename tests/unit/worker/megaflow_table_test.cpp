// SPDX-License-Identifier: Apache-2.0
#include "user/worker/megaflow_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/unit/worker/memory_maps.h"
#include "user/worker/megaflow_writer.h"
#include "user/worker/rewrite.h"
#include "user/worker/shared_translations.h"

using namespace shunt;
using namespace shunt::test;
using Publish = MegaflowTable::Publish;

namespace {

constexpr DpPort kIn{1};

FlowKey key_of(std::uint16_t tp_dst, std::uint8_t mac = 1, std::uint32_t in_port = 1) {
  FlowKey key{};
  key.in_port = in_port;
  key.eth_dst[5] = mac;
  key.eth_type = be16{0x0800};
  key.nw_proto = 6;
  key.tp_dst = be16{tp_dst};
  return key;
}

// in_port and, by `bits`, other fields: as many masks as one likes.
FlowMask mask_of(unsigned bits) {
  FlowMask mask{};
  mask.in_port = ~0u;
  mask.tp_dst = be16{static_cast<std::uint16_t>(bits)};
  return mask;
}

FlowMask full_ports() { return mask_of(0xffff); }

TranslationRef translation(const FlowMask& mask, DpActions actions) {
  Translation made;
  made.mask = mask;
  made.actions = std::move(actions);
  return std::make_shared<const Translation>(std::move(made));
}

FdbDependency dependency_of(std::uint8_t mac) { return {BridgeId{1}, {VlanId{0}, MacAddr::from_number(mac)}}; }

TranslationRef depending(std::uint16_t port, std::vector<FdbDependency> dependencies) {
  Translation made;
  made.mask = full_ports();
  made.actions = {output_to(port)};
  made.fdb_dependencies.assign(dependencies.begin(), dependencies.end());
  return std::make_shared<const Translation>(std::move(made));
}

struct Fixture {
  explicit Fixture(std::uint32_t limit = 256, std::uint32_t buckets = 64, std::uint32_t elements = 4096)
      : maps{limit, buckets, elements}, table{maps} {
    table.set_credit([this](std::uint32_t, const MegaflowTable::Flow& flow, const MegaflowTable::Counted& counted) {
      credited[flow.translation.get()] += counted.packets;
      credited_bytes += counted.bytes;
    });
    for (std::uint32_t port = 1; port <= 8; ++port) {
      table.add_port(DpPort{port});
      table.update_output(DpPort{port}, {Ifindex{100 + port}, true});
    }
  }
  Publish publish(const FlowKey& key, const FlowMask& mask, DpActions actions) {
    return table.publish(key, translation(mask, std::move(actions)), now);
  }
  void grace_period() {
    if (const auto epoch = table.close_epoch()) table.reclaim(*epoch);
  }
  // Output port of the kernel's answer; 0: a miss.
  unsigned answer(const FlowKey& key) const {
    const auto hit = maps.lookup(key);
    return hit ? hit->actions.back().arg : 0;
  }

  MemoryMaps maps;
  MegaflowTable table;
  TimePoint now{std::chrono::hours{1}};
  std::map<const Translation*, std::uint64_t> credited;
  std::uint64_t credited_bytes = 0;
};

}  // namespace

TEST_SUITE("megaflow table") {
  TEST_CASE("a published flow answers every packet that agrees under its mask, and no other") {
    Fixture f;
    REQUIRE(f.publish(key_of(80), full_ports(), {output_to(2)}) == Publish::kPublished);
    CHECK(f.answer(key_of(80)) == 2);
    CHECK(f.answer(key_of(80, 99)) == 2);
    CHECK(f.answer(key_of(81)) == 0);
    CHECK(f.answer(key_of(80, 1, 2)) == 0);
    CHECK(f.maps.table.size() == 1);
  }

  TEST_CASE("flows with equal actions share a list, and one output needs none") {
    Fixture f;
    for (std::uint16_t i = 0; i < 9; ++i) {
      REQUIRE(f.publish(key_of(i), full_ports(), {push_vlan(5), output_to(2)}) == Publish::kPublished);
      REQUIRE(f.publish(key_of(100 + i), full_ports(), {output_to(2)}) == Publish::kPublished);
    }
    CHECK(f.maps.flows[0].head.action_count == 2);
    CHECK(f.maps.flows[1].head.action_count == 0);
    for (std::uint32_t slot = 2; slot < 18; slot += 2) CHECK(f.maps.flows[slot].actions == f.maps.flows[0].actions);
  }

  TEST_CASE("a list that routes has its rewrite behind it") {
    Fixture f;
    REQUIRE(f.publish(key_of(80), full_ports(), {set_eth_dst(7), output_to(2)}) == Publish::kPublished);
    REQUIRE(f.publish(key_of(81), full_ports(), {simple(SHUNT_ACT_TRUNCATE, 99), output_to(2)}) == Publish::kPublished);
    const shunt_flow& flow = f.maps.flows[0];
    REQUIRE((flow.head.flags & SHUNT_FLOW_REWRITE) != 0);
    CHECK(flow.head.action_count == 2);
    const auto rewrite = rewrite_of(f.maps.action_lists.subspan(flow.actions, 2));
    REQUIRE(rewrite);
    CHECK(std::memcmp(&f.maps.action_lists[flow.actions + 2], &*rewrite, sizeof *rewrite) == 0);
    CHECK((f.maps.flows[1].head.flags & SHUNT_FLOW_REWRITE) == 0);
  }

  TEST_CASE("where there is no room for a list, userspace answers; and there is again, a grace period later") {
    Fixture f{256, 64, 5};  // a list of two with its rewrite, and the one that says "userspace"
    REQUIRE(f.publish(key_of(80), full_ports(), {push_vlan(5), output_to(2)}) == Publish::kPublished);
    REQUIRE(f.publish(key_of(81), full_ports(), {push_vlan(6), output_to(2)}) == Publish::kPublished);
    CHECK(f.answer(key_of(80)) == 2);
    CHECK(f.maps.lookup(key_of(81))->actions[0].type == SHUNT_ACT_USERSPACE);
    CHECK_FALSE(f.table.flow(1)->in_kernel);
    f.table.retire(0);
    f.table.retire(1);
    REQUIRE(f.publish(key_of(82), full_ports(), {push_vlan(6), output_to(2)}) == Publish::kPublished);
    CHECK(f.maps.lookup(key_of(82))->actions[0].type == SHUNT_ACT_USERSPACE);
    f.grace_period();
    REQUIRE(f.publish(key_of(81), full_ports(), {push_vlan(6), output_to(2)}) == Publish::kPublished);
    CHECK(f.answer(key_of(81)) == 2);
  }

  TEST_CASE("an equal flow is not published twice") {
    Fixture f;
    REQUIRE(f.publish(key_of(80), full_ports(), {output_to(2)}) == Publish::kPublished);
    CHECK(f.publish(key_of(80, 7), full_ports(), {output_to(2)}) == Publish::kExists);
    CHECK(f.table.size() == 1);
  }

  TEST_CASE("a retired flow answers nothing, and its slot waits for a grace period") {
    Fixture f{1};
    REQUIRE(f.publish(key_of(80), full_ports(), {output_to(2)}) == Publish::kPublished);
    f.table.retire(0);
    CHECK(f.answer(key_of(80)) == 0);
    CHECK(f.maps.table.empty());
    CHECK(f.maps.flows[0].head.generation == 0);
    CHECK(f.publish(key_of(81), full_ports(), {output_to(2)}) == Publish::kFull);
    f.grace_period();
    CHECK(f.publish(key_of(81), full_ports(), {output_to(3)}) == Publish::kPublished);
    CHECK(f.answer(key_of(81)) == 3);
    CHECK(f.answer(key_of(80)) == 0);
  }

  TEST_CASE("a flow retired while a grace period runs waits for the next one") {
    Fixture f{2};
    f.publish(key_of(80), full_ports(), {output_to(2)});
    f.publish(key_of(81), full_ports(), {output_to(2)});
    f.table.retire(0);
    const auto epoch = f.table.close_epoch();
    REQUIRE(epoch);
    f.table.retire(1);
    f.table.reclaim(*epoch);
    CHECK(f.publish(key_of(82), full_ports(), {output_to(2)}) == Publish::kPublished);
    CHECK(f.publish(key_of(83), full_ports(), {output_to(2)}) == Publish::kFull);
    f.grace_period();
    CHECK(f.publish(key_of(83), full_ports(), {output_to(2)}) == Publish::kPublished);
  }

  TEST_CASE("more flows than a bucket holds are found in the hash map, and take entries that come free") {
    Fixture f{256, 1};
    for (std::uint16_t port = 0; port < 20; ++port)
      REQUIRE(f.publish(key_of(port), full_ports(), {output_to(2)}) == Publish::kPublished);
    CHECK(f.table.stats().overflow == 20 - SHUNT_BUCKET_ENTRIES);
    CHECK(f.maps.index[0].overflow == 20 - SHUNT_BUCKET_ENTRIES);
    for (std::uint16_t port = 0; port < 20; ++port) CHECK(f.answer(key_of(port)) == 2);
    for (std::uint32_t slot = 0; slot < 13; ++slot) f.table.retire(slot);
    CHECK(f.table.stats().overflow == 0);
    CHECK(f.maps.index[0].overflow == 0);
    for (std::uint16_t port = 0; port < 20; ++port) CHECK(f.answer(key_of(port)) == (port < 13 ? 0 : 2));
    CHECK(std::count(std::begin(f.maps.index[0].entry), std::end(f.maps.index[0].entry), 0u) == 0);
  }

  TEST_CASE("a port's list has at most its budget of masks; flows of further masks are exact") {
    Fixture f;
    for (unsigned i = 0; i < SHUNT_PORT_MASKS + 4; ++i)
      REQUIRE(f.publish(key_of(0xffff), mask_of(1u << 15 | i), {output_to(2)}) ==
              (i <= SHUNT_PORT_MASKS ? Publish::kPublished : Publish::kExists));
    CHECK(f.maps.ports[1].mask_count == SHUNT_PORT_MASKS);
    CHECK((f.maps.ports[1].flags & SHUNT_PORT_EXACT) != 0);
    // The four have one full key: the first of them made the exact flow, the others found it.
    CHECK(f.table.size() == SHUNT_PORT_MASKS + 1);
    CHECK(f.table.stats().exact_fallback == 1);
    SUBCASE("an exact flow answers its own packets only") {
      Fixture g;
      for (unsigned i = 0; i < SHUNT_PORT_MASKS; ++i) g.publish(key_of(0), mask_of(i + 1), {output_to(2)});
      REQUIRE(g.publish(key_of(0x8000), mask_of(0x8000), {output_to(3)}) == Publish::kPublished);
      const auto hit = g.maps.lookup(key_of(0x8000));
      REQUIRE(hit);
      CHECK(hit->lookups <= SHUNT_PORT_MASKS + 1);
    }
  }

  TEST_CASE("the exact-match cache answers an exact flow's packets by what its translation looked at") {
    Fixture f;
    FlowKey key = key_of(0x8000);
    key.eth_dst[0] = 0xff;  // under none of the masks below does it agree with the flows that fill the list
    const auto fields = [&] { return f.maps.flows[f.table.find(key)].head.fields; };
    const auto of_port = [&] { return SHUNT_MICROFLOWS_FIELDS(f.maps.ports[1].microflows); };
    for (unsigned i = 0; i < SHUNT_PORT_MASKS; ++i) {
      FlowMask mask = mask_of(0);
      mask.eth_dst[0] = static_cast<std::uint8_t>(i + 1);
      REQUIRE(f.publish(key_of(0), mask, {output_to(2)}) == Publish::kPublished);
    }
    CHECK(of_port() == (SHUNT_PLAIN_ON | SHUNT_PLAIN_DST));
    REQUIRE(f.publish(key, mask_of(0x8000), {output_to(3)}) == Publish::kPublished);
    CHECK(f.maps.flows[f.table.find(key)].head.mask == SHUNT_MASK_EXACT);
    constexpr unsigned kProto = SHUNT_PLAIN_TYPE | SHUNT_PLAIN_PROTO, kPorts = kProto | SHUNT_PLAIN_PORTS;
    CHECK(fields() == kPorts);
    CHECK(of_port() == (SHUNT_PLAIN_ON | SHUNT_PLAIN_DST | kPorts));

    const auto number = f.maps.ports[1].microflows;
    SUBCASE("the same actions because of another field: the cache is told, and what it held is void") {
      FlowMask mask = mask_of(0);
      mask.nw_proto = 0xff;
      REQUIRE(f.publish(key, mask, {output_to(3)}) == Publish::kExists);
      CHECK(fields() == kProto);
      CHECK((of_port() & SHUNT_PLAIN_PROTO) != 0);
      CHECK(f.maps.ports[1].microflows != number);
    }
    SUBCASE("... of a field that no key of the cache holds: it answers such packets no more") {
      FlowMask mask = mask_of(0x8000);
      mask.nw_ttl = 0xff;
      REQUIRE(f.publish(key, mask, {output_to(3)}) == Publish::kExists);
      CHECK((fields() & SHUNT_PLAIN_OTHER) != 0);
      CHECK(f.maps.ports[1].microflows != number);
    }
    SUBCASE("with the last exact flow its fields go") {
      f.table.retire(f.table.find(key));
      CHECK(of_port() == (SHUNT_PLAIN_ON | SHUNT_PLAIN_DST));
    }
  }

  TEST_CASE("a mask leaves the list with its last flow, and its number is given away after a grace period") {
    Fixture f;
    f.publish(key_of(80), mask_of(0xff), {output_to(2)});
    f.publish(key_of(81), mask_of(0xff), {output_to(2)});
    const std::uint16_t number = f.maps.ports[1].masks[0];
    f.table.retire(0);
    CHECK(f.maps.ports[1].mask_count == 1);
    f.table.retire(1);
    CHECK(f.maps.ports[1].mask_count == 0);
    CHECK(f.table.stats().masks == 0);
    CHECK(f.maps.masks[number].word_count > 0);  // a program may still read it
    f.grace_period();
    CHECK(f.maps.masks[number].word_count == 0);
  }

  TEST_CASE("a mask that is used again within its grace period keeps its number") {
    Fixture f;
    f.publish(key_of(80), mask_of(0xff), {output_to(2)});
    const std::uint16_t number = f.maps.ports[1].masks[0];
    f.table.retire(0);
    f.publish(key_of(81), mask_of(0xff), {output_to(3)});
    CHECK(f.maps.ports[1].masks[0] == number);
    f.grace_period();
    CHECK(f.answer(key_of(81)) == 3);
  }

  TEST_CASE("masks are tried by decayed hits, newcomers last") {
    Fixture f;
    f.publish(key_of(1), mask_of(0x00ff), {output_to(2)});
    f.publish(key_of(0x100), mask_of(0xff00), {output_to(3)});
    const std::uint16_t first = f.maps.ports[1].masks[0], second = f.maps.ports[1].masks[1];
    for (int i = 0; i < 100; ++i) REQUIRE(f.maps.packet(key_of(0x1aa)));
    f.table.collect(0, 10, f.now, true);
    f.table.rank();
    CHECK(f.maps.ports[1].masks[0] == second);
    CHECK(f.maps.ports[1].masks[1] == first);
    f.publish(key_of(0xffff), mask_of(0xffff), {output_to(2)});
    CHECK(f.maps.ports[1].masks[0] == second);
    CHECK(f.maps.ports[1].mask_count == 3);
    CHECK((f.maps.ports[1].flags & SHUNT_PORT_HINTS) != 0);
    SUBCASE("hits of long ago do not keep a mask in front") {
      for (int second_passed = 0; second_passed < 12; ++second_passed) f.table.rank();
      for (int i = 0; i < 5; ++i) REQUIRE(f.maps.packet(key_of(0x0001)));
      f.table.collect(0, 10, f.now, true);
      f.table.rank();
      CHECK(f.maps.ports[1].masks[0] == first);
    }
  }

  TEST_CASE("the union mask has every bit that some mask in use has") {
    Fixture f;
    f.publish(key_of(1), mask_of(0x0f), {output_to(2)});
    f.publish(key_of(0x10), mask_of(0xf0), {output_to(3)});
    FlowKey ones{};
    std::memset(&ones, 0xff, sizeof ones);
    FlowKey united{};
    shunt_mask_key(&ones, &f.maps.masks[SHUNT_MASK_UNION], &united);
    CHECK(equal(united, mask_of(0xff)));
    f.table.retire(0);
    f.table.rank();
    shunt_mask_key(&ones, &f.maps.masks[SHUNT_MASK_UNION], &united);
    CHECK(equal(united, mask_of(0xf0)));
  }

  TEST_CASE("counters of all CPUs are credited once, also what is counted after the flow was retired") {
    Fixture f;
    const TranslationRef made = translation(full_ports(), {output_to(2)});
    f.table.publish(key_of(80), made, f.now);
    f.maps.packet(key_of(80), 100, 0);
    f.maps.packet(key_of(80), 50, 1);
    f.table.collect(0, 10, f.now, false);
    f.table.collect(0, 10, f.now, false);
    CHECK(f.credited[made.get()] == 2);
    CHECK(f.credited_bytes == 150);
    CHECK(f.table.credited(0).packets == 2);
    f.table.retire(0);
    f.maps.counters[0].packets += 1;  // by a program that had found the flow before
    f.grace_period();
    CHECK(f.credited[made.get()] == 3);
    SUBCASE("and the slot's next flow starts from zero") {
      const TranslationRef next = translation(full_ports(), {output_to(3)});
      f.table.publish(key_of(81), next, f.now);
      f.table.collect(0, 10, f.now, false);
      CHECK(f.credited[next.get()] == 0);
    }
  }

  TEST_CASE("what left otherwise than it was counted is credited once, and is no later flow's of the slot") {
    Fixture f;
    std::uint64_t lost = 0;
    std::int64_t delta = 0;
    f.table.set_credit([&](std::uint32_t, const MegaflowTable::Flow&, const MegaflowTable::Counted& counted) {
      lost += counted.lost;
      delta += counted.delta;
    });
    f.publish(key_of(80), full_ports(), {push_vlan(5), output_to(2)});
    f.maps.deltas[0] = {.bytes = 12, .lost = 1};
    for (int i = 0; i < 2; ++i) f.table.collect(0, 10, f.now, false);
    CHECK(lost == 1);
    CHECK(delta == 12);
    CHECK(f.table.credited(0).seen_delta == 12);
    f.maps.deltas[0].bytes = static_cast<__u64>(-4);
    f.table.retire(0);
    CHECK(delta == -4);
    f.grace_period();
    f.publish(key_of(81), full_ports(), {push_vlan(5), output_to(2)});
    REQUIRE(f.table.find(key_of(81)) == 0);
    f.maps.deltas[0] = {.bytes = 3, .lost = 1};
    f.table.collect(0, 10, f.now, false);
    CHECK(lost == 2);
    CHECK(delta == -1);
  }

  TEST_CASE("a flow's packets are those of all slots that it had, each credited once") {
    Fixture f;
    std::uint64_t credited = 0;
    f.table.set_credit([&](std::uint32_t, const MegaflowTable::Flow&, const MegaflowTable::Counted& counted) {
      credited += counted.packets;
    });
    f.publish(key_of(80), full_ports(), {output_to(2)});
    for (std::uint16_t i = 1; i <= 3; ++i) {
      const std::uint32_t slot = f.table.find(key_of(80));
      for (int packet = 0; packet < 2; ++packet) f.maps.packet(key_of(80), 100);
      f.table.collect(0, 10, f.now, false);
      CHECK(f.table.credited(slot).packets == 2u * i);
      CHECK(f.table.credited(slot).bytes == 200u * i);
      CHECK(f.table.credited(slot).seen_packets == 2);
      CHECK(f.table.update(slot, translation(full_ports(), {output_to(static_cast<std::uint16_t>(2 + i))}), f.now));
    }
    f.grace_period();
    CHECK(credited == 6);
    f.table.flush();
    f.grace_period();
    f.publish(key_of(81), full_ports(), {output_to(2)});
    CHECK(f.table.credited(f.table.find(key_of(81))).packets == 0);
  }

  TEST_CASE("other actions replace a flow without a moment in which nothing answers") {
    Fixture f;
    f.publish(key_of(80), full_ports(), {output_to(2)});
    f.maps.packet(key_of(80));
    CHECK(f.table.update(0, translation(full_ports(), {output_to(3)}), f.now));
    CHECK(f.answer(key_of(80)) == 3);
    CHECK(f.table.size() == 1);
    CHECK(f.maps.flows[0].head.generation == 0);
    const std::uint32_t slot = f.table.find(key_of(80));
    REQUIRE(slot != MegaflowTable::kNoSlot);
    CHECK(f.table.credited(slot).packets == 1);
    f.grace_period();
    CHECK(f.answer(key_of(80)) == 3);
  }

  TEST_CASE("the same actions leave the kernel as it is") {
    Fixture f;
    f.publish(key_of(80), full_ports(), {output_to(2)});
    const TranslationRef next = translation(mask_of(0xff), {output_to(2)});
    CHECK_FALSE(f.table.update(0, next, f.now));
    f.maps.packet(key_of(80));
    f.table.collect(0, 10, f.now, false);
    REQUIRE(f.credited.size() == 1);
    CHECK(f.credited.begin()->first == f.table.flow(0)->translation.get());
    CHECK(f.credited.begin()->second == 1);
    CHECK(SharedTranslations::are_alike(*f.table.flow(0)->translation, *next));
  }

  TEST_CASE("a translation that looks at more than the flow's mask retires the flow") {
    Fixture f;
    f.publish(key_of(80), mask_of(0xff), {output_to(2)});
    CHECK(f.table.update(0, translation(full_ports(), {output_to(2)}), f.now));
    CHECK(f.answer(key_of(80)) == 0);
    CHECK(f.table.size() == 0);
  }

  TEST_CASE("a young flow matures, in whichever place a look-up reads it") {
    Fixture f{256, 1};
    for (std::uint16_t port = 0; port < 9; ++port) f.publish(key_of(port), full_ports(), {output_to(2)});
    for (std::uint16_t port = 0; port < 9; ++port) CHECK((f.maps.lookup(key_of(port))->flags & SHUNT_FLOW_YOUNG) != 0);
    f.table.mature(f.now - std::chrono::milliseconds{1});
    CHECK((f.maps.lookup(key_of(0))->flags & SHUNT_FLOW_YOUNG) != 0);
    f.table.mature(f.now);
    for (std::uint16_t port = 0; port < 9; ++port) CHECK((f.maps.lookup(key_of(port))->flags & SHUNT_FLOW_YOUNG) == 0);
    const auto young = std::count_if(f.maps.table.begin(), f.maps.table.end(), [&](const auto& entry) {
      return !f.table.flow(entry.second.head.slot)->indexed && (entry.second.head.flags & SHUNT_FLOW_YOUNG) != 0;
    });
    CHECK(young == 0);
  }

  TEST_CASE("a slot's flow matures in its own time, and not in that of the flow before") {
    Fixture f;
    f.publish(key_of(80), full_ports(), {output_to(2)});
    f.table.retire(0);
    f.grace_period();
    f.now += std::chrono::milliseconds{10};
    f.publish(key_of(81), full_ports(), {output_to(2)});
    REQUIRE(f.table.find(key_of(81)) == 0);
    f.table.mature(f.now - std::chrono::milliseconds{1});
    CHECK((f.maps.lookup(key_of(81))->flags & SHUNT_FLOW_YOUNG) != 0);
    f.table.mature(f.now);
    CHECK((f.maps.lookup(key_of(81))->flags & SHUNT_FLOW_YOUNG) == 0);
  }

  TEST_CASE("a flow that gets other actions is young again: the older ones may have sent packets up") {
    Fixture f;
    DpActions several = {output_to(2), output_to(2)};  // the same port twice: userspace
    f.publish(key_of(80), full_ports(), several);
    f.table.mature(f.now);
    REQUIRE((f.maps.lookup(key_of(80))->flags & SHUNT_FLOW_YOUNG) == 0);
    const std::uint32_t slot = f.table.find(key_of(80));
    f.now += std::chrono::seconds{1};
    REQUIRE(f.table.update(slot, translation(full_ports(), {output_to(3)}), f.now));
    CHECK((f.maps.lookup(key_of(80))->flags & SHUNT_FLOW_YOUNG) != 0);
    f.table.mature(f.now - std::chrono::milliseconds{1});
    CHECK((f.maps.lookup(key_of(80))->flags & SHUNT_FLOW_YOUNG) != 0);
    f.table.mature(f.now);
    CHECK((f.maps.lookup(key_of(80))->flags & SHUNT_FLOW_YOUNG) == 0);
  }

  TEST_CASE("flows with equal port sets share a group, which is given away after its last flow's grace period") {
    Fixture f;
    f.publish(key_of(80), full_ports(), {output_to(2), output_to(3)});
    f.publish(key_of(81), full_ports(), {output_to(3), output_to(2)});
    f.publish(key_of(82), full_ports(), {output_to(3), output_to(4)});
    CHECK(f.table.stats().groups == 2);
    CHECK(f.answer(key_of(80)) == f.answer(key_of(81)));
    const auto group = static_cast<std::uint16_t>(f.answer(key_of(80)));
    CHECK(f.maps.groups[group] == std::vector<Ifindex>{Ifindex{102}, Ifindex{103}});
    f.table.retire(0);
    f.table.retire(1);
    f.publish(key_of(83), full_ports(), {output_to(4), output_to(5)});
    CHECK(f.answer(key_of(83)) != group);  // a program may still send to the old set
    f.grace_period();
    f.publish(key_of(84), full_ports(), {output_to(5), output_to(6)});
    CHECK(f.answer(key_of(84)) == group);
  }

  TEST_CASE("a group follows its ports' interfaces") {
    Fixture f;
    f.publish(key_of(80), full_ports(), {output_to(2), output_to(3)});
    const auto group = static_cast<std::uint16_t>(f.answer(key_of(80)));
    f.table.update_output(DpPort{2}, {Ifindex{55}, true});
    CHECK(f.maps.groups[group] == std::vector<Ifindex>{Ifindex{55}, Ifindex{103}});
  }

  TEST_CASE("a group that the kernel refuses leaves the flow to userspace") {
    Fixture f;
    f.maps.fail_groups = true;
    REQUIRE(f.publish(key_of(80), full_ports(), {output_to(2), output_to(3)}) == Publish::kPublished);
    CHECK_FALSE(f.table.flow(0)->in_kernel);
    CHECK(f.maps.lookup(key_of(80))->actions[0].type == SHUNT_ACT_USERSPACE);
  }

  TEST_CASE("a map that refuses leaves nothing half applied") {
    Fixture f;
    f.maps.fail_updates = true;
    CHECK(f.publish(key_of(80), full_ports(), {output_to(2), output_to(3)}) == Publish::kError);
    CHECK(f.table.size() == 0);
    CHECK(f.table.stats().masks == 0);
    CHECK(f.table.stats().groups == 0);
    CHECK(f.table.stats().overflow == 0);
    CHECK(f.answer(key_of(80)) == 0);
    f.maps.fail_updates = false;
    f.grace_period();
    CHECK(f.publish(key_of(80), full_ports(), {output_to(2)}) == Publish::kPublished);
    CHECK(f.answer(key_of(80)) == 2);
  }

  TEST_CASE("staged flows answer when they are committed, all of them") {
    Fixture f;
    for (std::uint16_t port = 0; port < MegaflowTable::kStage; ++port)
      REQUIRE(f.table.stage(key_of(port), translation(full_ports(), {output_to(2)}), f.now) == Publish::kPublished);
    CHECK(f.answer(key_of(7)) == 0);
    CHECK(f.maps.table.empty());
    SUBCASE("by commit()") { f.table.commit(); }
    SUBCASE("by a change to one of them") {
      CHECK(f.table.update(7, translation(full_ports(), {output_to(3)}), f.now));
      CHECK(f.answer(key_of(7)) == 3);
      CHECK(f.table.update(f.table.find(key_of(7)), translation(full_ports(), {output_to(2)}), f.now));
    }
    SUBCASE("by one more of the same") {
      CHECK(f.table.stage(key_of(7), translation(full_ports(), {output_to(2)}), f.now) == Publish::kExists);
    }
    for (std::uint16_t port = 0; port < MegaflowTable::kStage; ++port) CHECK(f.answer(key_of(port)) == 2);
    CHECK(f.maps.table.size() == MegaflowTable::kStage);
    CHECK(f.table.stats().published == MegaflowTable::kStage);
  }

  TEST_CASE("of staged flows those that a map refuses are taken back, and no others") {
    Fixture f;
    f.maps.refused = 1;
    for (std::uint16_t port = 80; port < 83; ++port)
      REQUIRE(f.table.stage(key_of(port), translation(full_ports(), {output_to(2)}), f.now) == Publish::kPublished);
    f.table.commit();
    CHECK(f.answer(key_of(81)) == 2);  // as long as nobody has asked what was refused
    f.table.write_out();
    CHECK(f.answer(key_of(80)) == 2);
    CHECK(f.answer(key_of(81)) == 0);
    CHECK(f.answer(key_of(82)) == 2);
    CHECK(f.table.size() == 2);
    CHECK(f.table.stats().refused == 1);
    CHECK(f.table.stats().published == 3);
  }

  TEST_CASE("likewise where another thread writes the map") {
    Fixture f;
    f.maps.refused = 40;
    f.table.writer().start();
    for (std::uint16_t port = 0; port < MegaflowTable::kStage; ++port)
      REQUIRE(f.table.stage(key_of(port), translation(full_ports(), {output_to(2)}), f.now) == Publish::kPublished);
    f.table.settle();
    for (std::uint16_t port = 0; port < MegaflowTable::kStage; ++port)
      CHECK(f.answer(key_of(port)) == (port == 40 ? 0 : 2));
    CHECK(f.table.stats().refused == 1);
    CHECK(f.maps.table.size() == MegaflowTable::kStage - 1);
    f.table.flush();
    f.table.settle();
    CHECK(f.maps.table.empty());
  }

  TEST_CASE("a flow that needs more than the loaded program parses is asked for and not published") {
    Fixture f;
    f.table.set_features(SHUNT_FEATURE_L3);
    CHECK(f.publish(key_of(80), full_ports(), {output_to(2)}) == Publish::kFeatures);
    CHECK((f.table.wanted_features() & SHUNT_FEATURE_L4) != 0);
    CHECK(f.table.size() == 0);
    f.table.set_features(SHUNT_FEATURE_ALL);
    CHECK(f.publish(key_of(80), full_ports(), {output_to(2)}) == Publish::kPublished);
  }

  TEST_CASE("a flush and a port's end leave no answer, also under the port's next life") {
    Fixture f;
    f.publish(key_of(80), full_ports(), {output_to(2)});
    f.publish(key_of(80, 1, 2), full_ports(), {output_to(1)});
    const std::uint32_t generation = f.maps.ports[1].generation;
    SUBCASE("flush") {
      f.table.flush();
      CHECK(f.answer(key_of(80)) == 0);
      CHECK(f.answer(key_of(80, 1, 2)) == 0);
      CHECK(f.table.size() == 0);
    }
    SUBCASE("port") {
      f.table.remove_port(kIn);
      CHECK(f.answer(key_of(80)) == 0);
      CHECK(f.answer(key_of(80, 1, 2)) == 1);
      CHECK(f.publish(key_of(81), full_ports(), {output_to(2)}) == Publish::kNoPort);
      f.table.add_port(kIn);
      CHECK(f.maps.ports[1].generation != generation);
      CHECK(f.answer(key_of(80)) == 0);
      CHECK(f.maps.ports[1].mask_count == 0);
    }
  }

  TEST_CASE("the least used flows are evicted before the table is full, and flows with hits stay") {
    Fixture f{128};
    for (std::uint16_t port = 0; port < 127; ++port) {
      f.now += std::chrono::milliseconds{1};
      f.publish(key_of(port), full_ports(), {output_to(2)});
    }
    CHECK(f.table.size() == 127);
    for (std::uint16_t port = 0; port < 126; ++port) f.maps.packet(key_of(port));
    CHECK(f.table.evict(f.now));
    CHECK(f.table.size() == 127 - 128 / 64);
    CHECK(f.answer(key_of(126)) == 0);  // never hit
    CHECK_FALSE(f.table.evict(f.now));  // what was evicted is on its way back
    CHECK(f.table.stats().evicted == 2);
  }

  TEST_CASE("the flows that depend on a MAC are found, and no others") {
    Fixture f;
    f.table.publish(key_of(80), depending(2, {dependency_of(1), dependency_of(2)}), f.now);
    f.table.publish(key_of(81), depending(2, {dependency_of(2)}), f.now);
    CHECK(f.table.dependents(dependency_of(1)) == std::vector<std::uint32_t>{0});
    CHECK(f.table.dependents(dependency_of(2)) == std::vector<std::uint32_t>{0, 1});
    CHECK(f.table.dependents(dependency_of(3)).empty());
    CHECK_FALSE(f.table.update(0, depending(2, {dependency_of(3)}), f.now));
    CHECK(f.table.dependents(dependency_of(1)).empty());
    CHECK(f.table.dependents(dependency_of(3)) == std::vector<std::uint32_t>{0});
    f.table.retire(0);
    CHECK(f.table.dependents(dependency_of(3)).empty());
    CHECK(f.table.dependents(dependency_of(2)) == std::vector<std::uint32_t>{1});
    SUBCASE("however many come and go") {
      for (int round = 0; round < 300; ++round) {
        f.grace_period();
        const FlowKey key = key_of(static_cast<std::uint16_t>(1000 + round));
        REQUIRE(f.table.publish(key, depending(2, {dependency_of(2)}), f.now) == Publish::kPublished);
        f.table.retire(f.table.find(key));
      }
      CHECK(f.table.dependents(dependency_of(2)) == std::vector<std::uint32_t>{1});
    }
  }

  TEST_CASE("after any sequence of changes the kernel answers as a plain list of flows would") {
    for (const std::uint32_t seed : {1u, 2u, 3u, 4u}) {
      CAPTURE(seed);
      std::mt19937 random{seed};
      Fixture f{64, 4};
      struct Known {
        FlowKey key;
        FlowMask mask;
        unsigned output;
      };
      std::vector<Known> known;  // at most one answers a packet, since masks are one a port range here
      const auto answer_of = [&](const FlowKey& key) {
        for (const Known& flow : known)
          if (equal(key & flow.mask, flow.key & flow.mask)) return flow.output;
        return 0u;
      };
      for (int step = 0; step < 1500; ++step) {
        const auto in_port = static_cast<std::uint32_t>(1 + random() % 3);
        const auto value = static_cast<std::uint16_t>(random() % 64 << 8 | in_port);
        const FlowKey key = key_of(value, static_cast<std::uint8_t>(random() % 3), in_port);
        const unsigned output = 4 + random() % 4;
        switch (random() % 8) {
          case 0:
            f.grace_period();
            break;
          case 1:
            if (const std::uint32_t slot = f.table.find(key); slot != MegaflowTable::kNoSlot) {
              std::erase_if(known, [&](const Known& flow) { return equal(key & flow.mask, flow.key & flow.mask); });
              f.table.retire(slot);
            }
            break;
          case 2:
            if (const std::uint32_t slot = f.table.find(key); slot != MegaflowTable::kNoSlot) {
              f.table.update(slot, translation(full_ports(), {output_to(static_cast<std::uint16_t>(output))}), f.now);
              const bool stays = f.table.find(key) != MegaflowTable::kNoSlot;
              for (Known& flow : known)
                if (equal(key & flow.mask, flow.key & flow.mask)) flow.output = output;
              if (!stays)
                std::erase_if(known, [&](const Known& flow) { return equal(key & flow.mask, flow.key & flow.mask); });
            }
            break;
          default:
            if (f.publish(key, full_ports(), {output_to(static_cast<std::uint16_t>(output))}) == Publish::kExists) {
              for (Known& flow : known)
                if (equal(key & flow.mask, flow.key & flow.mask)) flow.output = output;
              // An update that found no free slot had to retire the flow.
              if (f.table.find(key) == MegaflowTable::kNoSlot)
                std::erase_if(known, [&](const Known& flow) { return equal(key & flow.mask, flow.key & flow.mask); });
            } else if (f.table.find(key) != MegaflowTable::kNoSlot) {
              known.push_back({key, full_ports(), output});
            }
        }
        const FlowKey probe = key_of(static_cast<std::uint16_t>(random() % 64 << 8 | (1 + random() % 3)), 1,
                                     static_cast<std::uint32_t>(1 + random() % 3));
        REQUIRE(f.answer(probe) == answer_of(probe));
        REQUIRE(f.answer(key) == answer_of(key));
      }
      CHECK(f.table.size() == known.size());
      CHECK(f.maps.table.size() == known.size());
    }
  }
}
