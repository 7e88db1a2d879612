// SPDX-License-Identifier: Apache-2.0
#include "user/state/state_database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "user/base/unique_fd.h"

namespace shunt {
namespace {

bool has_times(StateTable table) { return table == StateTable::kRules; }

std::string column_text(sqlite3_stmt* statement, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
  return text == nullptr ? std::string{}
                         : std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column)));
}

// Every table is as readable by sqlite3(1) as it is by us.
std::string schema() {
  std::string sql = "CREATE TABLE notes(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;";
  for (std::size_t i = 0; i < kStateTables.size(); ++i)
    sql += fmt::format(
        "CREATE TABLE {}(bridge INTEGER NOT NULL, id INTEGER NOT NULL, text TEXT NOT NULL{}, PRIMARY KEY(bridge, id)) "
        "WITHOUT ROWID;",
        kStateTables[i],
        has_times(static_cast<StateTable>(i))
            ? ", created INTEGER NOT NULL, modified INTEGER NOT NULL, used INTEGER NOT NULL"
            : "");
  return sql;
}

}  // namespace

bool StateError::is_corrupt() const {
  const int primary = code_ & 0xff;
  return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
}

bool StateError::is_full() const { return (code_ & 0xff) == SQLITE_FULL; }

void StateDatabase::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }
void StateDatabase::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

StateDatabase::StateDatabase(const std::string& path) : path_{path} {
  prepare_file();
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, nullptr);
  db_.reset(db);
  if (code != SQLITE_OK) fail(code);
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, 2000);
  execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;");
  check_version();
  // FULL: a commit is on the disk when it returns, not only in the page cache.
  execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
  sqlite3_wal_hook(  // in place of SQLite's own, which would write back at once
      db,
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<StateDatabase*>(self)->log_pages_ = pages;
        return SQLITE_OK;
      },
      this);
  if (number("PRAGMA user_version") == 0)
    make_schema();
  else
    check_pages();
  for (std::size_t i = 0; i < kStateTables.size(); ++i) {
    const bool times = has_times(static_cast<StateTable>(i));
    put_[i] = prepare(fmt::format("REPLACE INTO {} VALUES(?, ?, ?{})", kStateTables[i], times ? ", ?, ?, ?" : ""));
    remove_[i] = prepare(fmt::format("DELETE FROM {} WHERE bridge = ? AND id = ?", kStateTables[i]));
    remove_bridge_[i] = prepare(fmt::format("DELETE FROM {} WHERE bridge = ?", kStateTables[i]));
  }
  set_note_ = prepare("REPLACE INTO notes VALUES(?, ?)");
}

StateDatabase::~StateDatabase() = default;

// SQLite gives its log the mode of the file: nobody else's business.
void StateDatabase::prepare_file() const {
  const UniqueFd fd{::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640)};
  if (fd) return;
  if (errno == ENOSPC || errno == EDQUOT)
    throw StateError(SQLITE_FULL, "state file '{}': {}", path_, std::strerror(errno));
  throw_errno(errno, fmt::format("state file '{}'", path_));
}

void StateDatabase::check_version() {
  const std::int64_t version = number("PRAGMA user_version");
  if (version > kVersion)
    throw StateError(SQLITE_OK,
                     "state file '{}' was written by a newer Shunt (its version is {}, this one knows {}): start that "
                     "one, or start empty with another --statedir, or with this file moved away; it was left as it is",
                     path_, version, kVersion);
  if (version == 0 && number("SELECT count(*) FROM sqlite_schema") != 0)
    throw StateError(SQLITE_NOTADB, "state file '{}' is a database, but none of Shunt's", path_);
}

void StateDatabase::check_pages() {
  const Statement check = prepare("PRAGMA quick_check(1)");
  if (step(check.get()); column_text(check.get(), 0) != "ok")
    throw StateError(SQLITE_CORRUPT, "state file '{}' is damaged: {}", path_, column_text(check.get(), 0));
}

void StateDatabase::make_schema() {
  const std::string sql = fmt::format("BEGIN; {} PRAGMA user_version={}; COMMIT;", schema(), kVersion);
  execute(sql.c_str());
}

StateImage StateDatabase::load() {
  StateImage image;
  for (std::size_t i = 0; i < kStateTables.size(); ++i) {
    const auto table = static_cast<StateTable>(i);
    const bool times = has_times(table);
    const Statement rows = prepare(fmt::format("SELECT bridge, id, text{} FROM {} ORDER BY bridge, id",
                                               times ? ", created, modified, used" : "", kStateTables[i]));
    while (step(rows.get())) {
      StateRow row;
      row.bridge = static_cast<std::uint32_t>(sqlite3_column_int64(rows.get(), 0));
      row.id = sqlite3_column_int64(rows.get(), 1);
      row.text = column_text(rows.get(), 2);
      if (times)
        row.times = {sqlite3_column_int64(rows.get(), 3), sqlite3_column_int64(rows.get(), 4),
                     sqlite3_column_int64(rows.get(), 5)};
      image[table].push_back(std::move(row));
    }
  }
  return image;
}

void StateDatabase::commit(std::span<const StateBatch> batches, std::int64_t now) {
  execute("BEGIN IMMEDIATE");
  try {
    for (const StateBatch& batch : batches)
      for (const StateOp& op : batch) run(op);
    set_note("last", std::to_string(now));
    execute("COMMIT");
  } catch (...) {
    sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);  // where SQLite has not done so by itself
    throw;
  }
}

void StateDatabase::tidy() {
  constexpr int kMaxLogPages = 1000;
  if (log_pages_ <= kMaxLogPages) return;
  log_pages_ = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

void StateDatabase::run(const StateOp& op) {
  const auto table = static_cast<std::size_t>(op.table);
  switch (op.kind) {
    case StateOp::Kind::kPut: {
      sqlite3_stmt* put = put_[table].get();
      std::string made;
      const std::string* text = std::get_if<std::string>(&op.text);
      if (text == nullptr) text = &(made = std::get<std::function<std::string()>>(op.text)());
      sqlite3_bind_int64(put, 1, op.bridge);
      sqlite3_bind_int64(put, 2, op.id);
      sqlite3_bind_text(put, 3, text->data(), static_cast<int>(text->size()), SQLITE_STATIC);
      if (has_times(op.table)) {
        sqlite3_bind_int64(put, 4, op.times.created);
        sqlite3_bind_int64(put, 5, op.times.modified);
        sqlite3_bind_int64(put, 6, op.times.used);
      }
      step(put);
      sqlite3_clear_bindings(put);
      break;
    }
    case StateOp::Kind::kRemove:
      sqlite3_bind_int64(remove_[table].get(), 1, op.bridge);
      sqlite3_bind_int64(remove_[table].get(), 2, op.id);
      step(remove_[table].get());
      break;
    case StateOp::Kind::kRemoveRows:
      sqlite3_bind_int64(remove_bridge_[table].get(), 1, op.bridge);
      step(remove_bridge_[table].get());
      break;
    case StateOp::Kind::kRemoveBridge:
      for (const Statement& remove : remove_bridge_) {
        sqlite3_bind_int64(remove.get(), 1, op.bridge);
        step(remove.get());
      }
      break;
    case StateOp::Kind::kClear:
      for (std::size_t i = 0; i < kStateTables.size(); ++i)
        if (static_cast<StateTable>(i) != StateTable::kHistory)
          execute(fmt::format("DELETE FROM {}", kStateTables[i]).c_str());
      break;
  }
}

std::optional<std::string> StateDatabase::note(std::string_view name) {
  const Statement get = prepare("SELECT value FROM notes WHERE name = ?");
  sqlite3_bind_text(get.get(), 1, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
  if (!step(get.get())) return std::nullopt;
  return column_text(get.get(), 0);
}

void StateDatabase::set_note(std::string_view name, const std::string& value) {
  sqlite3_bind_text(set_note_.get(), 1, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
  sqlite3_bind_text(set_note_.get(), 2, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
  step(set_note_.get());
}

void StateDatabase::execute(const char* sql) {
  if (const int code = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr); code != SQLITE_OK) fail(code);
}

StateDatabase::Statement StateDatabase::prepare(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &statement, nullptr);
  if (code != SQLITE_OK) fail(code);
  return Statement{statement};
}

bool StateDatabase::step(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) return true;
  sqlite3_reset(statement);
  if (code != SQLITE_DONE) fail(code);
  return false;
}

std::int64_t StateDatabase::number(const char* sql) {
  const Statement statement = prepare(sql);
  return step(statement.get()) ? sqlite3_column_int64(statement.get(), 0) : 0;
}

void StateDatabase::fail(int code) const {
  if ((code & 0xff) == SQLITE_BUSY)
    throw StateError(code, "state file '{}' is in use by another process: two daemons cannot share it", path_);
  const std::string reason = db_ ? sqlite3_errmsg(db_.get()) : sqlite3_errstr(code);
  throw StateError(code, "state file '{}': {}", path_, reason);
}

std::string set_aside(const std::string& path) {
  struct stat info {};
  for (int n = 1;; ++n) {
    const std::string name = fmt::format("{}.corrupt-{}", path, n);
    if (::lstat(name.c_str(), &info) == 0) continue;
    check(std::rename(path.c_str(), name.c_str()), fmt::format("state file '{}': rename to '{}'", path, name));
    if (std::rename((path + "-wal").c_str(), (name + "-wal").c_str()) != 0 && errno != ENOENT)
      throw_errno(errno, fmt::format("state file '{}-wal': rename", path));
    return name;
  }
}

}  // namespace shunt
