// SPDX-License-Identifier: Apache-2.0
#include "user/control/event_loop.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "user/base/error.h"

namespace shunt {

EventLoop::EventLoop() : epoll_{check(::epoll_create1(EPOLL_CLOEXEC), "event loop: epoll_create1")} {}

void EventLoop::add(int fd, std::uint32_t events, FdCallback callback) {
  const std::uint64_t id = next_id_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "event loop: add a file descriptor");
  watches_[id] = std::make_shared<Watch>(Watch{fd, std::move(callback)});
  watch_of_fd_[fd] = id;
}

void EventLoop::modify(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = watch_of_fd_.at(fd);
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event), "event loop: change a file descriptor");
}

void EventLoop::remove(int fd) noexcept {
  const auto found = watch_of_fd_.find(fd);
  if (found == watch_of_fd_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(found->second);
  watch_of_fd_.erase(found);
}

EventLoop::TimerId EventLoop::after(std::chrono::milliseconds delay, Callback callback) {
  const TimerId id = next_id_++;
  timers_.emplace(Clock::now() + delay, Timer{id, std::chrono::milliseconds{0}, std::move(callback)});
  return id;
}

EventLoop::TimerId EventLoop::every(std::chrono::milliseconds period, Callback callback) {
  const TimerId id = next_id_++;
  timers_.emplace(Clock::now() + period, Timer{id, period, std::move(callback)});
  return id;
}

void EventLoop::cancel(TimerId timer) noexcept {
  const auto found = std::find_if(timers_.begin(), timers_.end(), [&](const auto& t) { return t.second.id == timer; });
  if (found != timers_.end()) timers_.erase(found);
}

void EventLoop::post(Callback callback) { posted_.push_back(std::move(callback)); }

void EventLoop::on_signals(std::initializer_list<int> signals, std::function<void(int signal)> callback) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) throw_errno(error, "block signals");
  signals_.reset(check(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), "signalfd"));
  add(signals_.get(), EPOLLIN, [this, callback = std::move(callback)](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info))
      callback(static_cast<int>(info.ssi_signo));
  });
}

void EventLoop::run() {
  stopped_ = false;
  while (!stopped_) run_once(std::chrono::hours{1});
}

void EventLoop::run_once(std::chrono::milliseconds timeout) {
  std::array<epoll_event, 64> events;
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_milliseconds(timeout));
  if (count < 0 && errno != EINTR) throw_errno(errno, "event loop: epoll_wait");
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    const auto found = watches_.find(event.data.u64);
    if (found == watches_.end()) continue;               // removed by an earlier callback of this round
    const std::shared_ptr<Watch> watch = found->second;  // stays, should its callback remove it
    watch->callback(event.events);
  }
  run_timers();
  run_posted();
}

void EventLoop::run_timers() {
  const TimePoint now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto due = timers_.begin();
    Timer timer = std::move(due->second);
    timers_.erase(due);
    const Callback callback = timer.callback;
    // Back in the queue before it runs, so that the callback can cancel it. Rounds missed by a busy thread are left
    // out.
    if (timer.period.count() > 0) timers_.emplace(now + timer.period, std::move(timer));
    callback();
  }
}

void EventLoop::run_posted() {
  const std::vector<Callback> posted = std::exchange(posted_, {});
  for (const Callback& callback : posted) callback();
}

int EventLoop::wait_milliseconds(std::chrono::milliseconds limit) const {
  if (!posted_.empty()) return 0;
  if (!timers_.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
    limit = std::clamp(left, std::chrono::milliseconds{0}, limit);
  }
  return static_cast<int>(limit.count());
}

}  // namespace shunt
