// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/group_edit.h"

#include <algorithm>
#include <utility>

#include "user/base/of_error.h"
#include "user/pipeline/action_walk.h"
#include "user/pipeline/group_select.h"

namespace shunt {

namespace {

constexpr std::uint32_t kMaxBucketId = 0xffffff00;  // OFPG_BUCKET_MAX

template <typename Visit>
void follow_bucket(const Bucket& bucket, Visit&& visit) {
  for_each_group(bucket.actions, visit);
  if (bucket.watch_group) visit(*bucket.watch_group);
}

template <typename Visit>
void for_each_chain(const Group& group, Visit&& visit) {
  for (const BucketRef& bucket : group.buckets) follow_bucket(*bucket, visit);
}

// Whatever `check` refuses is in the change's bucket number `index`. One that the change does not hold is none of it.
template <typename Check>
void naming(std::size_t index, Check&& check) {
  try {
    check();
  } catch (OfError& error) {
    error.inside(index);
    throw;
  }
}

bool is_same(const Bucket& a, const Bucket& b) {
  return a.id == b.id && a.weight == b.weight && a.watch_port == b.watch_port && a.watch_group == b.watch_group &&
         a.actions == b.actions;
}

auto find_bucket(const std::vector<BucketRef>& buckets, std::uint32_t id) {
  return std::find_if(buckets.begin(), buckets.end(), [&](const BucketRef& bucket) { return bucket->id == id; });
}

// A bucket that is there already, as it is, stays and goes on counting. An id of kBucketAll stands for the lowest free
// one.
BucketRef make_bucket(Bucket bucket, const std::vector<BucketRef>& before, const std::vector<BucketRef>& beside) {
  if (bucket.id == kBucketAll)
    for (bucket.id = 0; find_bucket(beside, bucket.id) != beside.end();) ++bucket.id;
  if (const auto same = find_bucket(before, bucket.id); same != before.end() && is_same(**same, bucket)) return *same;
  bucket.counters = FlowCounters{};
  return std::make_shared<const Bucket>(std::move(bucket));
}

std::shared_ptr<Group> make_group(const GroupMod& mod, const Group* before, TimePoint now) {
  if (mod.buckets.size() > GroupEdit::kMaxBuckets)
    throw OfError(OfErrorCode::kOutOfBuckets, "group {}: {} buckets: at most {}", mod.group, mod.buckets.size(),
                  GroupEdit::kMaxBuckets);
  auto group = std::make_shared<Group>();
  group->id = mod.group;
  group->type = mod.type;
  group->selection = mod.selection;
  group->created = before != nullptr ? before->created : now;
  for (const Bucket& bucket : mod.buckets)
    group->buckets.push_back(
        make_bucket(bucket, before != nullptr ? before->buckets : std::vector<BucketRef>{}, group->buckets));
  return group;
}

// For insert_bucket and remove_bucket: the group as it is, to be changed.
std::shared_ptr<Group> copy_of(const Group& group) {
  auto copy = std::make_shared<Group>();
  copy->id = group.id;
  copy->type = group.type;
  copy->selection = group.selection;
  copy->buckets = group.buckets;
  copy->created = group.created;
  return copy;
}

void check_watch(const Group& group, const Bucket& bucket) {
  const bool watches = bucket.watch_port || bucket.watch_group;
  if (group.type == GroupType::kFastFailover && !watches)
    throw OfError(OfErrorCode::kInvalidGroup, "group {}: bucket {} of a fast failover group watches nothing", group.id,
                  bucket.id);
  if ((group.type == GroupType::kAll || group.type == GroupType::kIndirect) && watches)
    throw OfError(OfErrorCode::kWatchUnsupported, "group {}: bucket {} watches, in a group that does not choose",
                  group.id, bucket.id);
  if (bucket.watch_port && !is_port_number(*bucket.watch_port))
    throw OfError(OfErrorCode::kBadWatch, "group {}: bucket {} watches port {}, which cannot be", group.id, bucket.id,
                  bucket.watch_port->value);
}

}  // namespace

GroupEdit::GroupEdit(RuleEdit& edit) : edit_{edit}, groups_{std::make_shared<Groups>(*edit.bridge().groups)} {
  edit_.bridge().groups = groups_;
  for (const auto& [id, group] : *groups_) count_buckets(*group, 1);
}

void GroupEdit::apply(const GroupMod& mod) {
  try {
    apply_unlined(mod);
  } catch (OfError& error) {
    if (error.line() == 0) error.set_line(mod.line);
    throw;
  }
}

void GroupEdit::apply_unlined(const GroupMod& mod) {
  using Command = GroupMod::Command;
  const auto found = groups_->find(mod.group);
  const Group* before = found != groups_->end() ? found->second.get() : nullptr;
  switch (mod.command) {
    case Command::kAdd:
      if (before != nullptr)
        throw OfError(OfErrorCode::kGroupExists, "group {} exists already", mod.group).about("group_id");
      return put(make_group(mod, nullptr, edit_.now()));
    case Command::kModify:
      return put(make_group(mod, &get(mod.group), edit_.now()));
    case Command::kAddOrModify:
      return put(make_group(mod, before, edit_.now()));
    case Command::kDelete:
      return remove(mod.group);
    case Command::kInsertBucket:
      return insert_buckets(mod);
    case Command::kRemoveBucket:
      return remove_buckets(mod);
  }
}

void GroupEdit::finish() {
  for (const std::uint32_t id : std::exchange(deleted_, {})) edit_.remove_group_users(id);
}

// A group that is not there is gone already: no error (OpenFlow 1.3.5 section 6.7).
void GroupEdit::remove(std::uint32_t id) {
  if (id == kGroupAll) {
    for (const auto& [each, group] : *groups_) {
      deleted_.insert(each);
      edit_.mark_changed(tag_of(DependencyKind::kGroup, each));
    }
    groups_->clear();
    chained_.clear();
    bucket_count_ = 0;
    return;
  }
  const auto found = groups_->find(id);
  if (found == groups_->end()) return;
  if (chained_[id] > 0)
    throw OfError(OfErrorCode::kChainedGroup, "group {} is forwarded to, or watched, by {} other buckets", id,
                  chained_[id])
        .about("group_id");
  count_buckets(*found->second, -1);
  groups_->erase(found);
  deleted_.insert(id);
  edit_.mark_changed(tag_of(DependencyKind::kGroup, id));
}

void GroupEdit::insert_buckets(const GroupMod& mod) {
  const Group& before = get(mod.group);
  auto group = copy_of(before);
  auto at = group->buckets.end();
  if (mod.command_bucket == kBucketFirst) {
    at = group->buckets.begin();
  } else if (mod.command_bucket <= kMaxBucketId) {
    const auto after = find_bucket(group->buckets, mod.command_bucket);
    if (after == group->buckets.end())
      throw OfError(OfErrorCode::kUnknownBucket, "group {} has no bucket {}", mod.group, mod.command_bucket)
          .about("command_bucket_id");
    at = group->buckets.begin() + (after - group->buckets.begin()) + 1;
  } else if (mod.command_bucket != kBucketLast) {
    throw OfError(OfErrorCode::kUnknownBucket, "insert_bucket: first, last, or after a bucket")
        .about("command_bucket_id");
  }
  std::vector<BucketRef> beside = group->buckets, fresh;
  for (std::size_t i = 0; i < mod.buckets.size(); ++i) {
    const Bucket& bucket = mod.buckets[i];
    naming(i, [&] {
      if (find_bucket(beside, bucket.id) != beside.end())
        throw OfError(OfErrorCode::kBucketExists, "group {} has a bucket {} already", mod.group, bucket.id);
    });
    fresh.push_back(make_bucket(bucket, {}, beside));
    beside.push_back(fresh.back());
  }
  const auto first = static_cast<std::size_t>(at - group->buckets.begin());
  group->buckets.insert(at, fresh.begin(), fresh.end());
  put(std::move(group), first);
}

void GroupEdit::remove_buckets(const GroupMod& mod) {
  const Group& before = get(mod.group);
  auto group = copy_of(before);
  auto& buckets = group->buckets;
  if (mod.command_bucket == kBucketAll) {
    buckets.clear();
  } else {
    auto at = mod.command_bucket == kBucketFirst                      ? buckets.begin()
              : mod.command_bucket == kBucketLast && !buckets.empty() ? buckets.end() - 1
              : mod.command_bucket == kBucketLast
                  ? buckets.end()
                  : buckets.begin() + (find_bucket(buckets, mod.command_bucket) - buckets.begin());
    if (at == buckets.end())
      throw OfError(OfErrorCode::kUnknownBucket, "group {} has no such bucket", mod.group).about("command_bucket_id");
    buckets.erase(at);
  }
  put(std::move(group));
}

// Checks the group whole and puts it in its place; counters go on.
void GroupEdit::put(std::shared_ptr<Group> group, std::size_t first_given) {
  check(*group, first_given);
  if (group->type == GroupType::kSelect) group->slots = make_slots(group->buckets);
  const auto [at, is_new] = groups_->try_emplace(group->id);
  if (groups_->size() > kMaxGroups)
    throw OfError(OfErrorCode::kOutOfGroups, "{} groups: at most {}", groups_->size(), kMaxGroups);
  const GroupRef before = at->second;
  if (before != nullptr) {
    group->counters = before->counters;
    modified_.push_back({before, group, group->counters.packets(), group->counters.bytes()});
    count_buckets(*before, -1);
  }
  count_buckets(*group, 1);
  if (bucket_count_ > kMaxBridgeBuckets)
    throw OfError(OfErrorCode::kOutOfBuckets, "{} buckets in all groups: at most {}", bucket_count_, kMaxBridgeBuckets);
  edit_.mark_changed(tag_of(DependencyKind::kGroup, group->id));
  at->second = std::move(group);
}

void GroupEdit::count_buckets(const Group& group, int by) {
  bucket_count_ += by * static_cast<std::int64_t>(group.buckets.size());
  for_each_chain(group, [&](std::uint32_t id) { chained_[id] += static_cast<std::uint32_t>(by); });
}

void GroupEdit::check(const Group& group, std::size_t first_given) const {
  if (group.id > kGroupMax)
    throw OfError(OfErrorCode::kInvalidGroup, "group {}: groups are 0 to {}", group.id, kGroupMax);
  if (group.buckets.size() > kMaxBuckets)
    throw OfError(OfErrorCode::kOutOfBuckets, "group {}: {} buckets: at most {}", group.id, group.buckets.size(),
                  kMaxBuckets);
  if (group.type > GroupType::kFastFailover)
    throw OfError(OfErrorCode::kBadGroupType, "group {}: unknown type", group.id);
  if (group.type == GroupType::kIndirect && group.buckets.size() != 1)
    throw OfError(OfErrorCode::kInvalidGroup, "group {}: an indirect group has one bucket, not {}", group.id,
                  group.buckets.size());
  std::set<std::uint32_t> ids;
  for (std::size_t i = 0; i < group.buckets.size(); ++i)
    naming(i - first_given, [&] {
      const Bucket& bucket = *group.buckets[i];
      if (bucket.id > kMaxBucketId)
        throw OfError(OfErrorCode::kBadBucket, "group {}: bucket {:#x} is reserved", group.id, bucket.id);
      if (!ids.insert(bucket.id).second)
        throw OfError(OfErrorCode::kBucketExists, "group {}: two buckets {}", group.id, bucket.id);
      check_watch(group, bucket);
    });
  refuse_loop(group, first_given);  // before what follows: to itself a group that is new is no unknown one
  for (std::size_t i = 0; i < group.buckets.size(); ++i)
    naming(i - first_given, [&] {
      const Bucket& bucket = *group.buckets[i];
      if (bucket.watch_group && !groups_->contains(*bucket.watch_group))
        throw OfError(OfErrorCode::kBadWatch, "group {}: bucket {} watches group {}, which is not there", group.id,
                      bucket.id, *bucket.watch_group);
      check_bucket_actions({*groups_, *edit_.bridge().meters}, bucket.actions);
    });
}

void GroupEdit::refuse_loop(const Group& group, std::size_t first_given) const {
  std::set<std::uint32_t> seen;
  for (std::size_t i = 0; i < group.buckets.size(); ++i) {
    std::vector<const Group*> next;
    const auto follow = [&](std::uint32_t id) {
      if (id == group.id) throw OfError(OfErrorCode::kGroupLoop, "group {} would lead back to itself", group.id);
      const auto found = groups_->find(id);
      if (found != groups_->end() && seen.insert(id).second) next.push_back(found->second.get());
    };
    naming(i - first_given, [&] {
      follow_bucket(*group.buckets[i], follow);
      while (!next.empty()) {
        const Group* at = next.back();
        next.pop_back();
        for_each_chain(*at, follow);
      }
    });
  }
}

const Group& GroupEdit::get(std::uint32_t id) const {
  const auto found = groups_->find(id);
  if (found == groups_->end()) throw OfError(OfErrorCode::kUnknownGroup, "no group {}", id).about("group_id");
  return *found->second;
}

}  // namespace shunt
