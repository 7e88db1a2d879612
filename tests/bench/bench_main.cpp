// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_main.h"

#include <fmt/format.h>
#include <unistd.h>

#include <exception>

#include "tests/bench/child_process.h"

namespace shunt::bench {

int run_as_root(std::string_view name, const std::function<int()>& bench) {
  if (::geteuid() != 0) {
    fmt::print(stderr, "{}: skipped: needs root\n", name);
    return 77;
  }
  try {
    end_in_order_on_signals();
    return bench();
  } catch (const EndedBySignal&) {
    fmt::print(stderr, "{}: ended by a signal\n", name);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
  }
  return 1;
}

}  // namespace shunt::bench
