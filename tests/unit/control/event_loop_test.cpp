// SPDX-License-Identifier: Apache-2.0
#include "user/control/event_loop.h"

#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

using namespace shunt;
using namespace std::chrono_literals;

namespace {

UniqueFd event(unsigned count) { return UniqueFd{::eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC)}; }

}  // namespace

TEST_SUITE("event loop") {
  TEST_CASE("a readable file descriptor calls back until it is removed") {
    EventLoop loop;
    const UniqueFd fd = event(1);
    int calls = 0;
    loop.add(fd.get(), EPOLLIN, [&](std::uint32_t events) {
      CHECK((events & EPOLLIN) != 0);
      ++calls;
    });
    loop.run_once(0ms);
    loop.run_once(0ms);
    CHECK(calls == 2);
    loop.modify(fd.get(), 0);
    loop.run_once(0ms);
    CHECK(calls == 2);
    loop.modify(fd.get(), EPOLLIN);
    loop.remove(fd.get());
    loop.run_once(0ms);
    CHECK(calls == 2);
  }

  TEST_CASE("an event fetched for a descriptor that was removed meanwhile does not reach its successor") {
    EventLoop loop;
    UniqueFd first = event(1), second = event(1);
    int stale = 0, fresh = 0;
    UniqueFd successor;
    // Whichever is served first removes the other, and puts a new descriptor under the other's number.
    const auto replace = [&](UniqueFd& other) {
      if (successor || !other) return;
      const int number = other.get();
      loop.remove(number);
      other.reset();
      successor = event(0);
      REQUIRE(successor.get() == number);
      loop.add(number, EPOLLIN, [&](std::uint32_t) { ++fresh; });
    };
    loop.add(first.get(), EPOLLIN, [&](std::uint32_t) { successor ? static_cast<void>(++stale) : replace(second); });
    loop.add(second.get(), EPOLLIN, [&](std::uint32_t) { successor ? static_cast<void>(++stale) : replace(first); });
    loop.run_once(0ms);
    CHECK(stale == 0);
    CHECK(fresh == 0);
    CHECK(successor);
  }

  TEST_CASE("timers come once, periodically, and not after they were cancelled") {
    EventLoop loop;
    int once = 0, often = 0, never = 0;
    loop.after(1ms, [&] { ++once; });
    EventLoop::TimerId periodic = 0;
    periodic = loop.every(1ms, [&] {
      if (++often == 3) loop.cancel(periodic);
    });
    loop.cancel(loop.after(1ms, [&] { ++never; }));
    const TimePoint end = Clock::now() + 5s;
    while (often < 3 && Clock::now() < end) loop.run_once(100ms);
    loop.run_once(5ms);
    loop.run_once(5ms);
    CHECK(once == 1);
    CHECK(often == 3);
    CHECK(never == 0);
  }

  TEST_CASE("what is posted runs in a later round, so that a chain of posts lets others in between") {
    EventLoop loop;
    const UniqueFd fd = event(1);
    int served = 0, posted = 0;
    loop.add(fd.get(), EPOLLIN, [&](std::uint32_t) { ++served; });
    std::function<void()> chain = [&] {
      CHECK(served > posted);
      if (++posted < 5) loop.post(chain);
    };
    loop.post(chain);
    for (int i = 0; i < 5; ++i) loop.run_once(0ms);
    CHECK(posted == 5);
    CHECK(served == 5);
  }

  TEST_CASE("a signal ends the loop") {
    EventLoop loop;
    int seen = 0;
    loop.on_signals({SIGUSR1}, [&](int signal) {
      seen = signal;
      loop.stop();
    });
    ::raise(SIGUSR1);
    loop.after(5s, [&] { loop.stop(); });
    loop.run();
    CHECK(seen == SIGUSR1);
  }
}
