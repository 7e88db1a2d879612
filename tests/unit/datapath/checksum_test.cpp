// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

PacketBuilder v4() { return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2"); }
PacketBuilder v6() { return packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"); }

void completes(PacketBuilder builder) {
  PacketBuilder right = builder;
  Frame f{builder.partial_checksum().build()};
  CHECK(check_checksums(f.bytes()).l4 == false);
  CHECK(shunt_complete_checksum(f.frame(), &f.headers) == 0);
  CHECK(check_checksums(f.bytes()).l4 == true);
  CHECK(f.bytes() == right.build());
  CHECK(shunt_complete_checksum(f.frame(), &f.headers) == 0);
  CHECK(f.bytes() == right.build());
}

}  // namespace

TEST_SUITE("checksum") {
  TEST_CASE("an updated checksum is that of the changed bytes, for every kind of sum") {
    std::mt19937 random{1};
    for (int round = 0; round < 20000; ++round) {
      std::vector<std::uint8_t> bytes(20);
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random() % 4 == 0 ? 0xff * (random() % 2) : random());
      bytes[10] = bytes[11] = 0;
      std::uint16_t checksum = SHUNT_BE16(internet_checksum(bytes));
      const std::size_t at = random() % 5 * 2;
      const __u16 before = shunt_load16(bytes.data() + at);
      const __u16 after = static_cast<__u16>(random() % 3 == 0 ? 0xffff * (random() % 2) : random());
      shunt_store16(bytes.data() + at, after);
      checksum = shunt_checksum_update(checksum, shunt_sum_difference(before, after));
      shunt_store16(bytes.data() + 10, checksum);
      REQUIRE(internet_checksum(bytes) == 0);
    }
  }

  TEST_CASE("a partial TCP checksum is completed, for any payload size") {
    for (std::size_t size : {0u, 1u, 2u, 3u, 63u, 1460u, 8960u}) {
      completes(v4().tcp(1, 2).payload(size));
      completes(v6().tcp(1, 2).payload(size));
    }
  }

  TEST_CASE("a partial UDP checksum is completed") {
    for (std::size_t size : {0u, 1u, 5u, 1472u}) {
      completes(v4().udp(1, 2).payload(size));
      completes(v6().udp(1, 2).payload(size));
    }
  }

  TEST_CASE("a partial SCTP checksum is completed") {
    completes(v4().sctp(1, 2).payload(100));
    completes(v6().sctp(1, 2).payload(7));
  }

  TEST_CASE("completion works behind options, tags and extension headers, and leaves padding out") {
    completes(packet().eth(kA, kB).vlan(1).vlan(2).ipv4("1.2.3.4", "5.6.7.8").ip_options(12).tcp(1, 2).payload(9));
    completes(v6().hop_by_hop().dst_options(16).udp(1, 2).payload(9));
    completes(v4().udp(1, 2).payload(3).pad(60));
  }

  TEST_CASE("a UDP checksum that comes out as 0 is completed as ffff") {
    // The two payload bytes are chosen so that everything else sums to ffff.
    for (unsigned value = 0; value < 0x10000; ++value) {
      const char text[] = {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
      const Bytes right = v4().udp(1, 2).payload(std::string_view{text, 2}).build();
      if (right[40] != std::byte{0xff} || right[41] != std::byte{0xff}) continue;
      completes(v4().udp(1, 2).payload(std::string_view{text, 2}));
      return;
    }
    FAIL("no payload gives a zero checksum");
  }

  TEST_CASE("a complete or wrong checksum is left as it is") {
    for (const Bytes& bytes : {v4().tcp(1, 2).payload(9).build(), v4().tcp(1, 2).payload(9).bad_checksum().build(),
                               v4().udp(1, 2).payload(9).no_checksum().build(), v6().icmp6(128, 0).payload(9).build(),
                               v4().sctp(1, 2).payload(9).bad_checksum().build(),
                               v4().fragment(0, true).tcp(1, 2).payload(9).partial_checksum().build()}) {
      Frame f{bytes};
      CHECK(shunt_complete_checksum(f.frame(), &f.headers) == 0);
      CHECK(f.bytes() == bytes);
    }
  }

  TEST_CASE("the CRC's difference is that of the whole computation, for any length") {
    std::mt19937 random{2};
    for (std::size_t size = 4; size < 3000; size = size * 5 / 4 + 1) {
      std::vector<std::uint8_t> bytes(size);
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
      const std::uint32_t before = crc32c(bytes);
      const auto difference = static_cast<__u32>(random());
      for (std::size_t i = 0; i < 4; ++i) bytes[i] ^= static_cast<std::uint8_t>(difference >> 8 * i);
      CHECK((before ^ shunt_crc32c_difference(difference, static_cast<__u32>(size))) == crc32c(bytes));
    }
  }

  TEST_CASE("crc32c gives the published value") {
    const std::string_view text = "123456789";
    CHECK(crc32c({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}) == 0xe3069283u);
  }
}
