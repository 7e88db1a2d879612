// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr __u32 kLinkTypeTcx = 11;  // enum bpf_link_type, likewise

// A link's descriptor or -errno.
int create_link(int program_fd, Ifindex ifindex, PortMode mode) {
  const int target = static_cast<int>(ifindex.value);
  if (mode == PortMode::kTcx) return bpf_link_create(program_fd, target, kTcxIngress, nullptr);
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.flags = mode == PortMode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  return bpf_link_create(program_fd, target, BPF_XDP, &options);
}

// 0 where it cannot be told.
unsigned interface_mtu(Ifindex ifindex) {
  ifreq request{};
  if (::if_indextoname(ifindex.value, request.ifr_name) == nullptr) return 0;
  const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket || ::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) return 0;
  return static_cast<unsigned>(request.ifr_mtu);
}

std::string describe(const AttachedProgram& program) {
  if (program.id == 0) return "another XDP program";
  return fmt::format("the XDP program '{}' (id {}) of somebody else", program.name, program.id);
}

// A renamed interface keeps its pin's name: another one that takes the name gets its number behind it.
std::string free_pin_path(const std::string& directory, const std::string& name, Ifindex ifindex) {
  const std::string path = directory + "/" + link_pin_name(name);
  return ::access(path.c_str(), F_OK) != 0 ? path : fmt::format("{}-{}", path, ifindex.value);
}

}  // namespace

PinnedLink::PinnedLink(int program_fd, Ifindex ifindex, const std::string& name, PortMode mode,
                       const std::string& directory)
    : path_{free_pin_path(directory, name, ifindex)} {
  const int fd = create_link(program_fd, ifindex, mode);
  // The kernel says EINVAL of an interface that is not there, as of much else.
  char buffer[IF_NAMESIZE];
  if (fd < 0 && ::if_indextoname(ifindex.value, buffer) == nullptr)
    throw Error("{}", explain_attach_error(ENODEV, name, mode, 0, {}));
  if (fd < 0)
    throw Error("{}", explain_attach_error(-fd, name, mode, interface_mtu(ifindex), Datapath::query(ifindex)));
  fd_.reset(fd);
  check_libbpf(bpf_obj_pin(fd, path_.c_str()), "pin " + path_);
}

PinnedLink::PinnedLink(const std::string& path) : fd_{bpf_obj_get(path.c_str())}, path_{path} {
  if (!fd_) throw_errno(errno, "open the pinned link " + path);
}

void PinnedLink::detach() noexcept {
  // By hand first: someone who looks at the link right now (bpftool) would keep it alive.
  bpf_link_detach(fd_.get());
  ::unlink(path_.c_str());
}

bool PinnedLink::update(int program_fd) {
  const int error = bpf_link_update(fd_.get(), program_fd, nullptr);
  if (error == -ENOLINK || error == -ENODEV) return false;
  check_libbpf(error, "swap the program at " + path_);
  return true;
}

bpf_link_info PinnedLink::info() const {
  bpf_link_info info{};
  __u32 length = sizeof info;
  check_libbpf(bpf_obj_get_info_by_fd(fd_.get(), &info, &length), "look at the link " + path_);
  return info;
}

// Of a TCX link it lies at the same place.
Ifindex PinnedLink::ifindex() const { return Ifindex{info().xdp.ifindex}; }

bool PinnedLink::is_tcx() const { return info().type == kLinkTypeTcx; }

bool PinnedLink::runs(std::uint32_t program_id) const { return info().prog_id == program_id; }

std::string explain_attach_error(int error, const std::string& name, PortMode mode, unsigned mtu,
                                 const AttachedProgram& other) {
  if (mode == PortMode::kTcx)
    return fmt::format(
        "interface '{}': attach the TC program: {}", name,
        error == ENODEV ? "no such interface in this network namespace" : std::generic_category().message(error));
  const bool native = mode == PortMode::kNative;
  const bool refused = error == ERANGE || error == EINVAL || error == EOPNOTSUPP;
  const std::string what = fmt::format("interface '{}': ", name);
  if (error == EBUSY || error == EEXIST)
    return what + fmt::format("it carries {}: detach it, or use --force", describe(other));
  if (error == ENODEV) return what + "no such interface in this network namespace";
  if (error == EPERM) return what + "attaching an XDP program is not permitted (needs CAP_NET_ADMIN and CAP_BPF)";
  if (refused && mtu > kSingleBufferMtu)
    return what +
           fmt::format("its driver takes no XDP program at an MTU of {}: set it to {} or less", mtu, kSingleBufferMtu);
  if (error == ERANGE)
    return what + fmt::format("its driver takes no XDP program at its MTU of {}: set it to 1500", mtu);
  if (error == EOPNOTSUPP && native) return what + "its driver has no native XDP: try --mode generic";
  return what + fmt::format("attach the XDP program: {}", std::generic_category().message(error));
}

std::string link_pin_name(const std::string& interface) {
  std::string name = "link-" + interface;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

}  // namespace shunt
