// SPDX-License-Identifier: Apache-2.0
#include "user/doctor/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

#include "user/base/printable.h"
#include "user/base/reasons.h"

namespace shunt::doctor {
namespace {

using Findings = std::vector<Finding>;

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
constexpr unsigned kIpcLock = 14;  // CAP_IPC_LOCK
constexpr std::string_view kOurProgram = "shunt_switch";

void add(Findings& findings, Severity severity, std::string subject, std::string what, std::string cost,
         std::string remedy) {
  findings.push_back({severity, {}, std::move(subject), std::move(what), std::move(cost), std::move(remedy)});
}

// What goes on is a warning; what lies behind is good to know. `what` begins with the count.
void add_count(Findings& findings, const Count& count, const char* what, const char* cost, const char* remedy) {
  if (count.recent != 0)
    add(findings, Severity::kWarning, "", fmt::format("{} {} in a second", count.recent, what), cost, remedy);
  else if (count.total != 0)
    add(findings, Severity::kNote, "", fmt::format("{} {} since shuntd started, none now", count.total, what), cost,
        remedy);
}

template <typename Look>
void each_port(const Facts& facts, Look look) {
  if (!facts.on) return;
  for (const PortFacts& port : facts.on->ports) look(port);
}

// --- the machine

void check_kernel_version(const Facts& facts, Findings& findings) {
  struct Gain {
    KernelVersion since;
    std::string_view what, before;
  };
  static constexpr std::array<Gain, 3> kGains{{
      {{6, 3, 0},
       "the kernel says whether it can redirect to an interface",
       "that is inferred from the driver and the peer"},
      {{6, 6, 0}, "AF_XDP has packets in several buffers", "a port with an MTU over 3498 is refused"},
      {{6, 13, 0}, "checksums are summed in one call", "they are in calls of 512 bytes"},
  }};
  const Host& host = facts.host;
  if (host.kernel < kOldestKernel)
    return add(findings, Severity::kError, "", fmt::format("the kernel is {}", host.release), "shuntd does not start",
               "a kernel of 6.1 or later");
  for (const Gain& gain : kGains)
    if (host.kernel < gain.since)
      add(findings, Severity::kNote, "",
          fmt::format("from Linux {}.{} on {}", gain.since.major, gain.since.minor, gain.what),
          fmt::format("the kernel is {}: {}", host.release, gain.before), "a newer kernel");
}

void check_xdp_sockets(const Facts& facts, Findings& findings) {
  if (!facts.host.xdp_sockets)
    add(findings, Severity::kError, "", "the kernel has no AF_XDP sockets",
        "no port can be attached: userspace could see no packet", "a kernel with CONFIG_XDP_SOCKETS=y");
}

void check_rights(const Facts& facts, Findings& findings) {
  if (!facts.rights) return;
  for (const Capability& missing : missing_capabilities(facts.rights->capabilities)) {
    if (missing.number == kIpcLock) continue;  // check_locked_memory() has it
    add(findings, missing.required ? Severity::kError : Severity::kWarning, "",
        facts.on ? fmt::format("shuntd has no {}", missing.name) : fmt::format("{} is missing here", missing.name),
        fmt::format("it is for: {}", missing.purpose), "run as root, or give it to the service (AmbientCapabilities=)");
  }
}

void check_locked_memory(const Facts& facts, Findings& findings) {
  if (!facts.rights) return;
  const bool exempt = (facts.rights->capabilities >> kIpcLock & 1) != 0;
  const std::uint64_t limit = facts.rights->memlock;
  if (exempt || limit == kNoLimit || limit >= facts.umem_bytes) return;
  add(findings, Severity::kError, "",
      fmt::format("{} KiB may be locked, and the packet buffers are {} KiB", limit / 1024, facts.umem_bytes / 1024),
      "shuntd cannot register its packet buffers", "ulimit -l unlimited (LimitMEMLOCK=infinity), or CAP_IPC_LOCK");
}

void check_bpffs(const Facts& facts, Findings& findings) {
  if (!facts.host.bpffs)
    add(findings, facts.on ? Severity::kError : Severity::kWarning, "", "no bpffs at /sys/fs/bpf",
        "programs and maps cannot be pinned: nothing forwards while shuntd is dead; shuntd mounts it where it may",
        "mount -t bpf bpf /sys/fs/bpf");
}

void check_types(const Facts& facts, Findings& findings) {
  if (!facts.host.btf)
    add(findings, Severity::kError, "", "the kernel has no BTF (/sys/kernel/btf/vmlinux)",
        "the XDP program may not load, and bpftool shows maps as bytes", "a kernel with CONFIG_DEBUG_INFO_BTF=y");
}

void check_jit(const Facts& facts, Findings& findings) {
  if (facts.host.jit == 0)
    add(findings, Severity::kError, "", "BPF programs are interpreted (net.core.bpf_jit_enable=0)",
        "every packet costs several times as much", "sysctl -w net.core.bpf_jit_enable=1");
  if (facts.host.jit == 2)
    add(findings, Severity::kWarning, "", "BPF programs are printed into the kernel's log as they load",
        "loading takes longer, and the log fills", "sysctl -w net.core.bpf_jit_enable=1");
  if (facts.host.jit_harden.value_or(0) == 2)
    add(findings, Severity::kWarning, "", "constants in BPF programs are blinded for everybody (bpf_jit_harden=2)",
        "the XDP program is larger and slower", "sysctl -w net.core.bpf_jit_harden=1");
}

// The stricter of all's and the interface's own holds.
void check_reverse_path(const Facts& facts, Findings& findings) {
  const auto value = [&](const std::string& name) {
    const auto found = facts.host.rp_filter.find(name);
    return found == facts.host.rp_filter.end() ? 0 : found->second;
  };
  each_port(facts, [&](const PortFacts& port) {
    if (port.kind != "local" || std::max(value("all"), value(port.name)) != 1) return;
    add(findings, Severity::kWarning, port.name, "the host drops packets from where it would not send to (rp_filter=1)",
        "packets that come in by the bridge, and are answered by another interface, are lost without a word",
        fmt::format("sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{}.rp_filter=2", port.name));
  });
}

// --- ports

void check_state(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (port.state == "gone")
      add(findings, Severity::kError, port.name, "its interface is gone",
          "nothing passes; it waits for one of that name",
          fmt::format("shunt port detach {} {}", port.bridge, port.name));
    if (port.state == "down" && port.kind != "local")
      add(findings, Severity::kWarning, port.name, "it is down, or its other end is", "nothing passes",
          fmt::format("ip link set dev {} up (and its other end)", port.name));
  });
}

void check_program(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (!port.program || port.state == "gone") return;
    const bool by_tc = port.mode == PortMode::kTcx;
    if (by_tc ? port.program->empty() && port.tc_program != false : *port.program == kOurProgram) return;
    add(findings, Severity::kError, port.name,
        !port.program->empty() ? fmt::format("the XDP program on it is '{}'", *port.program)
                               : fmt::format("it has no {} program any more", by_tc ? "TC" : "XDP"),
        "its packets do not pass the switch",
        fmt::format("shunt port detach {0} {1}; shunt port attach {0} {1} --force", port.bridge, port.name));
  });
}

void check_mode(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (port.mode != PortMode::kGeneric) return;
    const bool could = port.xdp && port.xdp->native;
    add(findings, Severity::kWarning, port.name,
        could ? "it runs generic XDP, and its driver could do better" : "it runs generic XDP: its driver has no other",
        "several times the cost a packet, and no segmentation offload behind it",
        could ? fmt::format("shunt port detach {0} {1}; shunt port attach {0} {1}", port.bridge, port.name)
              : "a driver with XDP");
  });
}

void check_zero_copy(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (port.mode != PortMode::kNative || port.zero_copy || !port.xdp || !port.xdp->zero_copy) return;
    add(findings, Severity::kWarning, port.name, "AF_XDP copies, and the driver could do without",
        "packets that userspace handles cost more",
        fmt::format("shunt port detach {0} {1}; shunt port attach {0} {1} (see shuntd's log)", port.bridge, port.name));
  });
}

// The command that sets a feature of the other end, wherever that is; whoever is there chose its name.
std::string at_peer(const Peer& peer, std::string_view feature) {
  return fmt::format("{}ethtool -K {} {}", peer.enter, shell_word(peer.name), feature);
}

void check_transmit(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (port.xdp_transmit || port.state == "gone") return;
    add(findings, Severity::kWarning, port.name, "the kernel cannot redirect to it",
        "all that goes out there passes userspace: about a quarter of the rate",
        port.kind == "veth" ? (port.peer ? at_peer(*port.peer, "gro on") : "ethtool -K PEER gro on")
                            : "a driver whose XDP can transmit");
  });
}

void check_peer_offloads(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (!port.peer) return;
    const Peer& peer = *port.peer;
    if (peer.vlan_insert && port.mode != PortMode::kTcx)
      add(findings, Severity::kError, port.name, fmt::format("{} leaves VLAN tags to the card", peer.where),
          "tags of what it sends are lost without a word", at_peer(peer, "txvlan off"));
    if (port.xdp_transmit && !peer.gro)
      add(findings, Severity::kError, port.name, fmt::format("{} has GRO off", peer.where),
          "unless it has an XDP program, what the kernel sends there is dropped", at_peer(peer, "gro on"));
    if (port.mode == PortMode::kGeneric && peer.segmentation)
      add(findings, Severity::kError, port.name, fmt::format("{} leaves segmentation to the card", peer.where),
          "generic XDP gets packets of 64 KiB, which no port sends: TCP hardly moves",
          at_peer(peer, "tso off gso off"));
  });
}

void check_own_offloads(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (port.lro == true)
      add(findings, Severity::kError, port.name, "LRO merges what comes in",
          "forwarded packets are longer than any MTU", fmt::format("ethtool -K {} lro off", port.name));
    if (port.kind == "physical" && port.vlan_strip == true)
      add(findings, Severity::kError, port.name, "the card takes VLAN tags off", "they are lost without a word",
          fmt::format("ethtool -K {} rxvlan off", port.name));
  });
}

void check_mtus(const Facts& facts, Findings& findings) {
  std::map<std::string, std::map<std::uint32_t, std::vector<std::string>>> bridges;
  each_port(facts, [&](const PortFacts& port) {
    if (port.mtu != 0) bridges[port.bridge][port.mtu].push_back(port.name);
    if (port.peer && port.peer->mtu != 0 && port.mtu != 0 && port.peer->mtu > port.mtu)
      add(findings, Severity::kWarning, port.name,
          fmt::format("its MTU is {}, that of {} {}", port.mtu, port.peer->where, port.peer->mtu),
          "longer packets from there are dropped", fmt::format("ip link set dev {} mtu {}", port.name, port.peer->mtu));
  });
  for (const auto& [bridge, by_mtu] : bridges) {
    if (by_mtu.size() < 2) continue;
    std::string list;
    for (const auto& [mtu, names] : by_mtu)
      list += fmt::format("{}{}: {}", list.empty() ? "" : "; ", mtu, fmt::join(names, " "));
    add(findings, Severity::kWarning, bridge, fmt::format("its ports have different MTUs ({})", list),
        "longer packets to the smaller ones are dropped (frame-too-long), and nobody tells the sender",
        fmt::format("ip link set dev PORT mtu {}", by_mtu.begin()->first));
  }
}

void check_queues(const Facts& facts, Findings& findings) {
  each_port(facts, [&](const PortFacts& port) {
    if (!port.receive_queues || port.state == "gone" || port.mode == PortMode::kTcx ||
        *port.receive_queues <= port.queues)
      return;
    add(findings, Severity::kError, port.name,
        fmt::format("{} receive queues, and AF_XDP sockets on {} of them", *port.receive_queues, port.queues),
        "packets of the other queues that need userspace are dropped (upcall-no-socket)",
        fmt::format("ethtool -L {} combined {} (or rx), or attach it again with --queues", port.name, port.queues));
  });
}

// --- the switch

void check_fills(const Facts& facts, Findings& findings) {
  if (!facts.on) return;
  for (const FillFacts& fill : facts.on->nearly_full)
    add(findings, Severity::kWarning, fill.subject, fill.what, fill.cost, fill.remedy);
}

void check_flows(const Facts& facts, Findings& findings) {
  if (!facts.on) return;
  add_count(findings, facts.on->evicted, "cached flows were pushed out by newer ones",
            "the flow limit has been reached: their packets then pass userspace", "shuntd --flow-limit N");
  add_count(findings, facts.on->exact_fallback, "flows were cached each by itself",
            "rules of a port need more than 16 masks: such flows cost a cached flow and a miss each",
            "rules of fewer shapes ('shunt cache list' shows the masks)");
}

void check_events(const Facts& facts, Findings& findings) {
  if (!facts.on) return;
  add_count(findings, facts.on->events_lost, "packet-ins, samples or learned rules were lost",
            "controllers do not hear of them", "rules that send less to the controller");
}

void check_drops(const Facts& facts, Findings& findings) {
  struct Row {
    std::string_view reason, remedy;
  };
  static constexpr std::array<Row, 8> kRows{{
      {"upcall-budget", "shuntd --upcall-rate N, or rules whose flows share masks"},
      {"upcall-queue-full", "shuntd --cores LIST: more workers"},
      {"upcall-no-socket", "shunt port attach --queues N, or as many receive queues as sockets"},
      {"tx-ring-full", "shuntd --cores LIST: more workers"},
      {"tx-error", "see the output port's own counters: ip -s link"},
      {"no-frames", "shuntd --umem-frames N"},
      {"frame-too-long", "ip link set dev PORT mtu N, the same at all ports"},
      {"checksum", "ethtool -K PEER tx off"},
  }};
  each_port(facts, [&](const PortFacts& port) {
    std::string earlier;
    for (const Row& row : kRows) {
      const auto found = port.drops.find(std::string{row.reason});
      if (found == port.drops.end() || found->second.total == 0) continue;
      if (found->second.recent == 0) {
        fmt::format_to(std::back_inserter(earlier), "{}{} {}", earlier.empty() ? "" : ", ", found->second.total,
                       row.reason);
        continue;
      }
      std::string_view help;
      for (const Reason& reason : kDropReasons)
        if (reason.name == row.reason) help = reason.help;
      add(findings, Severity::kWarning, port.name,
          fmt::format("{} packets dropped in a second: {}", found->second.recent, row.reason), std::string{help},
          std::string{row.remedy});
    }
    if (!earlier.empty())
      add(findings, Severity::kNote, port.name,
          fmt::format("packets dropped since it was attached, none now: {}", earlier),
          "a restart of shuntd or a burst may have been the reason", fmt::format("shunt drops {}", port.bridge));
  });
}

void check_daemon(const Facts& facts, Findings& findings) {
  if (!facts.on)
    add(findings, Severity::kNote, "", "no daemon answers: only the machine was looked at", facts.no_daemon,
        "shuntd, or --rundir and --instance of one that runs");
  else if (facts.on->version != facts.client_version)
    add(findings, Severity::kWarning, "",
        fmt::format("shuntd is {}, shunt is {}", facts.on->version, facts.client_version),
        "commands may not be understood", "restart shuntd (systemctl restart shuntd)");
}

constexpr std::array kChecks{
    Check{"kernel", check_kernel_version},
    Check{"xdp-sockets", check_xdp_sockets},
    Check{"rights", check_rights},
    Check{"locked-memory", check_locked_memory},
    Check{"bpffs", check_bpffs},
    Check{"btf", check_types},
    Check{"jit", check_jit},
    Check{"rp-filter", check_reverse_path},
    Check{"daemon", check_daemon},
    Check{"port-state", check_state},
    Check{"xdp-program", check_program},
    Check{"xdp-mode", check_mode},
    Check{"zero-copy", check_zero_copy},
    Check{"xdp-transmit", check_transmit},
    Check{"peer-offloads", check_peer_offloads},
    Check{"offloads", check_own_offloads},
    Check{"mtu", check_mtus},
    Check{"queues", check_queues},
    Check{"nearly-full", check_fills},
    Check{"flows", check_flows},
    Check{"drops", check_drops},
    Check{"events", check_events},
};

}  // namespace

std::span<const Check> all_checks() { return kChecks; }

std::vector<Finding> examine(const Facts& facts) {
  std::vector<Finding> findings;
  for (const Check& check : kChecks) {
    const std::size_t before = findings.size();
    check.look(facts, findings);
    for (std::size_t i = before; i < findings.size(); ++i) findings[i].check = check.name;
  }
  std::ranges::stable_sort(findings, [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return findings;
}

}  // namespace shunt::doctor
