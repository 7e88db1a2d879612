// SPDX-License-Identifier: Apache-2.0
#include "user/control/saved_counters.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "user/control/counter_saver.h"

using namespace shunt;

namespace {

struct Fixture {
  Fixture() {
    REQUIRE(::mkdtemp(directory.data()) != nullptr);
    path = directory + "/counters";
    for (std::uint64_t i = 1; i <= 100; ++i)
      counters.flows.push_back({.slot = i, .hash = i << 32, .packets = 3 * i, .seen_packets = i, .created = 7});
    for (std::uint64_t i = 1; i <= 10; ++i) counters.values.push_back({{i, i}, 5 * i, 6 * i, 9});
    counters.ports.push_back({1, {2, 3}, {}});
  }
  ~Fixture() { std::filesystem::remove_all(directory); }
  [[nodiscard]] std::string file() const {
    std::ifstream stream{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{stream}, {}};
  }
  void write(const std::string& bytes) const { std::ofstream{path, std::ios::binary} << bytes; }

  std::string directory = std::filesystem::temp_directory_path() / "saved-counters-XXXXXX", path;
  SavedCounters counters;
};

}  // namespace

TEST_SUITE("saved counters") {
  TEST_CASE("a save ends when it is written, and the next is due long after it") {
    Fixture f;
    CounterSaver saver{f.path};
    const TimePoint begin = Clock::now();
    CHECK(saver.is_due(begin));
    saver.begin(begin - std::chrono::seconds{1});  // it has taken a second
    CHECK_FALSE(saver.is_due(begin));
    saver.submit(SavedCounters{f.counters});
    saver.wait(std::chrono::seconds{60});
    REQUIRE(read_saved_counters(f.path));
    CHECK(checksum(*read_saved_counters(f.path)) == checksum(f.counters));
    CHECK_FALSE(saver.is_due(begin + std::chrono::seconds{30}));
    CHECK(saver.is_due(Clock::now() + std::chrono::hours{1}));
  }

  TEST_CASE("nothing is written where nothing has changed; what could not be is tried again") {
    Fixture f;
    CounterSaver saver{f.path};
    const auto save = [&] {
      saver.begin(Clock::now());
      saver.submit(SavedCounters{f.counters});
      saver.wait(std::chrono::seconds{60});
      return std::filesystem::exists(f.path);
    };
    std::filesystem::remove(f.directory);
    CHECK_FALSE(save());
    std::filesystem::create_directory(f.directory);
    CHECK(save());
    std::filesystem::remove(f.path);
    CHECK_FALSE(save());
    f.counters.flows.front().packets = 1;
    CHECK(save());
  }

  TEST_CASE("a saver that goes writes what was submitted; one that is told what the file holds does not write it") {
    Fixture f;
    {
      CounterSaver saver{f.path};
      saver.begin(Clock::now());
      saver.submit(SavedCounters{f.counters});
    }
    CHECK(read_saved_counters(f.path));
    std::filesystem::remove(f.path);
    {
      CounterSaver saver{f.path};
      saver.holds(f.counters);
      saver.begin(Clock::now());
      saver.submit(SavedCounters{f.counters});
    }
    CHECK_FALSE(std::filesystem::exists(f.path));
  }

  TEST_CASE("what is written is read, and the last write counts") {
    Fixture f;
    CHECK_FALSE(read_saved_counters(f.path));
    write_saved_counters(f.path, f.counters, checksum(f.counters));
    f.counters.flows.back().packets = 1000;
    write_saved_counters(f.path, f.counters, checksum(f.counters));
    const auto read = read_saved_counters(f.path);
    REQUIRE(read);
    CHECK(checksum(*read) == checksum(f.counters));
    REQUIRE(read->flows.size() == 100);
    CHECK(read->flows.front().hash == f.counters.flows.front().hash);
    CHECK(read->flows.back().packets == 1000);
    REQUIRE(read->values.size() == 10);
    CHECK(read->values.back().name == CounterName{10, 10});
    REQUIRE(read->ports.size() == 1);
    CHECK(read->ports.front().transmitted.bytes == 3);
  }

  TEST_CASE("a checksum tells any counter that differs") {
    Fixture f;
    const std::uint64_t before = checksum(f.counters);
    f.counters.flows[50].seen_delta = 1;
    CHECK(checksum(f.counters) != before);
    f.counters.flows[50].seen_delta = 0;
    CHECK(checksum(f.counters) == before);
    f.counters.values[5].bytes += 1;
    CHECK(checksum(f.counters) != before);
  }

  TEST_CASE("a file that is not whole is none") {
    Fixture f;
    write_saved_counters(f.path, f.counters, checksum(f.counters));
    const std::string whole = f.file();
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{39}, std::size_t{40}, whole.size() - 8, whole.size() - 1}) {
      f.write(whole.substr(0, size));
      CHECK_FALSE(read_saved_counters(f.path));
    }
    f.write(whole + "more of it");
    CHECK_FALSE(read_saved_counters(f.path));
    for (std::size_t at = 0; at < whole.size(); at += 61) {
      std::string other = whole;
      other[at] = static_cast<char>(other[at] ^ 1);
      f.write(other);
      CHECK_FALSE(read_saved_counters(f.path));
    }
    f.write(whole);
    CHECK(read_saved_counters(f.path));
  }
}
