// SPDX-License-Identifier: Apache-2.0
#include "user/web/address.h"

#include <doctest/doctest.h>

#include "user/base/error.h"

using namespace shunt;

TEST_SUITE("listen address") {
  TEST_CASE("a port alone is on loopback") {
    const ListenAddress address = parse_listen_address("9101");
    CHECK(address.text() == "127.0.0.1:9101");
    CHECK(address.is_loopback());
  }

  TEST_CASE("an address may be IPv4, IPv6 in brackets, or localhost") {
    CHECK(parse_listen_address("localhost:0").text() == "127.0.0.1:0");
    CHECK(parse_listen_address("[::1]:80").text() == "[::1]:80");
    CHECK(parse_listen_address("[::1]:80").is_loopback());
    CHECK_FALSE(parse_listen_address("0.0.0.0:65535").is_loopback());
    CHECK_FALSE(parse_listen_address("[::]:1").is_loopback());
  }

  TEST_CASE("what is none is refused") {
    for (const char* text : {"", ":", "x", "65536", "-1", "1 ", "1.2.3.4:", ":80", "1.2.3:80", "::1:80", "[::1]",
                             "[]:80", "[1.2.3.4]:80", "example.org:80", "127.0.0.1:80:90"}) {
      CAPTURE(text);
      CHECK_THROWS_AS((void)parse_listen_address(text), Error);
    }
  }
}
