// SPDX-License-Identifier: Apache-2.0
// The control thread's loop: file descriptors, timers and signals, one callback at a time.
//
// A callback may add, change and remove anything, itself too: an event that was already fetched for something removed
// is forgotten, also when its fd number is in use again. What a callback throws leaves run() and run_once(). Threads:
// one; the loop has no lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "user/base/clock.h"
#include "user/base/unique_fd.h"

namespace shunt {

class EventLoop {
 public:
  using Callback = std::function<void()>;
  using FdCallback = std::function<void(std::uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR
  using TimerId = std::uint64_t;

  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // The loop does not own `fd`: remove() before closing it.
  void add(int fd, std::uint32_t events, FdCallback callback);
  void modify(int fd, std::uint32_t events);
  void remove(int fd) noexcept;

  TimerId after(std::chrono::milliseconds delay, Callback callback);   // once
  TimerId every(std::chrono::milliseconds period, Callback callback);  // until cancelled
  void cancel(TimerId timer) noexcept;

  // Runs `callback` in the next round, after the events of that round: for work cut into pieces.
  void post(Callback callback);

  // Blocks `signals` for this thread (and those it starts later) and calls back with each that comes.
  void on_signals(std::initializer_list<int> signals, std::function<void(int signal)> callback);

  void run();  // until stop()
  void stop() { stopped_ = true; }
  // One round: waits at most `timeout` for something to do, does it. For tests.
  void run_once(std::chrono::milliseconds timeout);

 private:
  struct Watch {
    int fd;
    FdCallback callback;
  };
  struct Timer {
    TimerId id;
    std::chrono::milliseconds period;  // 0: once
    Callback callback;
  };

  void run_timers();
  void run_posted();
  [[nodiscard]] int wait_milliseconds(std::chrono::milliseconds limit) const;

  UniqueFd epoll_;
  UniqueFd signals_;
  // By the number that epoll hands back, never used twice; an fd number would be.
  std::unordered_map<std::uint64_t, std::shared_ptr<Watch>> watches_;
  std::unordered_map<int, std::uint64_t> watch_of_fd_;
  std::multimap<TimePoint, Timer> timers_;
  std::vector<Callback> posted_;
  std::uint64_t next_id_ = 1;
  bool stopped_ = false;
};

}  // namespace shunt
