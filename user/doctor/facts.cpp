// SPDX-License-Identifier: Apache-2.0
#include "user/doctor/facts.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "maps/map_names.h"
#include "user/base/unique_fd.h"
#include "user/bpf/link.h"
#include "user/bpf/requirements.h"
#include "user/net/ethtool.h"
#include "user/net/netlink.h"
#include "user/ports/veth_peer.h"

namespace shunt::doctor {
namespace {

namespace fs = std::filesystem;

std::optional<int> read_number(const fs::path& path) {
  std::ifstream file{path};
  int value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// Whoever may not open one is told whether there is such a thing all the same.
bool has_xdp_sockets() {
  const UniqueFd fd{::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)};
  return fd || errno != EAFNOSUPPORT;
}

std::string read_text(const std::string& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

// "Max locked memory         8388608              8388608              bytes": the first is in force.
std::optional<std::uint64_t> locked_memory_limit(const std::string& limits) {
  constexpr std::string_view kName = "Max locked memory";
  const auto at = limits.find(kName);
  if (at == std::string::npos) return std::nullopt;
  std::istringstream line{limits.substr(at + kName.size())};
  std::string limit;
  line >> limit;
  if (limit == "unlimited") return ~std::uint64_t{0};
  return std::stoull(limit);
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

// None where it may not be asked.
std::optional<bool> runs_tc_program(Ifindex ifindex) {
  std::array<__u32, 64> ids{};
  auto count = static_cast<__u32>(ids.size());
  if (bpf_prog_query(static_cast<int>(ifindex.value), kTcxIngress, 0, nullptr, ids.data(), &count) != 0)
    return std::nullopt;
  return std::any_of(ids.begin(), ids.begin() + count, [](__u32 id) { return program_name(id) == "shunt_tc"; });
}

Peer read_peer(const Link& link) {
  Peer peer;
  const VethPeer end = VethPeer::reach(link);
  peer.where = end.describe();
  peer.name = end.name();
  peer.enter = end.enter();
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
  host.xdp_sockets = has_xdp_sockets();
  host.bpffs = has_bpffs((root + SHUNT_BPFFS).c_str());
  host.btf = fs::exists(root + "/sys/kernel/btf/vmlinux");
  host.jit = read_number(root + "/proc/sys/net/core/bpf_jit_enable");
  host.jit_harden = read_number(root + "/proc/sys/net/core/bpf_jit_harden");
  host.rp_filter = read_rp_filters(root + "/proc/sys/net/ipv4/conf");
  return host;
}

std::optional<Rights> read_rights(const std::string& directory) {
  try {
    const auto memlock = locked_memory_limit(read_text(directory + "/limits"));
    if (!memlock) return std::nullopt;
    return Rights{parse_effective_capabilities(read_text(directory + "/status")), *memlock};
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<Rights> read_daemon_rights(int pid) {
  const std::string directory = fmt::format("/proc/{}", pid);
  return read_text(directory + "/comm") == "shuntd\n" ? read_rights(directory) : std::nullopt;
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
  ask([&] {
    link = Netlink{}.find(port.name);
    // LOCAL's end that has the bridge's name is the host's: the port is the other.
    if (link && port.kind == "local") link = Netlink{}.find(link->peer);
  });
  if (!link) return;
  ask([&] { port.xdp = xdp_features(link->index); });
  port.program = program_name(link->xdp_program);
  port.tc_program = runs_tc_program(link->index);
  ask([&] {
    Ethtool ethtool;
    if (const auto channels = ethtool.channels(link->name))
      port.receive_queues = channels->receive();
    else if (const auto rings = ethtool.receive_rings(link->name))
      port.receive_queues = *rings;
    const auto features = ethtool.features(link->name);
    port.lro = active(features, "rx-lro");
    port.vlan_strip = active(features, "rx-vlan-hw-parse");
  });
  if (link->kind == "veth") ask([&] { port.peer = read_peer(*link); });
}

}  // namespace shunt::doctor
