// SPDX-License-Identifier: Apache-2.0
// The fuzzer's corpus, tests/fuzz/corpus/openflow, has each message of each version; with SHUNT_WRITE_CORPUS=1 this
// writes it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/fuzz/openflow_seeds.h"
#include "tests/unit/control/fake_instance.h"
#include "user/openflow/session.h"

using namespace shunt;
using namespace shunt::openflow;

TEST_SUITE("openflow corpus") {
  TEST_CASE("there is a file for each message of each version") {
    const std::filesystem::path folder = SHUNT_SOURCE_DIR "/tests/fuzz/corpus/openflow";
    const bool write = std::getenv("SHUNT_WRITE_CORPUS") != nullptr;
    if (write) std::filesystem::create_directories(folder);
    for (const auto& [name, seed] : test::openflow_seeds()) {
      CAPTURE(name);
      if (write) std::ofstream{folder / name, std::ios::binary} << seed;
      std::ostringstream found;
      found << std::ifstream{folder / name, std::ios::binary}.rdbuf();
      CHECK(found.str() == seed);
    }
  }

  // A seed that a length check turns away leads a fuzzer nowhere.
  TEST_CASE("no seed is of a wrong length") {
    for (const auto& [name, seed] : test::openflow_seeds()) {
      CAPTURE(name);
      test::FakeInstance instance;
      instance.add_bridge("br0");
      BridgeAgent agent{instance, BridgeId{1}, "br0"};
      Session session{agent, Session::Kind::kController};
      Writer hello;
      { const MessageScope message{hello, number_of(kVersions[static_cast<std::size_t>(seed[0])]), kHelloType, 1}; }
      session.feed(hello.bytes());
      session.feed({reinterpret_cast<const std::uint8_t*>(seed.data()) + 2, seed.size() - 2});
      while (session.process()) {
      }
      CHECK(session.input_size() == 0);
      const std::vector<std::uint8_t> replies = session.take_output();
      for (Bytes left{replies}; !left.empty();) {
        const Header header = read_header(left);
        if (header.type == kErrorType) {
          constexpr unsigned kBadRequest = 1, kBadLength = 6;
          const unsigned type = static_cast<unsigned>(left[8] << 8 | left[9]);
          const unsigned code = static_cast<unsigned>(left[10] << 8 | left[11]);
          CHECK_FALSE((type == kBadRequest && code == kBadLength));
        }
        left = left.subspan(header.length);
      }
    }
  }
}
