// SPDX-License-Identifier: Apache-2.0
// Groups: which buckets get the packet, what they do to it, and what a translation depends on by that.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/support/pipeline_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

const Match kAny{};

bool depends(const Translation& result, DependencyKind kind, std::uint32_t id) {
  return (result.dependencies.tags & tag_of(kind, id)) != 0;
}

std::ptrdiff_t credits_of(const Translation& result, const FlowCounters& counters) {
  return std::count_if(result.credits.begin(), result.credits.end(),
                       [&](const auto& credit) { return credit.get() == &counters; });
}

FlowKey with_hash(FlowKey key, std::uint32_t hash) {
  key.dp_hash = hash;
  return key;
}

BucketSpec watching(std::uint32_t port, ActionList actions) { return {std::move(actions), 1, PortNo{port}, {}}; }

}  // namespace

TEST_SUITE("translate: groups") {
  TEST_CASE("all: each bucket gets the packet as it came to the group") {
    HandmadeBridge sw{4};
    sw.group(1, GroupType::kAll, {{{to_port(2)}}, {{dst(1), to_port(3)}}, {{dst(2), to_port(4)}}});
    sw.rule(0, 1, kAny, {dst(9), GroupAction{1}});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == dst_text(9) + " 2 [ " + dst_text(1) + " 3 ] " + dst_text(2) + " 4");
    CHECK(depends(result, DependencyKind::kGroup, 1));
    const Group& group = *sw.groups[1];
    CHECK(credits_of(result, group.counters) == 1);
    for (const BucketRef& bucket : group.buckets) CHECK(credits_of(result, bucket->counters) == 1);
  }

  TEST_CASE("what follows a group gets the packet as it was before") {
    HandmadeBridge sw{4};
    sw.group(1, GroupType::kIndirect, {{{dst(1), set_field(kReg0, 3), to_port(2)}}});
    sw.rule(0, 1, kAny, {set_field(kReg0, 4), GroupAction{1}, OutputFieldAction{whole(kReg0)}});
    CHECK(text(sw.run(eth_key())) == "[ " + dst_text(1) + " 2 ] 4");
    sw.rule(0, 2, kAny, {GroupAction{1}});
    CHECK(text(sw.run(eth_key())) == dst_text(1) + " 2");
  }

  TEST_CASE("outputs only stay flat, as a flood") {
    HandmadeBridge sw{4};
    sw.group(1, GroupType::kAll, {{{to_port(2)}}, {{to_port(3)}}, {{to_port(1)}}, {{OutputAction{kPortInPort}}}});
    sw.rule(0, 1, kAny, {GroupAction{1}, to_port(4)});
    CHECK(text(sw.run(eth_key())) == "2 3 back:1 4");  // back by IN_PORT only
  }

  TEST_CASE("a bucket is an action set: the specification's order, one of a kind, exit ends the bucket") {
    HandmadeBridge sw{4};
    sw.group(1, GroupType::kAll,
             {{{to_port(2), to_port(3), dst(1), PushVlanAction{0x8100}}}, {{ResubmitAction{{}, std::uint8_t{1}}}}});
    sw.rule(0, 1, kAny, {GroupAction{1}, to_port(4)});
    sw.rule(1, 1, kAny, {dst(2), to_port(2), ExitAction{}, to_port(3)});
    CHECK(text(sw.run(eth_key())) == "[ push:81000000 " + dst_text(1) + " 3 ] [ " + dst_text(2) + " 2 ] 4");
  }

  TEST_CASE("chains of groups, and a group that is not there") {
    HandmadeBridge sw{4};
    sw.group(1, GroupType::kAll, {{{dst(1), GroupAction{2}}}, {{to_port(4)}}});
    sw.group(2, GroupType::kIndirect, {{{set_field(FieldId::kEthSrc, 0x020000000002), to_port(3)}}});
    sw.rule(0, 1, kAny, {GroupAction{1}});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) ==
          "[ " + dst_text(1) + " " + set_text(SHUNT_FIELD_ETH_SRC, "020000000002", "ffffffffffff") + " 3 ] 4");
    CHECK(depends(result, DependencyKind::kGroup, 2));
    sw.groups.erase(2);
    CHECK(text(sw.run(eth_key())) == "4");
    sw.groups.erase(1);
    CHECK(text(sw.run(eth_key())) == "drop:group");
    sw.group(1, GroupType::kIndirect, {{{GroupAction{1}}}});  // no switch lets it in, but if it did
    CHECK(text(sw.run(eth_key())) == "drop:resubmit-limit");
  }

  TEST_CASE("select by dp_hash: one bucket, by as few bits of the hash as there are slots") {
    HandmadeBridge sw{5};
    sw.group(1, GroupType::kSelect, {{{to_port(2)}, 2}, {{to_port(3)}, 1}, {{to_port(4)}, 0}, {{to_port(5)}, 1}});
    sw.rule(0, 1, kAny, {GroupAction{1}});
    std::map<std::string, unsigned> outputs;
    for (std::uint32_t hash = 0; hash < 16; ++hash) {
      const Translation result = sw.run(with_hash(tcp_key(), hash));
      CHECK(result.mask.dp_hash == 3);
      ++outputs[text(result)];
    }
    CHECK(outputs == std::map<std::string, unsigned>{{"2", 8}, {"3", 4}, {"5", 4}});
    const Translation result = sw.run(with_hash(tcp_key(), 0));
    const Group& group = *sw.groups[1];
    CHECK(credits_of(result, group.counters) == 1);
    CHECK(credits_of(result, group.buckets[0]->counters) == 1);
    CHECK(credits_of(result, group.buckets[1]->counters) == 0);
  }

  TEST_CASE("select in a select goes by other bits, so that all of its buckets are met") {
    HandmadeBridge sw{5};
    sw.group(1, GroupType::kSelect, {{{GroupAction{2}}}, {{GroupAction{3}}}});
    sw.group(2, GroupType::kSelect, {{{to_port(2)}}, {{to_port(3)}}});
    sw.group(3, GroupType::kSelect, {{{to_port(4)}}, {{to_port(5)}}});
    sw.rule(0, 1, kAny, {GroupAction{1}});
    std::map<std::string, unsigned> outputs;
    for (std::uint32_t hash = 0; hash < 16; ++hash) {
      const Translation result = sw.run(with_hash(tcp_key(), hash));
      CHECK(result.mask.dp_hash == 3);
      ++outputs[text(result)];
    }
    CHECK(outputs.size() == 4);
    for (const auto& [output, count] : outputs) CHECK(count == 4);
    // One after the other they may go by the same: fewer flows.
    sw.rule(0, 2, kAny, {GroupAction{2}, GroupAction{3}});
    CHECK(sw.run(tcp_key()).mask.dp_hash == 1);
  }

  TEST_CASE("select by hash looks at the fields that it names, or at L2 to L4") {
    HandmadeBridge sw{5};
    Selection by_source;
    by_source.method = Selection::Method::kHash;
    by_source.fields = field_mask(field(FieldId::kIpSrc));
    sw.group(1, GroupType::kSelect, {{{to_port(2)}}, {{to_port(3)}}, {{to_port(4)}}, {{to_port(5)}}}, by_source);
    sw.rule(0, 1, kAny, {GroupAction{1}});
    std::map<std::string, unsigned> outputs;
    constexpr unsigned kFlows = 4000;
    for (unsigned i = 0; i < kFlows; ++i) {
      FlowKey key = tcp_key();
      key.ip_src[15] = static_cast<__u8>(i);
      key.ip_src[14] = static_cast<__u8>(i >> 8);
      const Translation result = sw.run(key);
      CHECK(result.mask.dp_hash == 0);
      FlowMask wanted = field_mask(field(FieldId::kIpSrc));
      wanted.in_port = ~std::uint32_t{0};
      CHECK(equal(result.mask, wanted));
      ++outputs[text(result)];
      key.tp_src = be16{static_cast<std::uint16_t>(i)};
      CHECK(text(sw.run(key)) == text(result));
    }
    CHECK(outputs.size() == 4);
    for (const auto& [output, count] : outputs) CHECK(std::abs(static_cast<double>(count) / kFlows - 0.25) < 0.03);

    Selection by_all;
    by_all.method = Selection::Method::kHash;
    sw.group(1, GroupType::kSelect, {{{to_port(2)}}, {{to_port(3)}}}, by_all);
    const FlowMask mask = sw.run(tcp_key()).mask;
    for (const FieldId id : {FieldId::kEthSrc, FieldId::kEthDst, FieldId::kIpSrc, FieldId::kIpDst, FieldId::kTcpSrc,
                             FieldId::kTcpDst, FieldId::kNwProto})
      CHECK(is_subset(flow_part(field_mask(field(id))), mask));
    // What an action wrote is hashed as it is then, and is no bit of the packet.
    sw.rule(0, 2, kAny, {dst(1), GroupAction{1}});
    CHECK(sw.run(tcp_key()).mask.eth_dst[0] == 0);
  }

  TEST_CASE("select passes by buckets that are down, and depends on what it asked") {
    HandmadeBridge sw{5};
    sw.group(
        1, GroupType::kSelect,
        {watching(2, {to_port(2)}), watching(3, {to_port(3)}), watching(4, {to_port(4)}), watching(5, {to_port(5)})});
    sw.rule(0, 1, kAny, {GroupAction{1}});
    std::vector<std::string> before;
    for (std::uint32_t hash = 0; hash < 1024; ++hash) before.push_back(text(sw.run(with_hash(tcp_key(), hash))));
    CHECK(std::count(before.begin(), before.end(), "2") == 256);
    sw.at(2).up = false;
    std::map<std::string, unsigned> moved;
    for (std::uint32_t hash = 0; hash < 1024; ++hash) {
      const Translation result = sw.run(with_hash(tcp_key(), hash));
      if (before[hash] != "2") {
        CHECK(text(result) == before[hash]);
        CHECK(result.mask.dp_hash == 3);
        continue;
      }
      CHECK(result.mask.dp_hash == 0x3ff);
      CHECK(depends(result, DependencyKind::kPort, 2));
      ++moved[text(result)];
    }
    CHECK(moved.size() == 3);
    for (const auto& [output, count] : moved) CHECK(std::abs(count - 256.0 / 3) < 2);
    for (const std::uint32_t port : {3u, 4u, 5u}) sw.at(port).up = false;
    CHECK(text(sw.run(tcp_key())) == "drop:group");
  }

  TEST_CASE("fast failover: the first live bucket, and a dependency on each port that was asked") {
    HandmadeBridge sw{5};
    sw.group(1, GroupType::kFastFailover,
             {watching(2, {dst(2), to_port(2)}), watching(3, {to_port(3)}), {{to_port(4)}, 1, {}, 9}});
    sw.group(9, GroupType::kFastFailover, {watching(5, {}), watching(77, {})});
    sw.rule(0, 1, kAny, {GroupAction{1}});
    Translation result = sw.run(eth_key());
    CHECK(text(result) == dst_text(2) + " 2");
    CHECK(depends(result, DependencyKind::kPort, 2));
    sw.at(2).up = false;
    result = sw.run(eth_key());
    CHECK(text(result) == "3");
    CHECK(depends(result, DependencyKind::kPort, 2));
    CHECK(depends(result, DependencyKind::kPort, 3));
    sw.at(3).up = false;
    result = sw.run(eth_key());
    CHECK(text(result) == "4");
    CHECK(depends(result, DependencyKind::kGroup, 9));
    CHECK(depends(result, DependencyKind::kPort, 5));
    sw.at(5).up = false;
    result = sw.run(eth_key());
    CHECK(text(result) == "drop:group");
    CHECK(depends(result, DependencyKind::kPort, 77));
    sw.groups.erase(9);
    CHECK(text(sw.run(eth_key())) == "drop:group");
  }

  TEST_CASE("groups that watch each other are not live, and end") {
    HandmadeBridge sw{3};
    sw.group(1, GroupType::kFastFailover, {{{to_port(2)}, 1, {}, 2}});
    sw.group(2, GroupType::kFastFailover, {{{to_port(3)}, 1, {}, 1}});
    sw.rule(0, 1, kAny, {GroupAction{1}});
    CHECK(text(sw.run(eth_key())) == "drop:group");
  }

  TEST_CASE("a chain that doubles at each group ends, and so does one of groups to watch") {
    HandmadeBridge sw{3};
    for (std::uint32_t i = 1; i < 40; ++i)
      sw.group(i, GroupType::kAll, {{{GroupAction{i + 1}}}, {{GroupAction{i + 1}}}});
    sw.group(40, GroupType::kAll, {{{DropAction{}}}});
    sw.rule(0, 1, kAny, {GroupAction{1}});
    CHECK(text(sw.run(eth_key())) == "drop:resubmit-limit");
    for (std::uint32_t i = 1; i < 40; ++i)
      sw.group(i, GroupType::kFastFailover, {{{to_port(2)}, 1, {}, i + 1}, {{to_port(2)}, 1, {}, i + 1}});
    sw.group(40, GroupType::kFastFailover, {{{to_port(2)}, 1, PortNo{77}, {}}});
    CHECK(text(sw.run(eth_key())) == "drop:group");
  }

  TEST_CASE("a packet-in from a bucket says so") {
    HandmadeBridge sw{3};
    sw.group(1, GroupType::kIndirect, {{{OutputAction{kPortController}}}});
    sw.rule(0, 1, kAny, {GroupAction{1}, to_port(2)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "up:0 2");
    REQUIRE(result.follow_ups->controllers.size() == 1);
    CHECK(result.follow_ups->controllers[0].action.reason == PacketInReason::kGroup);
  }
}
