// SPDX-License-Identifier: Apache-2.0
// The state's file: SQLite in WAL mode, a table for each StateTable. A commit is on the disk when it returns; a file
// that was cut off at any byte of a write opens at the last commit before.
//
// The file is this process's alone while it is open: a second daemon on it is refused.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "user/base/error.h"
#include "user/state/state_rows.h"

struct sqlite3;
struct sqlite3_stmt;

namespace shunt {

// Reading or writing failed; what() names the file.
class StateError : public Error {
 public:
  template <typename... Args>
  explicit StateError(int sqlite_code, fmt::format_string<Args...> format, Args&&... args)
      : Error(format, std::forward<Args>(args)...), code_{sqlite_code} {}
  [[nodiscard]] bool is_corrupt() const;  // the file is no database, or a damaged one
  [[nodiscard]] bool is_full() const;     // the disk took no more

 private:
  int code_;
};

class StateDatabase {
 public:
  static constexpr int kVersion = 1;  // of the schema

  // Opens the file, or makes it (mode 0640). Throws StateError; a file of a newer version is left as it is.
  explicit StateDatabase(const std::string& path);
  ~StateDatabase();
  StateDatabase(const StateDatabase&) = delete;
  StateDatabase& operator=(const StateDatabase&) = delete;

  [[nodiscard]] StateImage load();
  // All batches, in order, in one transaction; throws StateError, and none of it happened.
  void commit(std::span<const StateBatch> batches, std::int64_t now);

  // Writes a log that has grown back into the file. Commits do not, so that nobody waits for it.
  void tidy();

  // Notes about the state as a whole; none: never written.
  [[nodiscard]] std::optional<std::string> note(std::string_view name);
  void set_note(std::string_view name, const std::string& value);

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

  void prepare_file() const;
  void check_version();
  void check_pages();
  void make_schema();
  void execute(const char* sql);
  Statement prepare(const std::string& sql);
  bool step(sqlite3_stmt* statement);  // true: there is a row
  std::int64_t number(const char* sql);
  void run(const StateOp& op);
  [[noreturn]] void fail(int code) const;

  std::string path_;
  std::unique_ptr<sqlite3, Close> db_;
  std::array<Statement, kStateTables.size()> put_, remove_, remove_bridge_;
  Statement set_note_;
  int log_pages_ = 0;
};

// Puts a damaged file, and its log, out of the way: FILE.corrupt-N. Returns the new name.
std::string set_aside(const std::string& path);

}  // namespace shunt
