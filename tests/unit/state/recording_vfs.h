// SPDX-License-Identifier: Apache-2.0
// The disk as SQLite sees it, written down: each write, truncation, deletion and sync, in order. Replayed up to any byte
// it gives the files that a machine which lost power there finds. It can also refuse writes, as a full disk does.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace shunt::test {

struct DiskOp {
  enum class Kind { kWrite, kTruncate, kDelete, kSync };
  Kind kind;
  std::string file;
  std::int64_t offset = 0;  // kTruncate: the size
  std::string bytes{};
};

// While it lives it is what SQLite opens files with.
class RecordingVfs {
 public:
  static inline std::vector<DiskOp> ops;
  static inline bool full = false;  // the disk

  RecordingVfs() {
    ops.clear();
    full = false;
    real_ = sqlite3_vfs_find(nullptr);
    vfs_ = *real_;
    vfs_.zName = "recording";
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.pNext = nullptr;
    vfs_.xOpen = open;
    vfs_.xDelete = remove;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~RecordingVfs() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
  }
  RecordingVfs(const RecordingVfs&) = delete;
  RecordingVfs& operator=(const RecordingVfs&) = delete;

 private:
  struct File {
    sqlite3_file base;
    std::string* name;
    [[nodiscard]] sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };
  static File* of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
  static const sqlite3_io_methods* real_of(sqlite3_file* file) { return of(file)->real()->pMethods; }

  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    File* mine = of(file);
    mine->base.pMethods = nullptr;
    std::memset(mine->real(), 0, static_cast<std::size_t>(real_->szOsFile));
    const int code = real_->xOpen(real_, name, mine->real(), flags, out_flags);
    if (code != SQLITE_OK) return code;
    mine->name = new std::string{name == nullptr ? "" : name};
    mine->base.pMethods = &kMethods;
    return SQLITE_OK;
  }
  static int remove(sqlite3_vfs*, const char* name, int sync_dir) {
    ops.push_back({DiskOp::Kind::kDelete, name});
    return real_->xDelete(real_, name, sync_dir);
  }
  static int close(sqlite3_file* file) {
    delete of(file)->name;
    return real_of(file)->xClose(of(file)->real());
  }
  static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    if (full) return SQLITE_FULL;
    ops.push_back({DiskOp::Kind::kWrite, *of(file)->name, offset,
                   std::string{static_cast<const char*>(bytes), static_cast<std::size_t>(size)}});
    return real_of(file)->xWrite(of(file)->real(), bytes, size, offset);
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    ops.push_back({DiskOp::Kind::kTruncate, *of(file)->name, size});
    return real_of(file)->xTruncate(of(file)->real(), size);
  }
  static int sync(sqlite3_file* file, int flags) {
    ops.push_back({DiskOp::Kind::kSync, *of(file)->name});
    return real_of(file)->xSync(of(file)->real(), flags);
  }

  // Version 1: no shared memory, which a file that is ours alone does not need.
  static inline const sqlite3_io_methods kMethods{
      1,
      close,
      [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) { return real_of(f)->xRead(of(f)->real(), to, n, at); },
      write,
      truncate,
      sync,
      [](sqlite3_file* f, sqlite3_int64* size) { return real_of(f)->xFileSize(of(f)->real(), size); },
      [](sqlite3_file* f, int lock) { return real_of(f)->xLock(of(f)->real(), lock); },
      [](sqlite3_file* f, int lock) { return real_of(f)->xUnlock(of(f)->real(), lock); },
      [](sqlite3_file* f, int* out) { return real_of(f)->xCheckReservedLock(of(f)->real(), out); },
      [](sqlite3_file* f, int op, void* arg) { return real_of(f)->xFileControl(of(f)->real(), op, arg); },
      [](sqlite3_file* f) { return real_of(f)->xSectorSize(of(f)->real()); },
      [](sqlite3_file*) { return 0; },  // a disk that promises nothing
      nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};

  static inline sqlite3_vfs* real_ = nullptr;
  sqlite3_vfs vfs_{};
};

using Files = std::map<std::string, std::string>;

inline void apply(Files& files, const DiskOp& op, std::size_t bytes = std::string::npos) {
  switch (op.kind) {
    case DiskOp::Kind::kWrite: {
      std::string& file = files[op.file];
      const std::string part = op.bytes.substr(0, bytes);
      const auto end = static_cast<std::size_t>(op.offset) + part.size();
      if (file.size() < end) file.resize(end);
      file.replace(static_cast<std::size_t>(op.offset), part.size(), part);
      break;
    }
    case DiskOp::Kind::kTruncate:
      files[op.file].resize(static_cast<std::size_t>(op.offset));
      break;
    case DiskOp::Kind::kDelete:
      files.erase(op.file);
      break;
    case DiskOp::Kind::kSync:
      break;
  }
}

// What is there when the power goes `bytes` into operation `count`: all before has reached the disk...
inline Files cut_at(const std::vector<DiskOp>& ops, std::size_t count, std::size_t bytes) {
  Files files;
  for (std::size_t i = 0; i < count; ++i) apply(files, ops[i]);
  if (count < ops.size() && ops[count].kind == DiskOp::Kind::kWrite) apply(files, ops[count], bytes);
  return files;
}

// ...or only what was synced for certain, and of the rest any part.
inline Files cut_with_losses(const std::vector<DiskOp>& ops, std::size_t count, std::mt19937_64& random) {
  std::map<std::string, std::size_t> synced;  // up to this operation
  for (std::size_t i = 0; i < count; ++i)
    if (ops[i].kind == DiskOp::Kind::kSync) synced[ops[i].file] = i;
  Files files;
  for (std::size_t i = 0; i < count; ++i) {
    const bool certain = synced.contains(ops[i].file) && i < synced.at(ops[i].file);
    if (certain || ops[i].kind != DiskOp::Kind::kWrite)
      apply(files, ops[i]);
    else if (random() % 2 == 0)
      apply(files, ops[i], random() % 2 == 0 ? std::string::npos : random() % (ops[i].bytes.size() + 1));
  }
  return files;
}

inline void write_files(const Files& files) {
  for (const auto& [name, bytes] : files) {
    std::ofstream file{name, std::ios::binary | std::ios::trunc};
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
}

}  // namespace shunt::test
