// SPDX-License-Identifier: Apache-2.0
// Which cached flows a change may alter, of very many: a scan over 12 to 20 bytes a flow instead of a look at each.
//
// Flows that hang on the same things (port, mask, bridge, tables, what was rewritten: nearly all flows of a port) are
// of one class, for which a change's test is prepared once. Within a class flows differ by their keys: of each the index
// holds up to 16 bytes, the same ones of all, which the test looks at. A flow that has no bytes in conflict with the
// change is found; is_affected() then says exactly. Found too often costs time; a flow that is affected is always found.
//
// Threads: the revalidator.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "user/base/strong_types.h"
#include "user/flow/flow_key.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"

namespace shunt {

class AffectedIndex {
 public:
  // What a flow hangs on beside its key. `mask`: the number of the table's mask.
  struct Basis {
    DpPort port;
    std::uint16_t mask = 0;
    std::optional<BridgeId> bridge;
    const Dependencies& dependencies;
  };

  explicit AffectedIndex(std::uint32_t flow_limit);

  // The slot's flow, or what it hangs on now. `bits`: those of the mask; `key`: of any packet of the flow.
  void set(std::uint32_t slot, const Basis& basis, const FlowMask& bits, const FlowKey& key);
  void clear(std::uint32_t slot);  // it has none; may be called again

  // A change as it is held against flows that are in the index when the query is made. Those that come after it need
  // none: they are decided under the newer state.
  class Query {
    friend class AffectedIndex;
    struct Test {
      std::array<std::uint64_t, 2> bits{}, value{};  // a flow passes where its bytes agree; without bits: each does
    };
    std::vector<std::uint32_t> first;  // by class: where its tests begin; one of them has to pass
    std::vector<Test> tests;
  };
  [[nodiscard]] Query query(const Change& change, const SwitchState& state) const;
  // Appends the slots from `begin` to before `end` whose flows may be altered, in order.
  void find(const Query& query, std::uint32_t begin, std::uint32_t end, std::vector<std::uint32_t>& slots) const;
  // Of a port, from slot `begin` on: how many would be found.
  [[nodiscard]] std::uint32_t count(const Query& query, std::uint32_t begin, DpPort port) const;

  [[nodiscard]] std::size_t class_count() const { return numbers_.size(); }

 private:
  static constexpr std::size_t kBytes = 16;
  using Bytes = std::array<std::uint64_t, kBytes / 8>;
  struct Key {
    std::uint32_t port = 0;
    std::uint16_t mask = 0;
    std::optional<BridgeId> bridge;
    Dependencies dependencies;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Same {
    bool operator()(const Key& a, const Key& b) const noexcept;
  };
  struct Class {
    const Key* key = nullptr;  // of numbers_; null: the number is free
    std::uint32_t flows = 0;
    FlowMask filter{};  // bits of the packet that its flows' translation looked at, and that say what it had
    std::uint8_t byte_count = 0;
    std::array<std::uint8_t, kBytes> bytes{};  // places in a FlowKey
  };

  static constexpr std::uint32_t kNone = 0;

  [[nodiscard]] std::uint32_t number_of(const Basis& basis, const FlowMask& bits);
  [[nodiscard]] static Bytes bytes_of(const Class& a_class, const FlowKey& key);
  void add_tests(const Class& a_class, const Change& change, const SwitchState& state, Query& query) const;
  [[nodiscard]] bool passes(const Query& query, std::uint32_t slot) const {
    const std::uint32_t number = class_of_[slot];
    if (number + 1 >= query.first.size()) return false;
    for (std::uint32_t i = query.first[number]; i < query.first[number + 1]; ++i) {
      const Query::Test& test = query.tests[i];
      if (((first_bytes_[slot] ^ test.value[0]) & test.bits[0]) == 0 &&
          ((more_bytes_[slot] ^ test.value[1]) & test.bits[1]) == 0)
        return true;
    }
    return false;
  }

  std::vector<std::uint32_t> class_of_;                   // by slot
  std::vector<std::uint64_t> first_bytes_, more_bytes_;  // likewise; apart, for the first ones settle most
  std::vector<Class> classes_;           // by number; kNone is no flow's
  std::vector<std::uint32_t> free_;
  std::unordered_map<Key, std::uint32_t, Hash, Same> numbers_;
  std::uint32_t found_ = kNone;  // last: most flows are of the class of the one before
};

}  // namespace shunt
