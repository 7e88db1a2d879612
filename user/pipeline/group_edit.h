// SPDX-License-Identifier: Apache-2.0
// A group edit: changes to a bridge's groups, as part of an edit of the bridge (rule_edit.h).
//
// A group that another one forwards to cannot be deleted (OpenFlow: CHAINED_GROUP); rules that use it go with it.
// Groups never forward in a loop, nor watch each other in one. What is refused throws OfError with the line of its
// GroupMod, and its path leads to a bucket of that, or to an action in it. Thread: control.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "user/pipeline/group.h"
#include "user/pipeline/rule_edit.h"

namespace shunt {

class GroupEdit {
 public:
  static constexpr std::size_t kMaxGroups = 65536;
  static constexpr std::size_t kMaxBuckets = 1024;  // of a group
  static constexpr std::int64_t kMaxBridgeBuckets = 1 << 18;

  struct Modified {
    GroupRef old_group, new_group;
    std::uint64_t packets, bytes;  // that the new group started with
  };

  // Rules that the edit adds from then on may name the groups that there are by then.
  explicit GroupEdit(RuleEdit& edit);

  void apply(const GroupMod& mod);
  // Removes the rules whose groups are gone: before rules are changed next, and in the end.
  void finish();
  [[nodiscard]] const std::vector<Modified>& modified() const { return modified_; }

 private:
  using Groups = std::map<std::uint32_t, GroupRef>;

  RuleEdit& edit_;
  std::shared_ptr<Groups> groups_;
  std::unordered_map<std::uint32_t, std::uint32_t> chained_;  // buckets that forward to a group, or watch it
  std::int64_t bucket_count_ = 0;                             // of all groups
  std::set<std::uint32_t> deleted_;                           // since finish()
  std::vector<Modified> modified_;

  void apply_unlined(const GroupMod& mod);
  void remove(std::uint32_t id);
  void insert_buckets(const GroupMod& mod);
  void remove_buckets(const GroupMod& mod);
  // first_given: where in the group the change's buckets begin, by whose number refusals name them.
  void put(std::shared_ptr<Group> group, std::size_t first_given = 0);
  void count_buckets(const Group& group, int by);  // and what they forward to and watch
  void check(const Group& group, std::size_t first_given) const;
  void refuse_loop(const Group& group, std::size_t first_given) const;
  [[nodiscard]] const Group& get(std::uint32_t id) const;
};

}  // namespace shunt
