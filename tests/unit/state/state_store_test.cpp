// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "tests/unit/state/recording_vfs.h"
#include "tests/unit/state/temporary_directory.h"
#include "user/state/state_store.h"

using namespace shunt;
using namespace shunt::test;

namespace {

std::string contents(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

unsigned mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777u;
}

std::vector<std::string> texts(const StateImage& image, StateTable table) {
  std::vector<std::string> texts;
  if (const auto rows = image.find(table); rows != image.end())
    for (const StateRow& row : rows->second) texts.push_back(row.text);
  return texts;
}

void write(const std::string& path, const std::string& bytes) { std::ofstream{path, std::ios::binary} << bytes; }

// What the message says, or nothing where there is none.
template <typename Action>
std::string refusal(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

void set_version(const std::string& path, int version) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  sqlite3_exec(db, fmt::format("PRAGMA user_version={}", version).c_str(), nullptr, nullptr, nullptr);
  sqlite3_close(db);
}

}  // namespace

TEST_SUITE("state store") {
  TEST_CASE("what was submitted and waited for is there for the next one, rows ascending") {
    const TemporaryDirectory directory;
    {
      StateStore store{directory.path(), "one"};
      CHECK(store.take_image().empty());
      store.put(StateTable::kRules, 1, 12, "b", {5, 6, 7});
      store.put(StateTable::kRules, 1, 2, [] { return std::string{"made when it is written"}; });
      store.put(StateTable::kBridges, 1, 1, "bridge");
      store.submit();
      store.wait();
      store.remove(StateTable::kBridges, 1, 1);
      store.submit();
    }
    StateStore store{directory.path(), "one"};
    const StateImage image = store.take_image();
    CHECK(texts(image, StateTable::kRules) == std::vector<std::string>{"made when it is written", "b"});
    CHECK(image.at(StateTable::kRules)[1].times == RowTimes{5, 6, 7});
    CHECK(texts(image, StateTable::kBridges).empty());
    CHECK(store.was_stopped());
  }

  TEST_CASE("nobody else may read it") {
    const TemporaryDirectory directory;
    StateStore store{directory.file("state"), "one"};
    store.put(StateTable::kBridges, 1, 1, "bridge");
    store.submit();
    store.wait();
    CHECK(mode_of(directory.file("state")) == 0750);
    CHECK(mode_of(directory.file("state/one.db")) == 0640);
    CHECK(mode_of(directory.file("state/one.db-wal")) == 0640);
  }

  TEST_CASE("two daemons do not share a file") {
    const TemporaryDirectory directory;
    StateStore store{directory.path(), "one"};
    CHECK(has(refusal([&] { StateStore{directory.path(), "one"}; }), "in use by another process"));
    StateStore other{directory.path(), "two"};
  }

  TEST_CASE("a newer state is refused, with its file and what to do, and left as it is") {
    const TemporaryDirectory directory;
    { StateStore{directory.path(), "one"}; }
    set_version(directory.file("one.db"), StateDatabase::kVersion + 1);
    const std::string before = contents(directory.file("one.db"));
    const std::string why = refusal([&] { StateStore{directory.path(), "one"}; });
    CHECK(has(why, directory.file("one.db")));
    CHECK(has(why, "newer"));
    CHECK(has(why, "--statedir"));
    CHECK(contents(directory.file("one.db")) == before);
  }

  TEST_CASE("a file that is none of ours, or damaged, is put aside under a name of its own") {
    const TemporaryDirectory directory;
    const std::string path = directory.file("one.db");
    for (int n = 1; n <= 2; ++n) {
      write(path, fmt::format("this is no database {:>5000}", n));
      StateStore store{directory.path(), "one"};
      CHECK(store.take_image().empty());
      CHECK(has(contents(fmt::format("{}.corrupt-{}", path, n)), "this is no database"));
    }
    {
      StateStore store{directory.path(), "one"};
      for (int i = 0; i < 1000; ++i) store.put(StateTable::kRules, 1, i, std::string(100, 'r'));
      store.submit();
    }
    std::string bytes = contents(path);
    write(path, bytes.substr(0, bytes.size() / 2));
    StateStore store{directory.path(), "one"};
    CHECK(store.take_image().empty());
    CHECK(contents(path + ".corrupt-3").size() == bytes.size() / 2);
    store.put(StateTable::kBridges, 1, 1, "anew");
    store.submit();
    CHECK_NOTHROW(store.wait());
  }

  TEST_CASE("a directory that cannot be used is named") {
    const TemporaryDirectory directory;
    CHECK(has(refusal([&] { StateStore{directory.file("no/such"), "one"}; }), "parent directory"));
    write(directory.file("file"), "");
    CHECK(has(refusal([&] { StateStore{directory.file("file"), "one"}; }), "not a directory"));
  }

  TEST_CASE("a full disk: what waits is told, the rest goes on, and all of it is stored when there is room") {
    const TemporaryDirectory directory;
    const RecordingVfs vfs;
    {
      StateStore store{directory.path(), "one"};
      store.put(StateTable::kBridges, 1, 1, "before");
      store.submit();
      store.wait();
      RecordingVfs::full = true;
      store.put(StateTable::kBridges, 1, 2, "while it is full");
      store.submit();
      CHECK(has(refusal([&] { store.wait(); }), "full"));
      CHECK(has(store.failure().value_or(""), "full"));
      RecordingVfs::full = false;
      store.put(StateTable::kBridges, 1, 3, "lacks what came before");
      store.submit();
      CHECK_THROWS_AS(store.wait(), NotStored);
      store.put(StateTable::kBridges, 1, 2, "everything");
      store.rewrite();
      CHECK_NOTHROW(store.wait());
      CHECK_FALSE(store.failure());
      store.put(StateTable::kBridges, 1, 4, "and after");
      store.submit();
      CHECK_NOTHROW(store.wait());
    }
    StateStore store{directory.path(), "one"};
    CHECK(texts(store.take_image(), StateTable::kBridges) == std::vector<std::string>{"everything", "and after"});
  }

  TEST_CASE("a daemon that did not end in order is known") {
    const TemporaryDirectory directory;
    {
      const RecordingVfs vfs;
      StateStore store{directory.path(), "one"};
      store.put(StateTable::kBridges, 1, 1, "x");
      store.submit();
      store.wait();
      const std::vector<DiskOp> ops = RecordingVfs::ops;
      write_files([&] {
        Files moved;
        for (const auto& [name, bytes] : cut_at(ops, ops.size(), 0))
          moved[directory.file("killed" + name.substr(name.find(".db")))] = bytes;
        return moved;
      }());
    }
    CHECK_FALSE(StateStore{directory.path(), "killed"}.was_stopped());
    CHECK(StateStore{directory.path(), "one"}.was_stopped());
  }
}

TEST_SUITE("state clock") {
  constexpr std::int64_t kDay = 86'400'000;
  const auto at = [](std::int64_t ms) { return TimePoint{} + std::chrono::milliseconds{ms}; };

  TEST_CASE("setting the time of day moves nothing within a boot") {
    const StateClock first{std::nullopt, {"boot", at(1000), 50 * kDay}};
    const std::int64_t then = first.of(at(5000));
    for (const std::int64_t day : {0, 49, 51, 5000}) {
      const StateClock second{StateClock::Past{"boot", first.offset(), then}, {"boot", at(9000), day * kDay}};
      CHECK(second.same_boot());
      CHECK_FALSE(second.went_back());
      CHECK(second.when(then) == at(5000));
      CHECK(second.last_alive() == at(5000));
    }
  }

  TEST_CASE("over a reboot the time of day tells, and never goes back") {
    const StateClock first{std::nullopt, {"boot", at(900'000), 50 * kDay}};
    const std::int64_t then = first.of(at(900'000));
    const StateClock later{StateClock::Past{"boot", first.offset(), then}, {"next", at(1000), 50 * kDay + 60'000}};
    CHECK_FALSE(later.same_boot());
    CHECK(later.when(then) == at(1000 - 60'000));
    const StateClock back{StateClock::Past{"boot", first.offset(), then}, {"next", at(1000), 3 * kDay}};
    CHECK(back.went_back());
    CHECK(back.when(then) == at(1000));
  }
}
