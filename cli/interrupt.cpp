// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <cerrno>
#include <cmath>
#include <csignal>
#include <ctime>

namespace shunt::cli {
namespace {

volatile std::sig_atomic_t signalled = 0;

}  // namespace

void end_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { signalled = 1; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return signalled != 0; }

void pause_for(double seconds) {
  timespec left{static_cast<time_t>(seconds), static_cast<long>(std::fmod(seconds, 1.0) * 1e9)};
  while (signalled == 0 && ::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

}  // namespace shunt::cli
