// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/measurement.h"

#include <algorithm>
#include <thread>

#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Frames a second that find out whether anything is missing, and that leave a slow path the time to cache it.
constexpr std::uint64_t kProbeRate = 400'000, kWarmUpRate = 40'000;
constexpr double kTolerated = 0.05;  // of a core
constexpr int kTries = 4;

struct Reading {
  Clock::time_point at;
  std::uint64_t sent, delivered;
  std::chrono::nanoseconds generator, contestant;
  MachineTime machine;
};

Reading read(const Traffic& traffic, const Contestant& contestant) {
  return {Clock::now(),
          traffic.sent(),
          traffic.received(contestant.lane()),
          traffic.cpu_time() + cpu_time_of_ksoftirqd(),
          contestant.cpu_time(),
          machine_time()};
}

Sample measure_once(Traffic& traffic, Contestant& contestant, const Window& window) {
  using Microseconds = std::chrono::duration<double, std::micro>;
  const Reading before = read(traffic, contestant);
  pause_for(window.length);
  const Reading after = read(traffic, contestant);
  const auto sent = static_cast<double>(after.sent - before.sent);
  const auto delivered = static_cast<double>(after.delivered - before.delivered);
  if (delivered == 0) throw Error("delivered nothing of {} frames. {}", sent, contestant.last_words());
  const Microseconds passed = after.at - before.at, generator = after.generator - before.generator,
                     own = after.contestant - before.contestant, idle = after.machine.idle - before.machine.idle,
                     stolen = after.machine.stolen - before.machine.stolen;
  // What was stolen counts twice: as time that was not idle, and as time that we took for our own.
  const Microseconds others = passed * std::thread::hardware_concurrency() - idle - generator - own + stolen;
  return {sent / passed.count(), delivered / passed.count(), (generator + own).count() / delivered,
          generator.count() / sent + own.count() / delivered, std::max(0.0, others / passed)};
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  std::ranges::sort(values);
  return {values.front(), values[values.size() / 2], values.back()};
}

Sample measure(Traffic& traffic, Contestant& contestant, SequencePart part, const Window& window) {
  traffic.send_sequence(contestant.lane(), part);
  pause_for(window.settle);
  Sample best = measure_once(traffic, contestant, window);
  for (int tries = 1; tries < kTries && best.disturbance > kTolerated; tries++) {
    const Sample again = measure_once(traffic, contestant, window);
    if (again.disturbance < best.disturbance) best = again;
  }
  traffic.stop_sending();
  return best;
}

bool warm_up(Traffic& traffic, Contestant& contestant, SequencePart part, std::chrono::seconds patience) {
  const auto end = Clock::now() + patience;
  const auto anything_missing = [&](std::uint64_t rate) {  // when every flow comes by once
    const std::optional<std::uint64_t> before = contestant.misses();
    if (!before) return false;
    traffic.send_sequence(contestant.lane(), part, rate);
    pause_for(std::chrono::milliseconds{part.count * 1000ull / rate + 300});
    traffic.stop_sending();
    return contestant.misses() != before;
  };
  while (anything_missing(kProbeRate)) {
    if (Clock::now() > end) return false;
    static_cast<void>(anything_missing(kWarmUpRate));
  }
  return true;
}

}  // namespace shunt::bench
