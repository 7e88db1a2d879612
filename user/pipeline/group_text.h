// SPDX-License-Identifier: Apache-2.0
// Groups as text, in Open vSwitch's syntax (ovs-ofctl(8), "Group Syntax"); docs/rules.md is the user's guide.
//
// parse(format(x)) is x. Parsing is strict, as that of rules is (rule_text.h). What needs the other groups (loops,
// unknown groups) is for the switch to refuse. Threads: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/clock.h"
#include "user/base/of_error.h"
#include "user/pipeline/group.h"
#include "user/pipeline/port_names.h"

namespace shunt {

// "group_id=1,type=select,selection_method=hash,fields(ip_dst),bucket=bucket_id:1,weight:10,watch_port:2,actions=output:2".
// kDelete: "group_id=1" or "group_id=all" (also an empty text). kInsertBucket:
// "group_id=1,command_bucket_id=first|last|N, bucket=..."; kRemoveBucket:
// "group_id=1,command_bucket_id=first|last|all|N". A bucket without an id has kBucketAll: the switch gives it the
// lowest free one. Throws TextError.
GroupMod parse_group(std::string_view text, GroupMod::Command command, const PortNames& names);

// A file: a group a line, '#' comments, blank lines. A line may begin with add, modify, add_or_mod, delete,
// insert_bucket or remove_bucket; without, it is `default_command`. Sets GroupMod::line. Throws LineError
// (rule_text.h).
std::vector<GroupMod> parse_groups(std::string_view text, GroupMod::Command default_command, const PortNames& names);

// Sets the column of a refusal of what `text` asks for: a group that parse_group() took, or, where the error has a
// line, a file that parse_groups() took. Of the action, bucket or setting that the error is about; else of the group.
void locate_group(OfError& error, std::string_view text, GroupMod::Command command, const PortNames& names);

// What parse_group() takes with the mod's command.
std::string format_group_spec(const GroupMod& mod, const PortNames& names = {});
// A line of `group list`, as of `ovs-ofctl dump-groups`: "group_id=1,type=all,bucket=bucket_id:0,actions=output:2".
std::string format_group(const Group& group, const PortNames& names = {});
// As of `ovs-ofctl dump-group-stats`: "group_id=1,duration=3.042s,ref_count=2,packet_count=5,byte_count=490,
// bucket0:packet_count=5,byte_count=490". `references`: rules and buckets that name the group.
std::string format_group_stats(const Group& group, std::uint64_t references, TimePoint now);

// "all", "select", "indirect", "ff".
[[nodiscard]] std::string_view group_type_name(GroupType type);

}  // namespace shunt
