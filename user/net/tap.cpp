// SPDX-License-Identifier: Apache-2.0
#include "user/net/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "user/base/error.h"
#include "user/base/unique_fd.h"
#include "user/net/netlink.h"

namespace shunt {
namespace {

UniqueFd open_tap(const std::string& name, int extra_flags) {
  check_link_name(name);
  UniqueFd fd{check(::open("/dev/net/tun", O_RDWR | O_CLOEXEC), "open /dev/net/tun")};
  ifreq request{};
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | extra_flags);
  std::ranges::copy(name, request.ifr_name);
  check(::ioctl(fd.get(), TUNSETIFF, &request), fmt::format("open TAP '{}'", name));
  return fd;
}

}  // namespace

void create_tap(const std::string& name, bool multi_queue) {
  // TUNSETIFF opens a TAP that is there already, and it would become ours: IFF_TUN_EXCL refuses that.
  const UniqueFd fd = open_tap(name, IFF_TUN_EXCL | (multi_queue ? IFF_MULTI_QUEUE : 0));
  check(::ioctl(fd.get(), TUNSETPERSIST, 1), fmt::format("make TAP '{}' persistent", name));
}

void remove_tap(const std::string& name) {
  Netlink netlink;
  const auto link = netlink.find(name);
  if (!link || !link->tap) throw Error("there is no TAP '{}'", name);
  netlink.remove(link->index);
}

}  // namespace shunt
