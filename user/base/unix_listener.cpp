// SPDX-License-Identifier: Apache-2.0
#include "user/base/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr int kBacklog = 128;

}  // namespace

// Bound under another name and then moved: nobody meets a socket that has the wrong mode or does not listen yet, and
// one left by a dead daemon is replaced in one step.
UniqueFd listen_unix(const std::string& path, const std::string& what) {
  const std::string fresh = path + ".new";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (fresh.size() >= sizeof address.sun_path)
    throw Error("{}: the path is longer than {} bytes; choose a shorter --rundir", what,
                sizeof address.sun_path - 1 - (fresh.size() - path.size()));
  std::memcpy(address.sun_path, fresh.c_str(), fresh.size() + 1);

  UniqueFd fd{check(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), what)};
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) throw_errno(errno, what);
  check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), what);
  try {
    check(::chmod(fresh.c_str(), 0660), what);
    check(::listen(fd.get(), kBacklog), what);
    check(::rename(fresh.c_str(), path.c_str()), what);
  } catch (...) {
    ::unlink(fresh.c_str());
    throw;
  }
  return fd;
}

}  // namespace shunt
