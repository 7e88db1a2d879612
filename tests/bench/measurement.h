// SPDX-License-Identifier: Apache-2.0
// What is measured of a contestant in one window, and what several windows say.
#pragma once

#include <chrono>
#include <vector>

#include "tests/bench/contestant.h"

namespace shunt::bench {

struct Spread {
  double min, median, max;
};
[[nodiscard]] Spread spread_of(std::vector<double> values);  // of one value at least

struct Window {
  std::chrono::milliseconds settle{100}, length{400};  // what is sent before counts, and what counts
};

// Rates in millions a second, CPU time in microseconds.
struct Sample {
  double sent = 0, delivered = 0;
  // All cores together, generator and sink included, for a packet that was delivered...
  double cpu = 0;
  // ... and without what the generator spent on packets that were lost.
  double cpu_without_lost = 0;
  // Share of a core that programs which are not part of this, and the host's other guests, took meanwhile.
  double disturbance = 0;
};

// Sends a part of the sequence to a contestant that runs, as fast as the generator goes. A window that others disturbed
// is measured again, some times; the one that was disturbed least counts. Throws Error where nothing at all arrives.
[[nodiscard]] Sample measure(Traffic& traffic, Contestant& contestant, SequencePart part, const Window& window);

// Sends each of these frames slowly enough for a slow path, again and again, until the contestant's caches answer all
// of them. False where they did not within `patience`; true where it has no caches.
[[nodiscard]] bool warm_up(Traffic& traffic, Contestant& contestant, SequencePart part, std::chrono::seconds patience);

}  // namespace shunt::bench
