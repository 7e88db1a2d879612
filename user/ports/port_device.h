// SPDX-License-Identifier: Apache-2.0
// The interface behind a port: found, classified, and made fit to be one. What Linux does that would lose a switch's
// frames is cured here, without the user knowing it:
//
//   veth      the peer gets `gro on`, so that it has NAPI: without it a redirected frame is dropped. Its txvlan
//   offloads go
//             off: a tag that rides beside the frame is lost on redirect. The interface gets as many receive queues as
//             the peer has transmit queues: the kernel refuses XDP otherwise. Where XDP is generic, the peer's
//             segmentation offloads go off: the kernel does that by itself for native XDP only. In mode tcx tags and
//             queues stay as they are.
//   physical  lro and rx-gro-hw off (XDP wants frames as they were on the wire), rxvlan off (tags stay in the frame),
//             promiscuous (a switch sees all).
//   all       up; at most SHUNT_MAX_QUEUES receive queues, or as many as asked for.
//
// Each change is recorded in words (`changes`) and undone by restore(), newest first, also when the other side has
// gone. When the peer cannot be reached (its namespace is not to be found, or not ours to enter) the port works
// without: `xdp_transmit` is false, output goes through AF_XDP, which needs no NAPI at the peer; `warnings` says so.
//
// Attaching XDP is Datapath's: prepare() comes before, restore() after XDP was detached. A restore() is due also when
// the interface vanished: a veth that went to another namespace leaves its peer behind.
//
// Threads: control.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/strong_types.h"
#include "user/bpf/program.h"
#include "user/net/ethtool.h"
#include "user/net/netlink.h"
#include "user/ports/changes.h"
#include "user/ports/veth_peer.h"

namespace shunt {

enum class DeviceKind { kVeth, kPhysical, kTap, kLocal };
[[nodiscard]] std::string_view to_string(DeviceKind kind);  // "veth", "physical", "tap", "local"

struct DeviceRequest {
  std::string interface;
  std::optional<unsigned> queues;     // receive queues at most; none: all, up to SHUNT_MAX_QUEUES
  bool create_tap = false;            // makes a persistent TAP of that name; restore() removes it
  PortMode mode = PortMode::kNative;  // that it will be attached in
  Changes changed{};                  // what an earlier daemon changed, and did not live to restore
};

class PortDevice {
 public:
  // Throws Error: no such interface, not one that can be a port (why), queues that cannot be had. What was changed
  // before the throw is undone.
  [[nodiscard]] static PortDevice prepare(const DeviceRequest& request);

  // The LOCAL port of `bridge`: a veth pair whose host end is named as the bridge, and left down for the user to set
  // up; the port is the other end. A pair that a killed daemon of the same instance left behind is taken over,
  // addresses and all. Throws Error where the name is taken. restore() removes the pair.
  [[nodiscard]] static PortDevice prepare_local(const std::string& instance, const std::string& bridge, PortMode mode,
                                                const Changes& changed = {});

  PortDevice(PortDevice&& other) noexcept = default;
  PortDevice& operator=(PortDevice&& other) noexcept;  // restores what it held before
  PortDevice(const PortDevice&) = delete;
  PortDevice& operator=(const PortDevice&) = delete;
  ~PortDevice();  // restores

  // What mode suits an interface when nobody asks for one: TC where the packets of a local stack come in, for which
  // they stay as long as it made them; XDP elsewhere, and where a program at a veth's other end sends frames of its
  // own.
  [[nodiscard]] static PortMode suitable_mode(const std::string& interface);

  // As the kernel described it at the last prepare() or recheck(). Of LOCAL it is the switch's end.
  [[nodiscard]] const Link& link() const { return link_; }
  [[nodiscard]] Ifindex ifindex() const { return link_.index; }
  [[nodiscard]] DeviceKind kind() const { return kind_; }
  [[nodiscard]] PortMode mode() const { return mode_; }
  // A local stack is behind it, whose partial checksums must be completed: SHUNT_PORT_LOCAL_STACK.
  [[nodiscard]] bool has_local_stack() const { return kind_ != DeviceKind::kPhysical; }
  [[nodiscard]] unsigned queues() const { return queues_; }
  // Of those, how many (the lowest) transmit as well: the kernel sends nothing, and says nothing, on a queue that has
  // no transmit side.
  [[nodiscard]] unsigned transmit_queues() const;
  // XDP can redirect to it. Of a physical interface the answer is known for certain once XDP is attached: recheck()
  // then.
  [[nodiscard]] bool xdp_transmit() const { return xdp_transmit_; }
  // Also frames of several buffers.
  [[nodiscard]] bool takes_frags() const { return takes_frags_; }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  // The other end, as it was last seen; none: there is none, or it cannot be reached.
  [[nodiscard]] const std::optional<PeerName>& peer() const { return peer_; }
  // "peer veth1: gro on", oldest first.
  [[nodiscard]] std::vector<std::string> changes() const { return changes_.texts(); }
  // The same, with what restores them: DeviceRequest::changed of a later daemon, by Changes::parse().
  [[nodiscard]] std::string stored_changes() const { return changes_.format(); }

  // Looks again, and cures again what came undone (the peer moved to another namespace, say). To be called after XDP
  // was attached, and when PortWatcher says kPeer. True where xdp_transmit(), the MTU or the warnings changed. Never
  // throws for a port that is gone: PortWatcher tells that.
  bool recheck();

  // Undoes every change that it can reach, newest first, and forgets them all. The second call does nothing.
  void restore() noexcept;
  // Forgets them, without undoing any.
  void keep_changes() noexcept { changes_.forget(); }

 private:
  PortDevice() = default;
  void inspect(const std::string& name);
  void make_tap(const DeviceRequest& request);
  void choose_queues(std::optional<unsigned> wanted);
  [[nodiscard]] unsigned least_queues(unsigned limit) const;
  void set_receive_queues(const Channels& now, unsigned count);
  void bring_up();
  void cure();
  void cure_peer();
  void cure_peer_feature(const VethPeer& peer, std::string_view feature, bool on);
  void note_transmit();
  void announce_peer();

  Link link_;
  DeviceKind kind_ = DeviceKind::kVeth;
  unsigned queues_ = 1;
  PortMode mode_ = PortMode::kNative;
  bool xdp_transmit_ = true, takes_frags_ = true;
  std::optional<PeerName> peer_;
  Changes changes_;
  std::vector<std::string> warnings_;
};

// Both ends of a LOCAL pair have an alias that begins so; "instance/bridge" follows.
inline constexpr std::string_view kLocalAlias = "shunt LOCAL: ";

// An unused name for the switch's end of a LOCAL pair: "sh-" and a hash of instance and bridge, at most 15 bytes.
// `taken` says whether a link of that name exists.
[[nodiscard]] std::string local_port_name(const std::string& instance, const std::string& bridge,
                                          const std::function<bool(const std::string&)>& taken);

// A bridge's address: locally administered, unicast, the same each time for the same machine, namespace, instance,
// bridge.
[[nodiscard]] MacAddr local_mac(std::string_view seed);

}  // namespace shunt
