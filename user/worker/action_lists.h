// SPDX-License-Identifier: Apache-2.0
// Lists of actions in use: the `action_lists` map, in which a list is a run of elements. Flows with equal lists share
// one. Behind the actions may stand their edits in one (rewrite.h); the elements of a list that no flow uses any more
// are written again only after a grace period.
//
// Threads: the revalidator.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "maps/actions.h"
#include "maps/types.h"
#include "user/worker/epoch_queue.h"

namespace shunt {

class ActionLists {
 public:
  explicit ActionLists(std::span<shunt_action> elements);

  struct Acquired {
    std::uint32_t first = 0;  // element
    bool has_rewrite = false;
    bool operator==(const Acquired&) const = default;
  };
  // Takes a reference to the list of these actions (1..SHUNT_MAX_ACTIONS); nothing where no run of elements is free.
  [[nodiscard]] std::optional<Acquired> acquire(std::span<const shunt_action> actions);
  std::uint32_t share(std::uint32_t first);  // one more reference
  void release(std::uint32_t first, std::uint64_t epoch);
  void reclaim(std::uint64_t epoch);
  [[nodiscard]] bool has_retired(std::uint64_t epoch) const { return retired_.has(epoch); }

  // Takes a reference to a list that an earlier daemon wrote: before any acquire(). False: it overlaps another one, or
  // is none. Behind the last one, found_all().
  [[nodiscard]] bool inherit(std::uint32_t first, std::size_t actions, bool has_rewrite);
  void found_all();

  [[nodiscard]] std::span<const shunt_action> actions(std::uint32_t first) const {
    return elements_.subspan(first, lists_.at(first).actions);
  }
  [[nodiscard]] std::size_t count() const { return numbers_.size(); }

 private:
  static constexpr std::size_t kLongest = SHUNT_MAX_ACTIONS + SHUNT_REWRITE_ELEMENTS;
  struct List {
    [[nodiscard]] bool has_rewrite() const { return count > actions; }
    std::size_t actions = 0;
    std::size_t count = 0;  // of elements
    std::uint32_t references = 0;
    std::uint64_t retired_in = 0;  // epoch
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view bytes) const noexcept { return std::hash<std::string_view>{}(bytes); }
  };
  static std::string_view bytes_of(std::span<const shunt_action> actions);
  [[nodiscard]] std::optional<std::uint32_t> take_run(std::size_t count);
  void free_run(std::uint32_t first, std::size_t count);  // of any length

  std::span<shunt_action> elements_;
  std::map<std::uint32_t, List> lists_;                                            // by first element
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> numbers_;  // by actions
  std::array<std::vector<std::uint32_t>, kLongest + 1> free_;                      // runs below end_, by length
  std::uint32_t end_ = 0;                                                          // from here on nothing was ever used
  EpochQueue<std::uint32_t> retired_;
};

}  // namespace shunt
