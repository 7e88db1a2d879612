// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/group_codec.h"

#include <chrono>
#include <string_view>
#include <utility>
#include <vector>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/message.h"
#include "user/pipeline/group_edit.h"

namespace shunt::openflow {
namespace {

using Command = GroupMod::Command;

struct CommandNumber {
  Command command;
  std::uint16_t number;
  bool of_15;
};
constexpr auto kCommands = std::to_array<CommandNumber>({{Command::kAdd, 0, false},
                                                         {Command::kModify, 1, false},
                                                         {Command::kDelete, 2, false},
                                                         {Command::kInsertBucket, 3, true},
                                                         {Command::kRemoveBucket, 5, true},
                                                         {Command::kAddOrModify, 0x8000, false}});  // Open vSwitch's

// The selection method, an experimenter's property (Netronome's, as Open vSwitch has it).
constexpr std::uint16_t kExperimenterProperty = 0xffff;
constexpr std::uint32_t kNetronome = 0x0000154d, kSelectionMethod = 1;
constexpr std::size_t kMethodNameSize = 16;
enum BucketProperty : std::uint16_t { kWeight, kWatchPort, kWatchGroup };

constexpr std::string_view kDpHashName = "dp_hash", kHashName = "hash";

Command command_of(std::uint16_t number, bool of_15) {
  for (const CommandNumber& entry : kCommands)
    if (entry.number == number && (of_15 || !entry.of_15)) return entry.command;
  throw OfError(OfErrorCode::kGroupBadCommand, "group-mod command {} is unknown", number);
}

void set_watch(Bucket& bucket, std::uint32_t port, std::uint32_t group) {
  if (port != kPortNone.value) bucket.watch_port = PortNo{port};
  if (group != kGroupAny) bucket.watch_group = group;
}

ActionList bucket_actions(Bytes actions, Version version) {
  return decode_actions(actions, version, ActionPlace::kActionSet, Match{});
}

Bucket decode_bucket(Reader& in, Version version) {
  constexpr std::size_t kBucketHeader = 16;
  const std::uint16_t size = in.u16();
  if (size < kBucketHeader || size % 8 != 0 || size - 2u > in.left())
    throw OfError(OfErrorCode::kBadBucket, "a bucket of {} bytes", size);
  Reader body = in.part(size - 2u, OfErrorCode::kBadBucket);
  Bucket bucket;
  bucket.id = kBucketAll;
  bucket.weight = body.u16();
  const std::uint32_t port = body.u32(), group = body.u32();
  set_watch(bucket, port, group);
  body.skip(4);
  bucket.actions = bucket_actions(body.rest(), version);
  return bucket;
}

Bucket decode_bucket15(Reader& in, Version version, GroupType type) {
  constexpr std::size_t kBucketHeader = 8;
  const std::uint16_t size = in.u16(), actions_size = in.u16();
  if (size < kBucketHeader || size % 8 != 0 || size - 4u > in.left() || actions_size > size - kBucketHeader)
    throw OfError(OfErrorCode::kBadBucket, "a bucket of {} bytes with {} of actions", size, actions_size);
  Reader body = in.part(size - 4u, OfErrorCode::kBadBucket);
  Bucket bucket;
  bucket.id = body.u32();
  bucket.weight = type == GroupType::kSelect ? 1 : 0;
  bucket.actions = bucket_actions(body.take(actions_size), version);
  for_each_property(body, [&](std::uint16_t property, Reader& value) {
    switch (property) {
      case kWeight:
        bucket.weight = value.u16();
        break;
      case kWatchPort:
        set_watch(bucket, value.u32(), kGroupAny);
        break;
      case kWatchGroup:
        set_watch(bucket, kPortNone.value, value.u32());
        break;
      default:
        throw OfError(OfErrorCode::kBadProperty, "a bucket has no property {}", property);
    }
  });
  return bucket;
}

void decode_selection(Reader& value, Selection& selection) {
  value.skip(4);
  const Bytes name_bytes = value.take(kMethodNameSize);
  const std::string_view padded{reinterpret_cast<const char*>(name_bytes.data()), name_bytes.size()};
  const std::string_view name = padded.substr(0, padded.find('\0'));
  selection.parameter = value.u64();
  if (name == kHashName)
    selection.method = Selection::Method::kHash;
  else if (name == kDpHashName || name.empty())
    selection.method = Selection::Method::kDpHash;
  else
    throw OfError(OfErrorCode::kPropertyBadValue, "selection method '{}' is unknown: hash, or dp_hash", name);
  // A value stands for a mask: all ones for the whole field.
  Reader fields{value.rest()};
  while (!fields.done()) {
    const OxmField& oxm = read_field_name(fields, OfErrorCode::kPropertyBadValue, OfErrorCode::kPropertyBadValue);
    const FieldBits mask = fields.number(oxm.size);
    const Field& f = field(oxm.field);
    write_field(f, selection.fields, read_field(f, selection.fields) | mask);
  }
}

void decode_body15(Reader& in, GroupMod& mod, Version version) {
  const std::size_t buckets_size = in.u16();
  in.skip(2);
  mod.command_bucket = in.u32();
  Reader buckets = in.part(buckets_size, OfErrorCode::kBadBucket);
  while (!buckets.done()) mod.buckets.push_back(decode_bucket15(buckets, version, mod.type));
  for_each_property(in, [&](std::uint16_t property, Reader& value) {
    if (property != kExperimenterProperty)
      throw OfError(OfErrorCode::kBadProperty, "a group has no property {}", property);
    if (value.u32() != kNetronome || value.u32() != kSelectionMethod)
      throw OfError(OfErrorCode::kPropertyBadExperimenter, "of experimenters a group has the selection method only");
    decode_selection(value, mod.selection);
  });
}

void put_bucket(Writer& out, const Bucket& bucket, Version version) {
  const std::size_t start = out.size();
  out.u16(0);
  out.u16(bucket.weight);
  out.u32(bucket.watch_port.value_or(kPortNone).value);
  out.u32(bucket.watch_group.value_or(kGroupAny));
  out.zeros(4);
  encode_actions(out, bucket.actions, version, Match{});
  out.patch16(start, out.size() - start);
}

void put_property32(Writer& out, std::uint16_t type, std::uint32_t value) {
  const Tlv tlv{out, type};
  out.u32(value);
}

void put_bucket15(Writer& out, const Bucket& bucket, Version version) {
  const std::size_t start = out.size();
  out.u16(0);
  out.u16(0);
  out.u32(bucket.id);
  const std::size_t actions = out.size();
  encode_actions(out, bucket.actions, version, Match{});
  out.patch16(start + 2, out.size() - actions);
  {
    const Tlv tlv{out, kWeight};
    out.u16(bucket.weight);
    out.zeros(2);
  }
  if (bucket.watch_port) put_property32(out, kWatchPort, bucket.watch_port->value);
  if (bucket.watch_group) put_property32(out, kWatchGroup, *bucket.watch_group);
  out.patch16(start, out.size() - start);
}

void put_selection(Writer& out, const Selection& selection) {
  if (selection.method == Selection::Method::kDpHash && selection.parameter == 0) return;
  const std::size_t start = out.size();
  {
    const Tlv tlv{out, kExperimenterProperty};
    out.u32(kNetronome);
    out.u32(kSelectionMethod);
    out.zeros(4);
    out.text(selection.method == Selection::Method::kHash ? kHashName : kDpHashName, kMethodNameSize);
    out.u64(selection.parameter);
    // Of the fields that lie in the same bytes the first is named.
    PipelineMask left = selection.fields;
    for (const Field& f : fields()) {
      const FieldBits mask = read_field(f, left);
      const OxmField* oxm = wire_form(f.id, Version::k15);
      if (mask == 0 || oxm == nullptr) continue;
      write_oxm_header(out, *oxm, false);
      encode_value(out, *oxm, mask);
      write_field(f, left, 0);
    }
  }
  out.align(start, 8);
}

template <typename Buckets, typename Put>
void put_buckets15(Writer& out, const Buckets& buckets, Put&& put, std::size_t length_at) {
  const std::size_t begin = out.size();
  for (const auto& bucket : buckets) put(bucket);
  out.patch16(length_at, out.size() - begin);
}

}  // namespace

GroupMod decode_group_mod(Bytes body, Version version, bool nicira) {
  Reader in{body};
  const bool of_15 = nicira || version >= Version::k15;
  GroupMod mod;
  mod.command = command_of(in.u16(), of_15);
  const std::uint8_t type = in.u8();
  if (type > static_cast<std::uint8_t>(GroupType::kFastFailover))
    throw OfError(OfErrorCode::kBadGroupType, "group type {} is unknown", type);
  mod.type = static_cast<GroupType>(type);
  in.skip(1);
  mod.group = in.u32();
  if (mod.group > kGroupMax && !(mod.group == kGroupAll && mod.command == Command::kDelete))
    throw OfError(OfErrorCode::kInvalidGroup, "group {:#x} is reserved", mod.group);
  if (of_15)
    decode_body15(in, mod, version);
  else
    while (!in.done()) mod.buckets.push_back(decode_bucket(in, version));
  if (mod.buckets.size() > GroupEdit::kMaxBuckets)
    throw OfError(OfErrorCode::kOutOfBuckets, "group {}: {} buckets: at most {}", mod.group, mod.buckets.size(),
                  GroupEdit::kMaxBuckets);
  if (mod.command == Command::kDelete) mod.buckets.clear();
  return mod;
}

void encode_group_mod(Writer& out, const GroupMod& mod, Version version, std::uint32_t xid) {
  const bool of_15 = version >= Version::k15;
  const MessageScope scope{out, version, MessageKind::kGroupMod, xid};
  for (const CommandNumber& entry : kCommands)
    if (entry.command == mod.command) out.u16(entry.number);
  out.u8(static_cast<std::uint8_t>(mod.type));
  out.zeros(1);
  out.u32(mod.group);
  if (!of_15) {
    for (const Bucket& bucket : mod.buckets) put_bucket(out, bucket, version);
    return;
  }
  const std::size_t length_at = out.size();
  out.zeros(4);
  const bool of_bucket = mod.command == Command::kInsertBucket || mod.command == Command::kRemoveBucket;
  out.u32(of_bucket ? mod.command_bucket : kBucketAll);
  put_buckets15(
      out, mod.buckets, [&](const Bucket& bucket) { put_bucket15(out, bucket, version); }, length_at);
  put_selection(out, mod.selection);
}

void encode_group_stats(Writer& out, const Group& group, std::uint32_t references, TimePoint now, Version) {
  const std::size_t start = out.size();
  out.u16(0);
  out.zeros(2);
  out.u32(group.id);
  out.u32(references);
  out.zeros(4);
  out.u64(group.counters.packets());
  out.u64(group.counters.bytes());
  put_duration(out, now - group.created);
  for (const BucketRef& bucket : group.buckets) {
    out.u64(bucket->counters.packets());
    out.u64(bucket->counters.bytes());
  }
  out.patch16(start, out.size() - start);
}

void encode_group_description(Writer& out, const Group& group, Version version) {
  const std::size_t start = out.size();
  out.u16(0);
  out.u8(static_cast<std::uint8_t>(group.type));
  out.zeros(1);
  out.u32(group.id);
  // OpenFlow 1.0's are Nicira's, which have 1.5's form.
  if (version >= Version::k15 || version == Version::k10) {
    const std::size_t length_at = out.size();
    out.zeros(8);
    put_buckets15(
        out, group.buckets, [&](const BucketRef& bucket) { put_bucket15(out, *bucket, version); }, length_at);
    put_selection(out, group.selection);
  } else {
    for (const BucketRef& bucket : group.buckets) put_bucket(out, *bucket, version);
  }
  out.patch16(start, out.size() - start);
}

void encode_group_features(Writer& out, Version version, std::uint32_t max_groups) {
  constexpr std::uint32_t kAllTypes = 0xf;
  constexpr std::uint32_t kSelectWeight = 1, kSelectLiveness = 2, kChaining = 4, kChainingChecks = 8;
  std::uint32_t actions = 0;
  for (const ActionFormat& format : standard_actions())
    if (format.experimenter == 0 && format.since <= version && version <= format.until && format.number < 32)
      actions |= 1u << format.number;
  out.u32(kAllTypes);
  out.u32(kSelectWeight | kSelectLiveness | kChaining | kChainingChecks);
  for (int type = 0; type < 4; ++type) out.u32(max_groups);
  for (int type = 0; type < 4; ++type) out.u32(actions);
}

}  // namespace shunt::openflow
