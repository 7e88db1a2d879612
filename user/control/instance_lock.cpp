// SPDX-License-Identifier: Apache-2.0
#include "user/control/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "user/base/error.h"

namespace shunt {
namespace {

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return;
  if (errno == ENOENT) throw Error("run directory '{}': its parent directory does not exist", path);
  if (errno != EEXIST) throw_errno(errno, fmt::format("run directory '{}'", path));
  struct stat info {};
  check(::stat(path.c_str(), &info), fmt::format("run directory '{}'", path));
  if (!S_ISDIR(info.st_mode)) throw Error("run directory '{}' is not a directory", path);
}

// The pid in the file, as text without its newline; "?" where it cannot be read.
std::string owner(int fd) {
  std::array<char, 32> text;
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  std::string pid;
  for (ssize_t i = 0; i < size && text[static_cast<std::size_t>(i)] >= '0' && text[static_cast<std::size_t>(i)] <= '9';
       ++i)
    pid += text[static_cast<std::size_t>(i)];
  return pid.empty() ? "?" : pid;
}

bool is_file_at(int fd, const std::string& path) {
  struct stat held {
  }, named{};
  return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
         held.st_ino == named.st_ino;
}

}  // namespace

InstanceLock::InstanceLock(const std::string& rundir, const std::string& instance)
    : path_{fmt::format("{}/{}.pid", rundir, instance)} {
  make_directory(rundir);
  // A daemon that stops removes the file: what was opened and locked may be gone from the path. Then once more.
  do {
    fd_.reset(check(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644),
                    fmt::format("lock file '{}'", path_)));
    if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) throw_errno(errno, fmt::format("lock file '{}'", path_));
      throw Error("instance '{}' is already running (pid {}): stop it, or choose another name with --instance",
                  instance, owner(fd_.get()));
    }
  } while (!is_file_at(fd_.get(), path_));

  const std::string pid = fmt::format("{}\n", ::getpid());
  check(::ftruncate(fd_.get(), 0), fmt::format("lock file '{}'", path_));
  if (::pwrite(fd_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    throw_errno(errno, fmt::format("lock file '{}'", path_));
}

InstanceLock::~InstanceLock() { ::unlink(path_.c_str()); }

}  // namespace shunt
