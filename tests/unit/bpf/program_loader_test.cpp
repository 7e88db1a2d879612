// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/program_loader.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::uint32_t kA = 1, kB = 2, kC = 4, kAll = 0xff;

// Loads as slowly as the test wants: each waits until it is let go, or comes from the test's own thread.
class Bench {
 public:
  explicit Bench(std::uint32_t features) : in_force{features} {}
  ~Bench() { let_go(); }  // the loader waits
  Bench(const Bench&) = delete;

  // So many of those that wait or come go on.
  void let_go(int count = 1000) {
    const std::lock_guard lock{mutex_};
    tickets_ += count;
    changed_.notify_all();
  }
  void wait_for_loads(std::size_t count) {  // begun
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return loads_.size() >= count; });
  }
  [[nodiscard]] std::vector<std::uint32_t> loads() {
    const std::lock_guard lock{mutex_};
    return loads_;
  }
  // What control's loop does when it is woken. The thread's word may come a moment after it has ended.
  void turn() {
    pollfd fd{loader.fd(), POLLIN, 0};
    REQUIRE(::poll(&fd, 1, 10'000) == 1);
    loader.advance();
  }
  void turn_until(std::uint32_t features) {
    while (in_force != features) turn();
  }
  [[nodiscard]] bool is_woken() const {
    pollfd fd{loader.fd(), POLLIN, 0};
    return ::poll(&fd, 1, 0) == 1;
  }

  std::uint32_t in_force;
  std::set<std::uint32_t> failing, refused;  // sets of features that cannot be loaded; of which all are loaded instead
  std::vector<std::uint32_t> used;
  std::atomic<int> most_at_once = 0;

 private:
  LoadedProgram load(std::uint32_t features) {
    most_at_once = std::max(most_at_once.load(), ++running_);
    std::unique_lock lock{mutex_};
    loads_.push_back(features);
    changed_.notify_all();
    if (std::this_thread::get_id() != control_) changed_.wait(lock, [this] { return tickets_ > 0; }), --tickets_;
    --running_;
    if (failing.contains(features)) throw Error("no memory");
    LoadedProgram program;
    program.features = refused.contains(features) ? kAll : features;
    return program;
  }

  const std::thread::id control_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::condition_variable changed_;
  int tickets_ = 0;
  std::vector<std::uint32_t> loads_;
  std::atomic<int> running_ = 0;

 public:
  ProgramLoader loader{in_force, [this](std::uint32_t features) { return load(features); },
                       [this](LoadedProgram&& program) {
                         in_force = program.features;
                         used.push_back(program.features);
                       }};
};

struct Quiet {
  const spdlog::level::level_enum before = spdlog::get_level();
  Quiet() { spdlog::set_level(spdlog::level::off); }
  ~Quiet() { spdlog::set_level(before); }
  Quiet(const Quiet&) = delete;
};

}  // namespace

TEST_SUITE("program loader") {
  TEST_CASE("who asks for features goes on, and has them when they are loaded and control says so") {
    Bench bench{kA};
    bench.loader.request(kB);
    CHECK(bench.loader.pending() == kB);
    bench.turn();
    bench.wait_for_loads(1);
    bench.loader.advance();  // as often as one likes
    CHECK(bench.in_force == kA);
    bench.let_go();
    bench.turn_until(kA | kB);
    CHECK(bench.loads() == std::vector<std::uint32_t>{kA | kB});
    CHECK(bench.loader.pending() == 0);
  }

  TEST_CASE("what is there, or asked for already, wakes nobody") {
    Bench bench{kA};
    bench.loader.request(kA);
    CHECK(!bench.is_woken());
    bench.loader.request(kB);
    bench.turn();
    bench.wait_for_loads(1);
    bench.loader.request(kA | kB);
    CHECK(!bench.is_woken());
  }

  TEST_CASE("what is asked for in one turn comes with one load, what is asked for while one runs with the next") {
    Bench bench{0};
    bench.loader.request(kA);
    bench.loader.request(kB);
    bench.turn();
    bench.wait_for_loads(1);
    bench.loader.request(kC);
    bench.loader.request(kC << 1);
    bench.turn();
    CHECK(bench.loads().size() == 1);
    CHECK(bench.loader.pending() == 15);
    bench.let_go();
    bench.turn_until(15);
    CHECK(bench.loads() == std::vector<std::uint32_t>{kA | kB, 15});
    CHECK(bench.used == std::vector<std::uint32_t>{kA | kB, 15});
    CHECK(bench.most_at_once == 1);
  }

  TEST_CASE("what could not be loaded is known as such until it is") {
    const Quiet quiet;
    Bench bench{kA};
    bench.failing = {kA | kB};
    bench.let_go();
    bench.loader.request(kB);
    bench.turn();
    while (bench.loader.pending() != 0) bench.turn();
    CHECK(bench.loader.failed() == kB);
    bench.loader.request(kB);
    CHECK(bench.loader.failed() == kB);
    bench.failing = {};
    bench.turn_until(kA | kB);
    CHECK(bench.loader.failed() == 0);
  }

  TEST_CASE("who cannot wait loads at once, with all that is asked for") {
    Bench bench{kA};
    bench.loader.request(kB);
    bench.loader.require(kC);
    CHECK(bench.in_force == (kA | kB | kC));
    CHECK(bench.loads().size() == 1);
    bench.loader.require(kC);
    bench.turn();
    CHECK(bench.loads().size() == 1);
  }

  TEST_CASE("who cannot wait, waits for a load under way, which is not lost, and then loads") {
    Bench bench{0};
    bench.loader.request(kA);
    bench.turn();
    bench.wait_for_loads(1);
    SUBCASE("for what that brings, no more") {
      bench.let_go();
      bench.loader.require(kA);
      CHECK(bench.loads().size() == 1);
      CHECK(bench.in_force == kA);
    }
    SUBCASE("for more") {
      bench.loader.request(kB);
      bench.let_go();
      bench.loader.require(kC);
      CHECK(bench.used == std::vector<std::uint32_t>{kA, kA | kB | kC});
      CHECK(bench.most_at_once == 1);
    }
    SUBCASE("which has failed: with it once more") {
      const Quiet quiet;
      bench.failing = {kA};
      bench.let_go();
      bench.loader.require(kA | kC);
      CHECK(bench.in_force == (kA | kC));
    }
  }

  TEST_CASE("features that are given back go, and stay where they are asked for again meanwhile") {
    Bench bench{kA | kB};
    bench.loader.release(kB);
    bench.turn();
    bench.wait_for_loads(1);
    CHECK(bench.loads() == std::vector<std::uint32_t>{kA});
    SUBCASE("they go") {
      bench.let_go();
      bench.turn_until(kA);
    }
    SUBCASE("they are needed at once: nothing is loaded, and what has been is dropped") {
      bench.loader.require(kB);
      CHECK(bench.in_force == (kA | kB));
      bench.let_go();
      bench.turn();
      while (bench.is_woken()) bench.turn();
      CHECK(bench.used.empty());
      CHECK(bench.in_force == (kA | kB));
      CHECK(bench.loads().size() == 1);
    }
    SUBCASE("they are asked for, with others") {
      bench.loader.request(kB | kC);
      bench.let_go();
      bench.turn_until(kA | kB | kC);
      CHECK(bench.used == std::vector<std::uint32_t>{kA | kB | kC});
    }
  }

  TEST_CASE("a load that fails leaves the program, and is not tried again before somebody asks again") {
    const Quiet quiet;
    Bench bench{kA};
    bench.failing = {kA | kB};
    bench.let_go();
    SUBCASE("in the thread") {
      bench.loader.request(kB);
      bench.turn();
      bench.wait_for_loads(1);
      while (bench.loader.pending() != 0) bench.turn();
    }
    SUBCASE("at once") { CHECK_THROWS_AS(bench.loader.require(kB), Error); }
    while (bench.is_woken()) bench.turn();
    CHECK(bench.in_force == kA);
    CHECK(bench.loads().size() == 1);
    CHECK(bench.loader.pending() == 0);
    bench.loader.request(kC);
    bench.turn_until(kA | kC);
    bench.loader.request(kB);
    bench.turn_until(kA | kB | kC);
  }

  TEST_CASE("of several that are asked for, only those of the load that failed are forgotten") {
    const Quiet quiet;
    Bench bench{0};
    bench.failing = {kA};
    bench.loader.request(kA);
    bench.turn();
    bench.wait_for_loads(1);
    bench.loader.request(kB);
    bench.let_go();
    bench.turn_until(kB);
    CHECK(bench.loads() == std::vector<std::uint32_t>{kA, kB});
  }

  TEST_CASE("where the verifier refuses a program all features are there, and nothing smaller is tried") {
    Bench bench{0};
    bench.refused = {kA};
    bench.let_go();
    bench.loader.request(kA);
    bench.turn_until(kAll);
    while (bench.is_woken()) bench.turn();
    bench.loader.request(kB);
    CHECK(!bench.is_woken());
    CHECK(bench.loads().size() == 1);
  }

  TEST_CASE("a loader that goes waits for its thread, and uses nothing any more") {
    std::uint32_t in_force = 0;
    bool loaded = false, used = false;
    {
      ProgramLoader loader{in_force,
                           [&](std::uint32_t features) {
                             loaded = true;
                             return LoadedProgram{features, {}, nullptr};
                           },
                           [&](LoadedProgram&&) { used = true; }};
      loader.request(kA);
      loader.advance();
    }
    CHECK(loaded);
    CHECK(!used);
  }
}

}  // namespace shunt
