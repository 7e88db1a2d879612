// SPDX-License-Identifier: Apache-2.0
#include "bpf/datapath/hash.h"

#include <vector>

#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

constexpr __u64 kSeed = 0x0123456789abcdef, kMultiplier = 0x9e3779b97f4a7c15;

__u32 hash_of(const PacketBuilder& builder, __u32 features = SHUNT_FEATURE_ALL) {
  const Frame f{builder.build(), features};
  return shunt_dp_hash(&f.key, kSeed, kMultiplier);
}
PacketBuilder v4(const char* src = "10.0.0.1", const char* dst = "10.0.0.2") {
  return packet().eth(kA, kB).ipv4(src, dst);
}

}  // namespace

TEST_SUITE("dp_hash") {
  TEST_CASE("it is over addresses of L2 and L3, protocol and ports") {
    const __u32 one = hash_of(v4().udp(1, 2));
    CHECK(hash_of(v4().udp(1, 2).payload(99)) == one);
    CHECK(hash_of(v4().ttl(3).tos(8).udp(1, 2)) == one);
    CHECK(hash_of(v4().udp(1, 3)) != one);
    CHECK(hash_of(v4().udp(2, 2)) != one);
    CHECK(hash_of(v4().tcp(1, 2)) != one);
    CHECK(hash_of(v4("10.0.0.3").udp(1, 2)) != one);
    CHECK(hash_of(v4("10.0.0.1", "10.0.0.3").udp(1, 2)) != one);
    CHECK(hash_of(packet().eth(kA, kA).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2)) != one);
    CHECK(hash_of(packet().eth(kB, kB).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2)) != one);
    CHECK(hash_of(v4("10.0.0.2", "10.0.0.1").udp(2, 1)) != one);
  }

  TEST_CASE("all fragments of a datagram have the same") {
    const __u32 one = hash_of(v4().fragment(0, true).udp(1, 2).payload(64));
    CHECK(hash_of(v4().fragment(9, true).proto(17).payload(64)) == one);
    const auto v6 = [] { return packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"); };
    CHECK(hash_of(v6().fragment(0, true).udp(1, 2).payload(64)) ==
          hash_of(v6().fragment(9, false).proto(17).payload(64)));
  }

  TEST_CASE("it does not depend on what else a program was built to parse") {
    for (const PacketBuilder& builder :
         {v4().udp(1, 2), packet().eth(kA, kB).arp_request(), packet().eth(kA, kB).mpls(5).payload(40),
          packet().eth(kA, kB).vlan(3).ipv6("2001:db8::1", "2001:db8::2").nd_solicit("fe80::2").nd_option(1, kA)})
      CHECK(hash_of(builder, SHUNT_FEATURE_HASH) == hash_of(builder));
  }

  TEST_CASE("its low bits spread connections evenly") {
    constexpr unsigned kBuckets = 256, kFlows = 256'000;
    const Frame f{v4().udp(1, 2).build()};
    std::vector<unsigned> counts(kBuckets);
    shunt_flow_key key = f.key;
    for (unsigned i = 0; i < kFlows; ++i) {
      // What a scan of hosts and ports looks like: neighbours.
      key.ip_src[15] = static_cast<__u8>(i);
      key.ip_src[14] = static_cast<__u8>(i >> 8);
      key.tp_src = shunt_be16{static_cast<__u16>(1024 + (i >> 16))};
      ++counts[shunt_dp_hash(&key, kSeed, kMultiplier) % kBuckets];
    }
    double chi = 0;
    for (const unsigned count : counts) {
      const double off = count - double{kFlows} / kBuckets;
      chi += off * off / (double{kFlows} / kBuckets);
    }
    // Of a chi-squared variable with 255 degrees of freedom, one in a million is above 375.
    CHECK(chi < 375);
  }
}
