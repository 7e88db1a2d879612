// SPDX-License-Identifier: Apache-2.0
#include "cli/pace.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <ctime>

namespace shunt::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

void end_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool is_interrupted() { return interrupted != 0; }

void pause_for(double seconds) {
  timespec left{static_cast<time_t>(seconds), static_cast<long>(std::fmod(seconds, 1.0) * 1e9)};
  while (interrupted == 0 && ::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

std::string rate_text(double per_second) {
  if (per_second >= 1e9) return fmt::format("{:.2f}G", per_second / 1e9);
  if (per_second >= 1e6) return fmt::format("{:.2f}M", per_second / 1e6);
  if (per_second >= 1e4) return fmt::format("{:.1f}k", per_second / 1e3);
  return fmt::format("{:.0f}", per_second);
}

}  // namespace shunt::cli
