// SPDX-License-Identifier: Apache-2.0
// Translation of groups: which of their buckets get the packet, and what they do to it.
#include <bit>

#include "user/pipeline/flow_hash.h"
#include "user/pipeline/group_select.h"
#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr unsigned kHashBits = 32;

}  // namespace

void Translator::run(const GroupAction& action) {
  if (!may_go_deeper()) return;
  depend_on(DependencyKind::kGroup, action.group);
  const auto found = bridge_->groups->find(action.group);
  if (found == bridge_->groups->end()) {
    note([] { return "there is no such group"; });
    return fail(SHUNT_DROP_GROUP);
  }
  const GroupRef& group = found->second;
  credit({group, &group->counters});
  const unsigned hash_bits_used = hash_bits_used_;
  if (group->type == GroupType::kAll || group->type == GroupType::kIndirect) {
    if (group->buckets.empty()) fail(SHUNT_DROP_GROUP);
    for (const BucketRef& bucket : group->buckets) {
      const bool more = bucket != group->buckets.back();
      pending_ += more;
      run_bucket(*group, bucket);
      pending_ -= more;
    }
  } else if (const BucketRef* bucket = choose_bucket(*group)) {
    run_bucket(*group, *bucket);
  } else {
    if (observer_ != nullptr) observer_->entered_group(*group, nullptr, nesting_);
    note([] { return "no bucket of the group is live"; });
    fail(SHUNT_DROP_GROUP);
  }
  hash_bits_used_ = hash_bits_used;
}

// As an action set, over a copy of the packet. What it does to the pipeline is gone at its end, too.
void Translator::run_bucket(const Group& group, const BucketRef& bucket) {
  if (!may_go_deeper()) return;
  ++resubmits_;
  credit({bucket, &bucket->counters});
  if (observer_ != nullptr) observer_->entered_group(group, bucket.get(), nesting_);
  ActionSet set;
  set.write(bucket->actions);
  const ActionSet around = action_set_;
  const bool nested = std::exchange(in_group_, true);
  open_scope();
  ++depth_;
  ++nesting_;
  run_set(set);
  if (pausing_ != nullptr) action_set_ = around;
  pausing_.reset();  // a bucket's packet is its own until its end
  --nesting_;
  --depth_;
  close_scope();
  in_group_ = nested;
  exit_ = false;  // of the bucket only
}

const BucketRef* Translator::choose_bucket(const Group& group) {
  if (group.type == GroupType::kFastFailover) {
    for (const BucketRef& bucket : group.buckets)
      if (is_live(*bucket, 0)) return &bucket;
    return nullptr;
  }
  const auto live = [&](std::uint16_t index) { return is_live(*group.buckets[index], 0); };
  unsigned bits = 0;
  if (group.selection.method == Selection::Method::kHash) {
    const auto chosen = choose_slot(group.slots, hash_for(group.selection), live, bits);
    return chosen ? &group.buckets[*chosen] : nullptr;
  }
  // A group in a bucket of another goes by bits that the other has not gone by, or some of its buckets would get
  // nothing.
  const unsigned first = static_cast<unsigned>(group.selection.parameter + hash_bits_used_) % kHashBits;
  const auto shift = static_cast<int>(first);
  const auto chosen = choose_slot(group.slots, std::rotr(working_.dp_hash, shift), live, bits);
  FlowMask hash{};
  hash.dp_hash = std::rotl((std::uint32_t{1} << bits) - 1, shift);
  examine(hash);
  hash_bits_used_ += bits;
  return chosen ? &group.buckets[*chosen] : nullptr;
}

std::uint32_t Translator::hash_for(const Selection& selection) {
  PipelineMask examined{};
  const auto basis = static_cast<std::uint32_t>(selection.parameter ^ selection.parameter >> 32);
  std::uint32_t hash;
  if (is_zero(selection.fields)) {
    hash = hash_l2_to_l4(working_, basis, examined);
  } else {
    hash = hash_masked(working_, selection.fields, basis);
    examined = selection.fields;
  }
  examine(examined);
  return hash;
}

bool Translator::is_live(const Bucket& bucket, unsigned depth) {
  if (!bucket.watch_port && !bucket.watch_group) return true;
  if (bucket.watch_port) {
    const BridgePort* port = find_port(*bucket.watch_port);
    if (port != nullptr && port->up) return true;
  }
  if (!bucket.watch_group || depth >= kMaxDepth || ++watched_ > kMaxResubmits) return false;
  depend_on(DependencyKind::kGroup, *bucket.watch_group);
  const auto group = bridge_->groups->find(*bucket.watch_group);
  if (group == bridge_->groups->end()) return false;
  for (const BucketRef& watched : group->second->buckets)
    if (is_live(*watched, depth + 1)) return true;
  return false;
}

}  // namespace shunt
