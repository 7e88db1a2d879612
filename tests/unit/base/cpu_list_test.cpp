// SPDX-License-Identifier: Apache-2.0
#include "user/base/cpu_list.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::array<unsigned, 5> kCpus{0, 1, 2, 3, 8};
using Cpus = std::vector<unsigned>;

}  // namespace

TEST_SUITE("CPU list") {
  TEST_CASE("single CPUs and ranges are taken in the order written") {
    CHECK(parse_cpu_list("0", kCpus) == Cpus{0});
    CHECK(parse_cpu_list("0,2-3", kCpus) == Cpus{0, 2, 3});
    CHECK(parse_cpu_list("8,0-1", kCpus) == Cpus{8, 0, 1});
    CHECK(parse_cpu_list("2-2", kCpus) == Cpus{2});
  }

  TEST_CASE("a bad part is named") {
    for (const std::string part : {"x", "1x", "-1", "1-", "0x1", " 1", "1-2-3", "99999999999", "0-4294967295"}) {
      CAPTURE(part);
      CHECK_THROWS_WITH_AS(static_cast<void>(parse_cpu_list("0," + part, kCpus)),
                           doctest::Contains(("'" + part + "'").c_str()), Error);
    }
    for (const std::string text : {"", ",", "0,", ",0", "0,,1"}) {
      CAPTURE(text);
      CHECK_THROWS_AS(static_cast<void>(parse_cpu_list(text, kCpus)), Error);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(parse_cpu_list("3-1", kCpus)), doctest::Contains("ends before it begins"),
                         Error);
  }

  TEST_CASE("a CPU that does not exist, or comes twice, is refused") {
    CHECK_THROWS_WITH_AS(static_cast<void>(parse_cpu_list("0,7", kCpus)),
                         "CPU 7 does not exist, or is not ours to use: there are 0-3,8", Error);
    CHECK_THROWS_AS(static_cast<void>(parse_cpu_list("2-8", kCpus)), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(parse_cpu_list("0-2,1", kCpus)), doctest::Contains("CPU 1 is twice"), Error);
  }

  TEST_CASE("a list is written as short as it can be, and reads back") {
    CHECK(to_cpu_list(Cpus{}) == "");
    CHECK(to_cpu_list(Cpus{4}) == "4");
    CHECK(to_cpu_list(kCpus) == "0-3,8");
    CHECK(parse_cpu_list(to_cpu_list(kCpus), kCpus) == Cpus(kCpus.begin(), kCpus.end()));
  }

  TEST_CASE("this thread may run somewhere") {
    const auto cpus = available_cpus();
    REQUIRE_FALSE(cpus.empty());
    CHECK(parse_cpu_list(to_cpu_list(cpus), cpus) == cpus);
  }
}

}  // namespace shunt
