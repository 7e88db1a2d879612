// SPDX-License-Identifier: Apache-2.0
// A loaded switch between veths of a network namespace of its own, for tests: flows are published as the daemon does,
// frames go in by BPF_PROG_TEST_RUN.
//
// Threads: the test's, which stays in the namespace for good.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "maps/flow.h"
#include "maps/port.h"
#include "user/base/unique_fd.h"
#include "user/bpf/datapath.h"

namespace shunt::test {

using Bytes = std::vector<std::byte>;

// Moves the thread into a new network namespace, once.
void enter_namespace();
// Runs a command; throws where it fails.
void run_command(const std::string& command);
// An instance name that nobody else uses, in this process neither.
std::string new_instance_name();

struct Result {
  std::uint32_t verdict = 0;  // enum xdp_action
  Bytes frame;
  std::optional<shunt_upcall_meta> meta;  // where the frame went up
};

// Whether the kernel has the hook of mode tcx (Linux 6.6). One that has not need not take the programs.
[[nodiscard]] bool has_tcx();

// Ports 1 .. port_count are veths whose other ends, named peer(port), are a stack without addresses; all up.
class Switch {
 public:
  explicit Switch(std::uint32_t features = SHUNT_FEATURE_ALL, std::uint32_t flow_limit = 4096, unsigned port_count = 3);
  ~Switch();
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

  const std::string instance;
  Datapath datapath;

  [[nodiscard]] std::string interface(unsigned port) const { return fmt::format("{}p{}", prefix_, port); }
  [[nodiscard]] std::string peer(unsigned port) const { return fmt::format("{}q{}", prefix_, port); }
  [[nodiscard]] Ifindex ifindex(unsigned port) const { return ifindexes_[port]; }
  // Slots of `meters` that tests use.
  static constexpr std::size_t kTestMeters = 16;
  // A map by its pin: for those that the daemon has no business with.
  [[nodiscard]] UniqueFd pinned(const char* name) const;
  // Forgets flows, masks, meters and counters; ports as they were at first.
  void reset();

  // What a port and a flow have counted.
  void forget_counts(unsigned port, std::uint32_t slot);

  // Empties the exact-match level, which reset() leaves: its hints are verified, but counted.
  void clear_hints();

  // Lets packets of a port be answered by the exact-match cache, under keys of these fields (SHUNT_PLAIN_*); what it
  // held for the port is void.
  void use_microflows(unsigned port, std::uint32_t fields);

  // Publishes a flow, as last of the port's masks where its mask is new; returns its slot.
  std::uint32_t publish(const shunt_flow_key& key, const shunt_flow_key& mask, std::span<const shunt_action> actions,
                        std::uint8_t flags = 0);
  // As publish(), but the index has no entry: only `megaflows` knows it.
  std::uint32_t publish_overflowed(const shunt_flow_key& key, const shunt_flow_key& mask,
                                   std::span<const shunt_action> actions);
  // A flow of the port's bridged packets, by the FDB of that number. Its mask: that, the port, and the outer tag.
  std::uint32_t publish_bridged(unsigned port, std::span<const std::byte> frame, std::uint16_t number);
  // An entry of the FDB, which the next reset() takes away; of 64 MACs all have room.
  void set_mac(std::uint16_t number, const std::uint8_t (&mac)[6], std::uint16_t port, std::uint16_t flags);
  [[nodiscard]] std::uint64_t mac(std::uint16_t number, const std::uint8_t (&mac)[6]) const;
  // Numbers a mask; it is not in any port's list.
  std::uint16_t add_mask(const shunt_flow_key& mask);
  void set_union_mask(const shunt_flow_key& mask);

  // key_of(), and the hash that select groups look at.
  [[nodiscard]] shunt_flow_key whole_key(std::span<const std::byte> frame, unsigned port = 1) const;

  [[nodiscard]] Result run(std::span<const std::byte> frame, unsigned port = 1);
  // ns a packet, over `repeat` runs of an unchanging frame.
  [[nodiscard]] std::uint32_t measure(std::span<const std::byte> frame, unsigned port, std::uint32_t repeat);
  [[nodiscard]] shunt_flow_counters counted(std::uint32_t slot) const;
  [[nodiscard]] shunt_flow_delta delta(std::uint32_t slot) const;
  [[nodiscard]] std::uint32_t flow_count() const { return next_slot_; }

  // Whether behind a list stands its rewrite, where it has one, as the daemon writes it.
  bool has_rewrites = true;

 private:
  struct FdbPlace {
    __u64& entry;
    std::uint64_t name;  // shunt_fdb_name()
  };
  [[nodiscard]] FdbPlace fdb_place(std::uint16_t number, const std::uint8_t (&mac)[6]) const;  // or a free one
  std::uint32_t write_flow(const shunt_flow_key& key, const shunt_flow_key& mask, std::span<const shunt_action> actions,
                           std::uint8_t flags, bool indexed);

  std::string prefix_;
  std::vector<Ifindex> ifindexes_;
  std::vector<shunt_flow_key> masks_;  // by number
  std::vector<shunt_megaflow_key> published_;
  std::vector<__u64*> macs_;
  std::uint32_t next_slot_ = 0, next_action_ = 0;
  std::uint64_t microflows_ = 0;  // the last number given to a port
};

// Of port 1's packets.
std::uint64_t exact_hits(const Switch& sw);

// The key that the shared parser makes of a frame, without dp_hash.
shunt_flow_key key_of(std::span<const std::byte> frame, unsigned port = 1);
// All bits of in_port, and nothing else: the widest mask there is.
shunt_flow_key port_mask();
shunt_flow_key exact_mask();
// As `normal` makes it: in_port, addresses, type, the outer tag. Four words.
shunt_flow_key l2_mask();
shunt_flow_key five_tuple_mask();  // in_port, type, protocol, fragments, addresses, ports

shunt_action output_to(unsigned port, bool in_port = false);
shunt_action group_output(std::uint16_t group);
shunt_action drop_for(shunt_drop_reason reason);
shunt_action userspace_for(shunt_upcall_reason reason);
shunt_action set_field(shunt_field field, std::span<const std::uint8_t> value, std::span<const std::uint8_t> mask = {});
shunt_action push_vlan(std::uint16_t tpid, std::uint16_t tci);
shunt_action push_mpls(std::uint16_t eth_type, std::uint32_t entry);
shunt_action pop_mpls(std::uint16_t eth_type);
shunt_action simple_action(shunt_action_type type, std::uint16_t arg = 0);

}  // namespace shunt::test
