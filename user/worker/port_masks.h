// SPDX-License-Identifier: Apache-2.0
// Each port's list of masks, in the order in which the kernel tries them: by decayed hits, newcomers last. The list is
// the budget of look-ups a packet: a mask that finds no room makes its flows exact, which cost one look-up more,
// however many there are. Ranking by decayed hits cannot be gamed by a burst, and newcomers cannot push the others
// back.
//
// Also the port's generation, its flags HINTS and EXACT, and what its exact-match cache looks at (maps/flow.h); the
// rest of `ports` is control's.
//
// A program that walks a list while it is sorted may miss a mask: that packet goes up, and nothing else happens.
// Threads: the revalidator.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "maps/flow.h"
#include "maps/port.h"
#include "user/base/strong_types.h"

namespace shunt {

class PortMasks {
 public:
  explicit PortMasks(std::span<shunt_port> ports) : ports_{ports}, lists_(ports.size()) {}

  void add_port(DpPort port);  // empty list, next generation
  // With the list and generation that an earlier daemon left; then add_flow() for each flow, and forget_unused().
  void inherit_port(DpPort port);
  void forget_unused();
  void remove_port(DpPort port);  // likewise; the port is none from here on
  [[nodiscard]] bool exists(DpPort port) const { return port.value < lists_.size() && lists_[port.value].exists; }

  [[nodiscard]] std::uint32_t generation(DpPort port) const { return lists_[port.value].generation; }
  void raise_generation(DpPort port);  // invalidates all of the port's flows with one store

  [[nodiscard]] std::vector<std::uint16_t> masks(DpPort port) const;  // in order, without the exact one
  [[nodiscard]] bool listed(DpPort port, std::uint16_t mask) const;
  [[nodiscard]] bool has_exact_flows(DpPort port) const { return lists_[port.value].exact_flows > 0; }
  [[nodiscard]] std::uint32_t flow_count(DpPort port) const;
  [[nodiscard]] bool has_room(DpPort port) const { return lists_[port.value].masks.size() < SHUNT_PORT_MASKS; }
  // Flows by mask (SHUNT_MASK_EXACT: exact ones). The first one lists the mask, the last one takes it off. `fields`:
  // what the exact-match cache's keys have to hold for it to answer the flow's packets.
  void add_flow(DpPort port, std::uint16_t mask, std::uint16_t fields);
  void remove_flow(DpPort port, std::uint16_t mask);
  void keep_fields(DpPort port, std::uint16_t fields);  // likewise, of a flow that is cached exactly

  // A flow of the port goes, or gets other actions: what the kernel's exact-match cache holds for the port is void.
  void forget_microflows(DpPort port);

  // The part of its elements that is in use, less one; all ports have the same.
  [[nodiscard]] std::uint32_t microflow_groups() const { return microflow_groups_; }
  void set_microflow_groups(std::uint32_t groups);  // and makes all void that is kept, also where it is the same

  // What that cache keeps of bridged packets: where each pair of MACs goes, or that the FDB is to be asked.
  [[nodiscard]] bool keeps_pairs() const { return keeps_pairs_; }
  void keep_pairs(bool pairs);

  void count_hits(DpPort port, std::uint16_t mask, std::uint64_t hits);
  void rank();  // once a second: sorts the lists, then halves the hits

  // True when some port has so many masks that the exact-match level pays.
  [[nodiscard]] bool wants_hints() const { return wants_hints_; }

 private:
  // From so many masks on a hint saves more than it costs.
  static constexpr std::size_t kHintsFrom = 3;

  struct Listed {
    std::uint16_t mask = 0;
    std::uint16_t fields = 0;
    std::uint32_t flows = 0;
    std::uint64_t hits = 0;
  };
  struct List {
    bool exists = false;
    std::uint32_t generation = 0;
    std::uint32_t exact_flows = 0;
    std::uint16_t exact_fields = 0;  // that any of them has needed
    std::uint64_t microflows = 0;    // in shunt_port.microflows: the number, and what flows look at
    std::uint64_t fields = SHUNT_PLAIN_ON;
    std::vector<Listed> masks;
  };
  void publish(DpPort port);
  void set_flags(DpPort port);

  std::span<shunt_port> ports_;
  std::vector<List> lists_;
  bool wants_hints_ = false;
  bool keeps_pairs_ = true;
  std::uint32_t microflow_groups_ = 0;
};

}  // namespace shunt
