// SPDX-License-Identifier: Apache-2.0
#include "user/doctor/facts.h"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <fstream>

#include "maps/map_names.h"
#include "user/base/unique_fd.h"
#include "user/net/ethtool.h"
#include "user/net/netlink.h"
#include "user/ports/veth_peer.h"

namespace shunt::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kUmemBytes = std::uint64_t{32'768} * 4096;  // the default of --umem-frames

std::optional<int> read_number(const fs::path& path) {
  std::ifstream file{path};
  int value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

std::map<std::string, int> read_rp_filters(const fs::path& directory) {
  std::map<std::string, int> values;
  std::error_code error;
  for (fs::directory_iterator at{directory, error}; !error && at != fs::directory_iterator{}; at.increment(error))
    if (const auto value = read_number(at->path() / "rp_filter")) values[at->path().filename()] = *value;
  return values;
}

std::optional<bool> active(const std::map<std::string, Feature, std::less<>>& features, std::string_view name) {
  const auto found = features.find(name);
  return found == features.end() ? std::nullopt : std::optional{found->second.active};
}

// None where it may not be asked.
std::optional<std::string> program_name(std::uint32_t id) {
  if (id == 0) return std::string{};
  bpf_prog_info info{};
  __u32 size = sizeof info;
  const UniqueFd fd{bpf_prog_get_fd_by_id(id)};
  if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return std::nullopt;
  return info.name;
}

Peer read_peer(const Link& link) {
  Peer peer;
  const VethPeer end = VethPeer::reach(link);
  peer.where = end.describe();
  peer.name = end.name();
  end.run([&](Ethtool& ethtool) {
    const auto features = ethtool.features(peer.name);
    peer.gro = active(features, "rx-gro").value_or(true);
    peer.vlan_insert = active(features, "tx-vlan-hw-insert").value_or(false);
    peer.segmentation = active(features, "tx-tcp-segmentation").value_or(false);
    if (const auto there = Netlink{}.find(peer.name)) peer.mtu = there->mtu;
  });
  return peer;
}

}  // namespace

Host read_host(const std::string& root) {
  Host host;
  utsname name{};
  ::uname(&name);
  host.release = name.release;
  host.kernel = running_kernel();
  host.capabilities = effective_capabilities();
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  host.memlock = limit.rlim_cur == RLIM_INFINITY ? ~std::uint64_t{0} : limit.rlim_cur;
  host.umem_bytes = kUmemBytes;
  struct statfs bpffs {};
  host.bpffs = ::statfs((root + SHUNT_BPFFS).c_str(), &bpffs) == 0 && bpffs.f_type == BPF_FS_MAGIC;
  host.btf = fs::exists(root + "/sys/kernel/btf/vmlinux");
  host.jit = read_number(root + "/proc/sys/net/core/bpf_jit_enable");
  host.jit_harden = read_number(root + "/proc/sys/net/core/bpf_jit_harden");
  host.rp_filter = read_rp_filters(root + "/proc/sys/net/ipv4/conf");
  return host;
}

// Each question by itself: an interface that answers one may refuse the next, or vanish between them.
void read_port(PortFacts& port) {
  const auto ask = [](auto question) {
    try {
      question();
    } catch (const std::exception&) {  // unknown, then
    }
  };
  std::optional<Link> link;
  ask([&] { link = Netlink{}.find(port.name); });
  if (!link) return;
  ask([&] { port.xdp = xdp_features(link->index); });
  port.program = program_name(link->xdp_program);
  ask([&] {
    Ethtool ethtool;
    if (const auto channels = ethtool.channels(port.name))
      port.receive_queues = channels->receive();
    else if (const auto rings = ethtool.receive_rings(port.name))
      port.receive_queues = *rings;
    const auto features = ethtool.features(port.name);
    port.lro = active(features, "rx-lro");
    port.vlan_strip = active(features, "rx-vlan-hw-parse");
  });
  if (link->kind == "veth") ask([&] { port.peer = read_peer(*link); });
}

}  // namespace shunt::doctor
