// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/requirements.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <ctime>

#include "maps/map_names.h"
#include "user/base/error.h"
#include "user/base/unique_fd.h"

namespace shunt {

bool has_bpffs(const char* at) noexcept {
  struct statfs fs {};
  return ::statfs(at, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

void mount_bpffs() {
  if (has_bpffs()) return;
  // Of daemons that start at once the first mounts: a second mount would lie over its pins. The lock is that of the
  // directory below the mount, and let go with it.
  const UniqueFd directory{::open(SHUNT_BPFFS, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory) check(::flock(directory.get(), LOCK_EX), "lock " SHUNT_BPFFS);
  if (has_bpffs()) return;
  if (::mount("bpf", SHUNT_BPFFS, "bpf", 0, nullptr) != 0)
    throw_errno(errno, "mount bpffs at " SHUNT_BPFFS " (try: mount -t bpf bpf " SHUNT_BPFFS ")");
}

std::uint64_t jiffy_ns() {
  timespec tick{};
  check(::clock_getres(CLOCK_MONOTONIC_COARSE, &tick), "clock_getres");
  return static_cast<std::uint64_t>(tick.tv_nsec);
}

}  // namespace shunt
