// SPDX-License-Identifier: Apache-2.0
#include "user/state/state_store.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <sstream>
#include <utility>

namespace shunt {
namespace {

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0750) == 0) return;
  if (errno == ENOENT) throw Error("state directory '{}': its parent directory does not exist", path);
  if (errno != EEXIST) throw_errno(errno, fmt::format("state directory '{}'", path));
  struct stat info {};
  check(::stat(path.c_str(), &info), fmt::format("state directory '{}'", path));
  if (!S_ISDIR(info.st_mode)) throw Error("state directory '{}' is not a directory", path);
}

// The note of the daemon that has the file, or had it: "running BOOT OFFSET", "stopped BOOT OFFSET".
struct DaemonNote {
  std::string word, boot;
  std::int64_t offset = 0;
};

std::optional<DaemonNote> parse_note(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  DaemonNote note;
  std::istringstream words{*text};
  if (!(words >> note.word >> note.boot >> note.offset)) return std::nullopt;
  return note;
}

std::optional<std::int64_t> number_in(const std::optional<std::string>& text) {
  std::int64_t value = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) return std::nullopt;
  return value;
}

}  // namespace

StateStore::StateStore(const std::string& directory, const std::string& instance)
    : path_{fmt::format("{}/{}.db", directory, instance)} {
  make_directory(directory);
  try {
    open();
  } catch (const StateError& error) {
    if (error.is_full()) {  // a disk may have room again: as with any commit
      failure_ = error.what();
      spdlog::error("{}: starting without what is stored there", failure_);
    } else if (error.is_corrupt()) {
      spdlog::error("{}", error.what());
      database_.reset();
      spdlog::error("the state begins empty; what was stored is kept as '{}'", set_aside(path_));
      open();
    } else {
      throw;
    }
  }
  if (!clock_) clock_.emplace(std::nullopt, StateClock::read());
  thread_ = std::thread{[this] { run(); }};
  ::pthread_setname_np(thread_.native_handle(), "state");
}

StateStore::~StateStore() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
  if (!database_ || !failure_.empty()) return;
  try {
    note_daemon("stopped");
  } catch (const StateError& error) {
    spdlog::error("{}", error.what());
  }
}

void StateStore::open() {
  database_ = std::make_unique<StateDatabase>(path_);
  image_ = database_->load();
  open_clock();
}

void StateStore::open_clock() {
  std::optional<StateClock::Past> past;
  const auto daemon = parse_note(database_->note("daemon"));
  const auto last = number_in(database_->note("last"));
  if (daemon && last) past = {daemon->boot, daemon->offset, *last};
  was_stopped_ = daemon && daemon->word == "stopped";
  clock_.emplace(past, StateClock::read());
  if (clock_->went_back()) spdlog::warn("the time of day is before the state's last change: timeouts go on from there");
  try {
    note_daemon("running");
  } catch (const StateError& error) {
    failure_ = error.what();
    spdlog::error("{}", failure_);
  }
}

void StateStore::note_daemon(const char* word) {
  const std::string boot = StateClock::read().boot;
  database_->set_note("daemon", fmt::format("{} {} {}", word, boot.empty() ? "-" : boot, clock_->offset()));
}

void StateStore::submit() { enqueue(false); }

void StateStore::rewrite() {
  batch_.insert(batch_.begin(), StateOp{StateOp::Kind::kClear, {}, 0, 0, {}, {}});
  enqueue(true);
}

void StateStore::enqueue(bool replaces_all) {
  StateBatch batch = std::exchange(batch_, {});
  std::unique_lock lock{mutex_};
  done_.wait(lock, [&] { return queued_ops_ < kMaxQueued; });
  queued_ops_ += batch.size();
  queue_.push_back({std::move(batch), replaces_all});
  ++submitted_;
  lock.unlock();
  work_.notify_one();
}

void StateStore::wait() {
  std::unique_lock lock{mutex_};
  done_.wait(lock, [&] { return handled_ == submitted_; });
  if (!failure_.empty()) throw NotStored("in force, but not stored: {}", failure_);
}

std::optional<std::string> StateStore::failure() const {
  const std::lock_guard lock{mutex_};
  if (failure_.empty()) return std::nullopt;
  return failure_;
}

// What the database lacks a part of is of no use to it: after a failure only what holds everything is committed.
void StateStore::run() {
  std::unique_lock lock{mutex_};
  while (true) {
    work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::deque<Queued> queue = std::exchange(queue_, {});
    queued_ops_ = 0;
    const std::uint64_t upto = submitted_;
    bool complete = failure_.empty();
    lock.unlock();
    done_.notify_all();
    std::vector<StateBatch> batches;
    for (Queued& queued : queue) {
      if (queued.replaces_all) {
        complete = true;
        batches.clear();
      }
      if (complete) batches.push_back(std::move(queued.batch));
    }
    std::string failure;
    try {
      if (complete) commit(batches);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    lock.lock();
    if (complete) {
      if (!failure.empty() && failure_.empty())
        spdlog::error("{}; the switch goes on, and stores everything anew when that can be done", failure);
      if (failure.empty() && !failure_.empty()) spdlog::info("the state is stored again in '{}'", path_);
      failure_ = failure;
    }
    handled_ = upto;
    done_.notify_all();
    lock.unlock();
    tidy();
    lock.lock();
  }
}

// What was committed is safe in the log: where the file has no room for it, that is tried again after the next commit.
void StateStore::tidy() {
  try {
    if (database_) database_->tidy();
  } catch (const StateError& error) {
    spdlog::warn("{}", error.what());
  }
}

void StateStore::commit(std::vector<StateBatch>& batches) {
  if (!database_) {
    database_ = std::make_unique<StateDatabase>(path_);
    note_daemon("running");
  }
  database_->commit(batches, clock_->of(Clock::now()));
}

}  // namespace shunt
