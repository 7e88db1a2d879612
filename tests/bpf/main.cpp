// SPDX-License-Identifier: Apache-2.0
// The tests' main: skipped (77) where programs cannot be loaded, and the reason said.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <exception>

#include "user/base/capabilities.h"
#include "user/base/error.h"

int main(int argc, char** argv) {
  try {
    shunt::check_kernel(shunt::running_kernel());
    (void)shunt::check_capabilities(shunt::effective_capabilities());
    if (::geteuid() != 0) throw shunt::Error("not root");
  } catch (const std::exception& reason) {
    fmt::print("skipped: {}\n", reason.what());
    return 77;
  }
  spdlog::set_level(spdlog::level::warn);
  doctest::Context context{argc, argv};
  return context.run();
}
