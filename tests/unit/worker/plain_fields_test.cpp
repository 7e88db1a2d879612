// SPDX-License-Identifier: Apache-2.0
// What the kernel's exact-match cache is told: which fields flows look at, and that what it holds is void.
#include <doctest/doctest.h>

#include "tests/unit/worker/memory_maps.h"
#include "user/worker/megaflow_table.h"
#include "user/worker/plain_fields.h"

using namespace shunt;
using namespace shunt::test;

namespace {

FlowMask port_only() {
  FlowMask mask{};
  mask.in_port = ~0u;
  return mask;
}

FlowKey key_from(std::uint32_t in_port) {
  FlowKey key{};
  key.in_port = in_port;
  return key;
}

TranslationRef translation(const FlowMask& mask, std::uint16_t output) {
  Translation made;
  made.mask = mask;
  made.actions = {output_to(output)};
  return std::make_shared<const Translation>(std::move(made));
}

struct Fixture {
  MemoryMaps maps{64, 64};
  MegaflowTable table{maps};
  TimePoint now{std::chrono::hours{1}};

  Fixture() {
    for (std::uint32_t port = 1; port <= 3; ++port) {
      table.add_port(DpPort{port});
      table.update_output(DpPort{port}, {Ifindex{100 + port}, true});
    }
  }
  [[nodiscard]] std::uint64_t number(std::uint32_t port) const { return maps.ports[port].microflows >> 16; }
  [[nodiscard]] unsigned fields(std::uint32_t port) const { return maps.ports[port].microflows & 0xffff; }
};

}  // namespace

TEST_SUITE("exact-match cache") {
  TEST_CASE("a field counts whole, with what must be known of the packet for it to be there") {
    FlowMask mask = port_only();
    CHECK(plain_fields(mask) == 0);
    mask.eth_src[0] = 1;
    CHECK(plain_fields(mask) == SHUNT_PLAIN_SRC);
    mask.vlan[1].tci = be16{0x1000};
    CHECK(plain_fields(mask) == (SHUNT_PLAIN_SRC | SHUNT_PLAIN_VLAN));
    mask = port_only();
    mask.tp_dst = be16{1};
    CHECK(plain_fields(mask) == (SHUNT_PLAIN_PORTS | SHUNT_PLAIN_PROTO | SHUNT_PLAIN_TYPE));
    mask = port_only();
    mask.ip_dst[0] = 1;  // only an IPv6 address has it
    CHECK(plain_fields(mask) == (SHUNT_PLAIN_IP_DST | SHUNT_PLAIN_TYPE));
    mask = port_only();
    mask.nd_target[15] = 1;
    CHECK(plain_fields(mask) == (SHUNT_PLAIN_NOT_IP | SHUNT_PLAIN_PROTO | SHUNT_PLAIN_TYPE));
    mask = port_only();
    mask.mpls_lse[0] = be32{1};
    CHECK(plain_fields(mask) == (SHUNT_PLAIN_NOT_IP | SHUNT_PLAIN_TYPE));
    mask = port_only();
    mask.ipv6_label = be32{1};
    CHECK(plain_fields(mask) == (SHUNT_PLAIN_LABEL | SHUNT_PLAIN_TYPE));
    for (unsigned which = 0; which < 2; ++which) {
      mask = port_only();
      (which == 0 ? mask.nw_ttl : mask.nw_tos) = 0x80;
      CHECK(((plain_fields(mask) & SHUNT_PLAIN_OTHER) != 0) == (which == 0));
    }
    mask = port_only();
    mask.dp_hash = 1;
    CHECK(plain_fields(mask) == SHUNT_PLAIN_OTHER);
  }

  TEST_CASE("a port's keys hold what its flows look at, but for flows that the cache cannot keep") {
    Fixture f;
    CHECK(f.fields(1) == SHUNT_PLAIN_ON);
    FlowMask mask = port_only();
    mask.eth_dst[5] = 0xff;
    f.table.publish(key_from(1), translation(mask, 2), f.now);
    CHECK(f.fields(1) == (SHUNT_PLAIN_ON | SHUNT_PLAIN_DST));
    CHECK(f.maps.flows[0].head.fields == SHUNT_PLAIN_DST);
    mask.eth_src[5] = 0xff;
    mask.nw_ttl = 0xff;
    f.table.publish(key_from(1), translation(mask, 2), f.now);
    CHECK(f.fields(1) == (SHUNT_PLAIN_ON | SHUNT_PLAIN_DST));
    CHECK((f.maps.flows[1].head.fields & SHUNT_PLAIN_OTHER) != 0);
    f.table.retire(0);
    CHECK(f.fields(1) == SHUNT_PLAIN_ON);
  }

  TEST_CASE("whatever ends a flow, or changes its actions, voids what the cache holds of its port, and of no other") {
    Fixture f;
    f.table.publish(key_from(1), translation(port_only(), 2), f.now);
    f.table.publish(key_from(2), translation(port_only(), 3), f.now);
    const std::uint64_t before = f.number(1), other = f.number(2);
    bool all = false;
    SUBCASE("it is retired") { f.table.retire(0); }
    SUBCASE("other actions") { CHECK(f.table.update(0, translation(port_only(), 3), f.now)); }
    SUBCASE("the port goes") { f.table.remove_port(DpPort{1}); }
    SUBCASE("all are flushed") {
      f.table.flush();
      all = true;
    }
    CHECK(f.number(1) > before);
    CHECK((f.number(2) > other) == all);
  }

  TEST_CASE("the same actions and a maturing flow void nothing") {
    Fixture f;
    f.table.publish(key_from(1), translation(port_only(), 2), f.now);
    const std::uint64_t before = f.number(1);
    CHECK_FALSE(f.table.update(0, translation(port_only(), 2), f.now));
    f.table.mature(f.now);
    CHECK(f.number(1) == before);
  }

  TEST_CASE("a port's next life, and a next daemon, go on where the number was") {
    Fixture f;
    f.table.publish(key_from(1), translation(port_only(), 2), f.now);
    const std::uint64_t before = f.number(1);
    SUBCASE("a port that is added again") { f.table.add_port(DpPort{1}); }
    SUBCASE("a daemon that takes over") {
      MegaflowTable next{f.maps};
      next.inherit_port(DpPort{1});
      next.inherit({}, f.now);
      CHECK(f.number(1) > before);
    }
    SUBCASE("a daemon that finds the port and adds it anew") {
      MegaflowTable next{f.maps};
      next.add_port(DpPort{1});
    }
    CHECK(f.number(1) > before);
  }
}
