// SPDX-License-Identifier: Apache-2.0
// What fuzzers share: the entry point, seeds, and a check that ends the run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace shunt::test {

// Inputs that the driver starts from and mutates; a fuzzer may define it. libFuzzer does not use it.
[[gnu::weak]] std::vector<std::string> fuzz_seeds();

}  // namespace shunt::test

#define FUZZ_CHECK(condition)                                                        \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                  \
    }                                                                                \
  } while (false)
