// SPDX-License-Identifier: Apache-2.0
// Groups (OpenFlow 1.3.5 section 5.6; 1.5's bucket ids and commands; Open vSwitch's selection methods).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "user/base/clock.h"
#include "user/base/strong_types.h"
#include "user/flow/flow_key.h"
#include "user/pipeline/action.h"
#include "user/pipeline/counters.h"

namespace shunt {

inline constexpr std::uint32_t kGroupMax = 0xffffff00;  // OFPG_MAX
inline constexpr std::uint32_t kGroupAll = 0xfffffffc;
inline constexpr std::uint32_t kGroupAny = 0xffffffff;
inline constexpr std::uint32_t kBucketFirst = 0xfffffffd;  // OFPG_BUCKET_*: positions for insert and remove
inline constexpr std::uint32_t kBucketLast = 0xfffffffe;
inline constexpr std::uint32_t kBucketAll = 0xffffffff;

enum class GroupType : std::uint8_t { kAll, kSelect, kIndirect, kFastFailover };  // ofp_group_type

struct Bucket {
  std::uint32_t id = 0;
  std::uint16_t weight = 1;  // select; 0: never chosen
  std::optional<PortNo> watch_port;
  std::optional<std::uint32_t> watch_group;
  ActionList actions;
  FlowCounters counters;
};
using BucketRef = std::shared_ptr<const Bucket>;

// How a select group chooses. kDpHash: by the key's dp_hash, computed by whoever parses (few flows a group); kHash: by a hash
// of `fields` as they are in the pipeline, or of L2 to L4 where `fields` is empty (a flow for each value of them).
struct Selection {
  enum class Method : std::uint8_t { kDpHash, kHash };
  Method method = Method::kDpHash;
  std::uint64_t parameter = 0;
  PipelineMask fields{};
};

// Immutable after it was installed, but for counters. A bucket that a modification leaves as it was keeps its counters.
struct Group {
  std::uint32_t id = 0;
  GroupType type = GroupType::kAll;
  Selection selection;
  std::vector<BucketRef> buckets;
  // Select: bucket index by dp_hash & (size - 1); size is a power of two. Each bucket's share is its weight's within a
  // thousandth. Built with the group.
  std::vector<std::uint16_t> slots;
  TimePoint created{};
  FlowCounters counters;
};
using GroupRef = std::shared_ptr<const Group>;

struct GroupMod {
  enum class Command { kAdd, kModify, kAddOrModify, kDelete, kInsertBucket, kRemoveBucket };
  Command command = Command::kAdd;
  std::uint32_t group = 0;  // kGroupAll on kDelete
  GroupType type = GroupType::kAll;
  Selection selection;
  std::uint32_t command_bucket = kBucketLast;  // where to insert (after it), what to remove
  std::vector<Bucket> buckets;
  std::size_t line = 0;
};

}  // namespace shunt
