// SPDX-License-Identifier: Apache-2.0
// multipath and bundle.
#include <doctest/doctest.h>

#include <array>
#include <set>

#include "tests/support/pipeline_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

using Links = MultipathAction::Algorithm;
using Members = BundleAction::Algorithm;

constexpr std::uint32_t kFlows = 20'000;

FlowKey flow(std::uint32_t number) {
  FlowKey key = tcp_key();
  key.ip_src[13] = static_cast<__u8>(number >> 16);
  key.ip_src[14] = static_cast<__u8>(number >> 8);
  key.ip_src[15] = static_cast<__u8>(number);
  return key;
}

// The link of each flow, as the port that output:reg0 leads to.
struct Multipath {
  HandmadeBridge sw{40};
  Multipath(Links algorithm, std::uint32_t links, std::uint32_t arg = 0) {
    sw.rule(0, 1, {},
            {MultipathAction{HashFields::kSymmetricL3L4Udp, 7, algorithm, links, arg, bits_of(kReg0, 8, 8)},
             set_field(kReg0, 200, 0xff), NoteAction{}, GotoTableAction{1}});
    for (std::uint32_t link = 0; link < links; ++link)
      sw.rule(1, 1, match_on(kReg0, link << 8 | 200), {to_port(2 + link)});
  }
  std::uint32_t link(std::uint32_t number) {
    const Translation result = sw.run(flow(number));
    REQUIRE(result.actions.size() == 1);
    return result.actions[0].arg - 102u;
  }
};

std::vector<std::uint32_t> links_of(Multipath& multipath, std::uint32_t flows) {
  std::vector<std::uint32_t> links;
  for (std::uint32_t i = 0; i < flows; ++i) links.push_back(multipath.link(i));
  return links;
}

BundleAction bundle(Members algorithm, std::initializer_list<std::uint32_t> members,
                    std::optional<Subfield> target = {}) {
  BundleAction action{HashFields::kNwSrc, 0, algorithm, {}, target};
  for (const std::uint32_t member : members) action.members.emplace_back(member);
  return action;
}

}  // namespace

TEST_SUITE("translate: spread") {
  TEST_CASE("multipath spreads evenly over its links and writes the bits of its target only") {
    for (const Links algorithm :
         {Links::kModuloN, Links::kHashThreshold, Links::kHighestRandomWeight, Links::kIterativeHash}) {
      CAPTURE(static_cast<int>(algorithm));
      Multipath multipath{algorithm, 5};
      std::array<std::uint32_t, 5> counts{};
      for (const std::uint32_t link : links_of(multipath, kFlows)) ++counts.at(link);
      for (const std::uint32_t count : counts) {
        CHECK(count > kFlows / 5 * 93 / 100);
        CHECK(count < kFlows / 5 * 107 / 100);
      }
    }
  }

  TEST_CASE("with one link more only as many flows move as the algorithm says") {
    struct Case {
      Links algorithm;
      double at_least, at_most;
    };
    // RFC 2992: 1/2 for hash threshold in the worst place, 1/n for highest random weight; all for modulo.
    for (const auto& [algorithm, at_least, at_most] :
         {Case{Links::kModuloN, 0.7, 0.9}, Case{Links::kHashThreshold, 0.2, 0.55},
          Case{Links::kHighestRandomWeight, 0.13, 0.21}, Case{Links::kIterativeHash, 0.1, 0.21}}) {
      CAPTURE(static_cast<int>(algorithm));
      Multipath five{algorithm, 5, 8}, six{algorithm, 6, 8};
      const auto before = links_of(five, 5000), after = links_of(six, 5000);
      unsigned moved = 0;
      for (std::size_t i = 0; i < before.size(); ++i) moved += before[i] != after[i];
      CHECK(moved > at_least * 5000);
      CHECK(moved < at_most * 5000);
    }
  }

  TEST_CASE("a flow is as wide as what was hashed") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, {},
            {MultipathAction{HashFields::kNwSrc, 0, Links::kModuloN, 2, 0, bits_of(kReg0, 0, 1)}, to_port(2)});
    const FlowMask mask = sw.run(flow(1)).mask;
    CHECK(mask.eth_type == be16{0xffff});
    CHECK(hex(mask.ip_src, 16) == "000000000000000000000000ffffffff");
    CHECK(hex(mask.ip_dst, 16) == "00000000000000000000000000000000");
    CHECK(mask.tp_src == be16{0});
  }

  TEST_CASE("active_backup: the first live member, and what was asked about is depended on") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, {}, {bundle(Members::kActiveBackup, {2, 3, 4})});
    const auto port_tag = [](std::uint32_t number) { return tag_of(DependencyKind::kPort, number); };
    Translation result = sw.run(tcp_key());
    CHECK(text(result) == "2");
    CHECK((result.dependencies.tags & port_tag(2)) != 0);
    CHECK(is_zero(result.mask & flow_part(field_mask(field(FieldId::kIpv6Src)))));
    sw.at(2).up = false;
    result = sw.run(tcp_key());
    CHECK(text(result) == "3");
    CHECK((result.dependencies.tags & port_tag(3)) != 0);
    sw.at(3).up = sw.at(4).up = false;
    CHECK(text(sw.run(tcp_key())) == "drop:no-output-port");
  }

  TEST_CASE("highest random weight: flows of a member that goes down spread over the others, the rest stay") {
    HandmadeBridge sw{5};
    sw.rule(0, 1, {}, {bundle(Members::kHighestRandomWeight, {2, 3, 4, 5})});
    const auto member = [&](std::uint32_t number) { return sw.run(flow(number)).actions.at(0).arg - 100u; };
    std::vector<std::uint32_t> before;
    std::array<std::uint32_t, 6> counts{};
    for (std::uint32_t i = 0; i < 4000; ++i) ++counts.at(before.emplace_back(member(i)));
    for (std::uint32_t port = 2; port <= 5; ++port) CHECK(counts.at(port) > 900);
    sw.at(3).up = false;
    std::set<std::uint32_t> taken_over_by;
    for (std::uint32_t i = 0; i < 4000; ++i) {
      const std::uint32_t now = member(i);
      if (before[i] == 3)
        taken_over_by.insert(now);
      else
        CHECK(now == before[i]);
    }
    CHECK(taken_over_by == std::set<std::uint32_t>{2, 4, 5});
  }

  TEST_CASE("bundle_load writes the member's number, or 65535 where none is live") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, {}, {bundle(Members::kActiveBackup, {3, 4}, bits_of(kReg0, 0, 16)), GotoTableAction{1}});
    sw.rule(1, 1, match_on(kReg0, 3), {to_port(2)});
    sw.rule(1, 1, match_on(kReg0, 65535), {to_port(4)});
    CHECK(text(sw.run(tcp_key())) == "2");
    sw.at(3).up = sw.at(4).up = false;
    CHECK(sw.run(tcp_key()).rules.size() == 2);
    CHECK(sw.run(tcp_key()).rules[1].get() == sw.rules[2].get());
  }
}
