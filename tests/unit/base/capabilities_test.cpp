// SPDX-License-Identifier: Apache-2.0
#include "user/base/capabilities.h"

#include <doctest/doctest.h>
#include <linux/capability.h>

#include <string>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::uint64_t bit(unsigned capability) { return std::uint64_t{1} << capability; }
constexpr std::uint64_t kNetwork = bit(CAP_NET_ADMIN) | bit(CAP_NET_RAW);
constexpr std::uint64_t kEnough = kNetwork | bit(CAP_BPF) | bit(CAP_PERFMON);

}  // namespace

TEST_SUITE("capabilities") {
  TEST_CASE("root misses none") {
    CHECK(missing_capabilities(~std::uint64_t{0}).empty());
    CHECK(check_capabilities(~std::uint64_t{0}).empty());
  }

  TEST_CASE("CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON, and for nothing else") {
    CHECK_NOTHROW(check_capabilities(kNetwork | bit(CAP_SYS_ADMIN)));
    CHECK_THROWS_AS(check_capabilities(bit(CAP_SYS_ADMIN)), Error);
  }

  TEST_CASE("each one that is required is refused by name when it alone is missing") {
    for (const auto& [number, name] : {std::pair{CAP_NET_ADMIN, "CAP_NET_ADMIN ("},
                                       {CAP_BPF, "CAP_BPF ("},
                                       {CAP_PERFMON, "CAP_PERFMON ("},
                                       {CAP_NET_RAW, "CAP_NET_RAW ("}}) {
      CAPTURE(name);
      CHECK_THROWS_WITH_AS(check_capabilities(kEnough & ~bit(static_cast<unsigned>(number))), doctest::Contains(name),
                           Error);
    }
  }

  TEST_CASE("a refusal names the remedy") {
    CHECK_THROWS_WITH_AS(check_capabilities(0), doctest::Contains("run as root"), Error);
  }

  TEST_CASE("those that only make something better are warnings") {
    const auto warnings = check_capabilities(kEnough);
    REQUIRE(warnings.size() == 3);
    CHECK(warnings[0].find("CAP_SYS_ADMIN") != std::string::npos);
    CHECK(warnings[1].find("CAP_SYS_PTRACE") != std::string::npos);
    CHECK(warnings[2].find("CAP_IPC_LOCK") != std::string::npos);
  }

  TEST_CASE("a process status gives the effective set, and not the permitted one") {
    CHECK(parse_effective_capabilities(
              "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000003000\nCapBnd:\t0\n") == kNetwork);
    CHECK_THROWS_AS(static_cast<void>(parse_effective_capabilities("Name:\tx\n")), Error);
    CHECK_THROWS_AS(static_cast<void>(parse_effective_capabilities("Name:\tx\nCapEff:\tzzz\n")), Error);
    CHECK_THROWS_AS(static_cast<void>(parse_effective_capabilities("Name:\tx\nCapEff:\t12")), Error);
    CHECK_NOTHROW(static_cast<void>(effective_capabilities()));
  }
}

TEST_SUITE("kernel version") {
  TEST_CASE("releases of distributions are understood") {
    CHECK(parse_kernel_version("6.1.0-13-amd64") == KernelVersion{6, 1, 0});
    CHECK(parse_kernel_version("6.18-rc1") == KernelVersion{6, 18, 0});
    CHECK(parse_kernel_version("5.10.0") == KernelVersion{5, 10, 0});
    CHECK(parse_kernel_version("6.12.43+deb12-cloud") == KernelVersion{6, 12, 43});
    for (const char* text : {"", "6", "six.one", "6.", "6.1.", ".1"}) {
      CAPTURE(text);
      CHECK_THROWS_AS(static_cast<void>(parse_kernel_version(text)), Error);
    }
  }

  TEST_CASE("an older kernel is refused, the oldest one good enough is not") {
    CHECK_NOTHROW(check_kernel({6, 1, 0}));
    CHECK_NOTHROW(check_kernel({7, 0, 0}));
    CHECK_THROWS_WITH_AS(check_kernel({6, 0, 19}), "kernel 6.0.19 is too old: Shunt needs Linux 6.1 or newer", Error);
    CHECK_THROWS_AS(check_kernel({5, 15, 0}), Error);
    CHECK(running_kernel() > KernelVersion{3, 0, 0});
  }
}

}  // namespace shunt
