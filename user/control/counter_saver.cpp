// SPDX-License-Identifier: Apache-2.0
#include "user/control/counter_saver.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

namespace shunt {
namespace {

// Saving takes at most this part of the time, however many counters there are.
constexpr int kSaveShare = 50;

}  // namespace

CounterSaver::CounterSaver(std::string path) : path_{std::move(path)}, thread_{[this] { run(); }} {
  ::pthread_setname_np(thread_.native_handle(), "counter_saver");
}

CounterSaver::~CounterSaver() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CounterSaver::holds(const SavedCounters& counters) { saved_ = checksum(counters); }

bool CounterSaver::is_due(TimePoint now) const {
  const std::lock_guard lock{mutex_};
  return !saving_ && now >= next_;
}

void CounterSaver::begin(TimePoint now) {
  const std::lock_guard lock{mutex_};
  saving_ = true;
  began_ = now;
}

void CounterSaver::submit(SavedCounters&& counters) {
  {
    const std::lock_guard lock{mutex_};
    submitted_ = std::move(counters);
  }
  changed_.notify_all();
}

void CounterSaver::abandon() {
  {
    const std::lock_guard lock{mutex_};
    saving_ = false;
  }
  changed_.notify_all();
}

void CounterSaver::wait(std::chrono::seconds limit) const {
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, limit, [this] { return !saving_; });
}

void CounterSaver::run() {
  std::unique_lock lock{mutex_};
  while (true) {
    changed_.wait(lock, [this] { return submitted_ || stopping_; });
    if (!submitted_) return;
    const SavedCounters counters = *std::exchange(submitted_, std::nullopt);
    lock.unlock();
    write(counters);
    lock.lock();
    const TimePoint now = Clock::now();
    next_ = now + (now - began_) * kSaveShare;
    saving_ = false;
    changed_.notify_all();
  }
}

void CounterSaver::write(const SavedCounters& counters) noexcept {
  try {
    const std::uint64_t sum = checksum(counters);
    if (sum == saved_) return;
    write_saved_counters(path_, counters, sum);
    saved_ = sum;
    failed_ = false;
  } catch (const std::exception& error) {
    if (!std::exchange(failed_, true))
      spdlog::warn("counters are not saved: {}; a crash would lose them", error.what());
  }
}

}  // namespace shunt
