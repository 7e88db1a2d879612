// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/group_text.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>

#include "tests/unit/pipeline/random_actions.h"
#include "user/base/of_error.h"
#include "user/flow/fields.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using Command = GroupMod::Command;

namespace {

const PortNames& names() {
  static const PortNames all{
      std::map<std::string, PortNo>{{"veth0", PortNo{1}}, {"veth1", PortNo{2}}, {"5g", PortNo{5}}}};
  return all;
}

GroupMod parsed(std::string_view text, Command command = Command::kAdd) { return parse_group(text, command, names()); }
std::string shown(std::string_view text, Command command = Command::kAdd) {
  return format_group_spec(parsed(text, command));
}

std::string refusal(std::string_view text, Command command = Command::kAdd) {
  try {
    (void)parsed(text, command);
  } catch (const TextError& error) {
    return error.what();
  }
  return "accepted";
}

OfErrorCode code_of(std::string_view text, Command command = Command::kAdd) {
  try {
    (void)parsed(text, command);
  } catch (const TextError& error) {
    REQUIRE(error.code());
    return *error.code();
  }
  FAIL("accepted");
  return {};
}

bool same(const Bucket& a, const Bucket& b) {
  return a.id == b.id && a.weight == b.weight && a.watch_port == b.watch_port && a.watch_group == b.watch_group &&
         a.actions == b.actions;
}

GroupMod random_group(std::mt19937_64& random) {
  test::RandomActions actions{random};
  GroupMod mod;
  mod.command = static_cast<Command>(random() % 6);
  mod.group = static_cast<std::uint32_t>(random() % 1000);
  const bool has_type = mod.command < Command::kDelete;
  if (has_type) mod.type = static_cast<GroupType>(random() % 4);
  if (has_type && mod.type == GroupType::kSelect && actions.one_in(2)) {
    mod.selection.method = Selection::Method::kHash;
    mod.selection.parameter = actions.one_in(2) ? random() : 0;
    for (int i = 0; i < 3; ++i) {
      const Field& f = fields()[random() % kFieldCount];
      write_field(f, mod.selection.fields, actions.one_in(2) ? value_bits(f) : static_cast<FieldBits>(random()));
    }
  }
  if (mod.command == Command::kInsertBucket || mod.command == Command::kRemoveBucket)
    mod.command_bucket = actions.one_in(2) ? kBucketFirst : static_cast<std::uint32_t>(random() % 10);
  if (mod.command == Command::kDelete || mod.command == Command::kRemoveBucket) return mod;
  const std::uint64_t count = has_type && mod.type == GroupType::kIndirect ? 1 : random() % 4 + 1;
  for (std::uint64_t i = 0; i < count; ++i) {
    Bucket bucket;
    bucket.id = actions.one_in(3) ? kBucketAll : static_cast<std::uint32_t>(i);
    bucket.actions = actions.action_set();
    if (mod.type == GroupType::kSelect) bucket.weight = static_cast<std::uint16_t>(random());
    if (mod.type == GroupType::kFastFailover || (mod.type == GroupType::kSelect && actions.one_in(2))) {
      if (actions.one_in(2)) bucket.watch_group = static_cast<std::uint32_t>(random() % 1000);
      if (!bucket.watch_group || actions.one_in(3)) bucket.watch_port = actions.port();
    }
    mod.buckets.push_back(bucket);
  }
  return mod;
}

}  // namespace

TEST_SUITE("groups as text") {
  TEST_CASE("groups of all types are shown as ovs-ofctl dump-groups does") {
    CHECK(shown("group_id=3,type=all,bucket=output:1,bucket=2,bucket=drop") ==
          "group_id=3,type=all,bucket=actions=output:1,bucket=actions=output:2,bucket=actions=drop");
    CHECK(shown("group_id=1,type=select,selection_method=hash,selection_method_param=5,fields(ip_src,tcp_dst=0xff),"
                "bucket=weight:10,watch_port:2,actions=output:1,bucket=bucket_id:7,weight:5,"
                "set_field:00:00:00:00:00:01->eth_dst,2") ==
          "group_id=1,type=select,selection_method=hash,selection_method_param=5,fields(ip_src,tp_dst=255),"
          "bucket=weight:10,watch_port:2,actions=output:1,bucket=bucket_id:7,weight:5,"
          "actions=mod_dl_dst:00:00:00:00:00:01,output:2");
    CHECK(shown("group_id=2,type=ff,bucket=watch_port:2,actions=output:1,bucket=watch_group:1,output:2") ==
          "group_id=2,type=ff,bucket=watch_port:2,actions=output:1,bucket=watch_group:1,actions=output:2");
    CHECK(shown("group_id=2 type=fast_failover bucket=bucket_id=4,watch_port=2,actions=output:1") ==
          "group_id=2,type=ff,bucket=bucket_id:4,watch_port:2,actions=output:1");
    CHECK(shown("group_id=4,type=indirect,bucket=output:1") == "group_id=4,type=indirect,bucket=actions=output:1");
    CHECK(shown("group_id=5,type=select,selection_method=dp_hash,bucket=1") ==
          "group_id=5,type=select,bucket=actions=output:1");
    CHECK(shown("group_id=5,type=select,selection_method=hash,fields=ip_src,bucket=1") ==
          "group_id=5,type=select,selection_method=hash,fields=ip_src,bucket=actions=output:1");
    CHECK(shown("group_id=6,type=all") == "group_id=6,type=all");
    CHECK(format_group_spec(parsed("group_id=1,type=ff,bucket=watch_port:5g,5g"), names()) ==
          "group_id=1,type=ff,bucket=watch_port:\"5g\",actions=output:\"5g\"");
  }

  TEST_CASE("buckets are action sets: no field needs a prerequisite, and what is no part of one is refused") {
    CHECK(refusal("group_id=1,type=all,bucket=set_field:80->tcp_dst,push_mpls:0x8847,1") == "accepted");
    CHECK(refusal("group_id=1,type=all,bucket=group:2") == "accepted");
    CHECK(refusal("group_id=1,type=all,bucket=clone(1)") == "column 28: clone cannot stand in an action set");
    CHECK(refusal("group_id=1,type=all,bucket=actions=goto_table:1").find("cannot stand inside") != std::string::npos);
  }

  TEST_CASE("commands want what they want, and no more") {
    CHECK(parsed("group_id=all", Command::kDelete).group == kGroupAll);
    CHECK(parsed("", Command::kDelete).group == kGroupAll);
    CHECK(parsed("group_id=7", Command::kDelete).group == 7);
    const GroupMod insert = parsed("group_id=3,command_bucket_id=first,bucket=bucket_id:9,2", Command::kInsertBucket);
    CHECK(insert.command_bucket == kBucketFirst);
    CHECK(insert.buckets.size() == 1);
    CHECK(insert.buckets[0].id == 9);
    CHECK(parsed("group_id=3,command_bucket_id=5", Command::kRemoveBucket).command_bucket == 5);
    CHECK(parsed("group_id=3,command_bucket_id=all", Command::kRemoveBucket).command_bucket == kBucketAll);
    CHECK(parsed("group_id=3,type=all,bucket=1").buckets[0].id == kBucketAll);
    CHECK(refusal("type=all,bucket=1") == "column 18: the group is missing: group_id=N");
    CHECK(refusal("group_id=1,bucket=1").find("the type is missing") != std::string::npos);
    CHECK(refusal("group_id=1", Command::kInsertBucket).find("command_bucket_id=first") != std::string::npos);
    CHECK(refusal("group_id=1,command_bucket_id=all,bucket=1", Command::kInsertBucket).find("column 30") == 0);
    CHECK(refusal("group_id=1,command_bucket_id=first", Command::kInsertBucket).find("bucket to insert") !=
          std::string::npos);
    CHECK(refusal("group_id=1,type=all,command_bucket_id=1,bucket=1").find("inserted or removed") != std::string::npos);
    CHECK(refusal("group_id=1,type=all", Command::kDelete).find("stays as it is") != std::string::npos);
    CHECK(refusal("group_id=1,bucket=1", Command::kDelete) ==
          "column 12: buckets are given where a group or a bucket is added");
  }

  TEST_CASE("what OpenFlow or Open vSwitch refuses is refused, with its name and column") {
    CHECK(code_of("group_id=4294967041,type=all") == OfErrorCode::kInvalidGroup);
    CHECK(code_of("group_id=1,type=some") == OfErrorCode::kBadGroupType);
    CHECK(refusal("group_id=1,type=some") == "column 17: 'some' is no type of group (all, select, indirect, ff)");
    CHECK(code_of("group_id=1,type=ff,bucket=1") == OfErrorCode::kInvalidGroup);
    CHECK(refusal("group_id=1,type=ff,bucket=1") ==
          "column 27: a bucket of a fast failover group wants watch_port or watch_group");
    CHECK(code_of("group_id=1,type=all,bucket=weight:5,1") == OfErrorCode::kBadBucket);
    CHECK(code_of("group_id=1,type=all,bucket=watch_port:1,1") == OfErrorCode::kWatchUnsupported);
    CHECK(code_of("group_id=1,type=ff,bucket=watch_port:normal,1") == OfErrorCode::kBadWatch);
    CHECK(code_of("group_id=1,type=indirect,bucket=1,bucket=2") == OfErrorCode::kInvalidGroup);
    CHECK(refusal("group_id=1,type=indirect,bucket=1,bucket=2") == "column 35: an indirect group has one bucket");
    CHECK(code_of("group_id=1,type=indirect") == OfErrorCode::kInvalidGroup);
    CHECK(code_of("group_id=1,type=all,bucket=bucket_id:3,1,bucket=bucket_id:3,2") == OfErrorCode::kBucketExists);
    CHECK(code_of("group_id=1,type=all,bucket=bucket_id:0xffffff01,1") == OfErrorCode::kBadBucket);
    CHECK(code_of("group_id=1,type=select,bucket=weight:65536,1") == OfErrorCode::kBadBucket);
    CHECK(refusal("group_id=1,type=all,selection_method=hash") ==
          "column 21: only a select group has a selection method");
    CHECK(refusal("group_id=1,type=select,fields(ip_src),bucket=1") ==
          "column 24: fields are for selection_method=hash");
    CHECK(refusal("group_id=1,type=select,selection_method_param=5").find("wants a selection_method") !=
          std::string::npos);
    CHECK(refusal("group_id=1,type=select,selection_method=hash,fields(ip_scr)").find("did you mean 'ip_src'") !=
          std::string::npos);
    CHECK(refusal("group_id=1,type=select,selection_method=hash,fields(ip_src,nw_src)")
              .find("among the fields already") != std::string::npos);
    CHECK(refusal("group_id=1,group_id=2,type=all") == "column 12: group_id was given already");
    CHECK(refusal("groupid=1,type=all").find("did you mean 'group_id'") != std::string::npos);
    CHECK(refusal("group_id=1,type=all,bucket=output:veth9").find("column 35: the bridge has no port 'veth9'") == 0);
    CHECK(code_of("group_id=1,type=all,bucket=output:veth9") == OfErrorCode::kBadOutPort);
  }

  TEST_CASE("a group that is there is shown with its buckets, and what it counted") {
    Group group;
    group.id = 1;
    group.type = GroupType::kSelect;
    const GroupMod mod = parsed("group_id=1,type=select,bucket=bucket_id:0,weight:3,1,bucket=bucket_id:4,2");
    for (const Bucket& bucket : mod.buckets) group.buckets.push_back(std::make_shared<Bucket>(bucket));
    CHECK(format_group(group) ==
          "group_id=1,type=select,bucket=bucket_id:0,weight:3,actions=output:1,bucket=bucket_id:4,actions=output:2");
    CHECK(format_group_spec(parsed(format_group(group))) == format_group(group));
    group.counters.add(5, 490, group.created);
    group.buckets[1]->counters.add(3, 294, group.created);
    CHECK(format_group_stats(group, 2, group.created + std::chrono::milliseconds{3042}) ==
          "group_id=1,duration=3.042s,ref_count=2,packet_count=5,byte_count=490,bucket0:packet_count=0,byte_count=0,"
          "bucket1:packet_count=3,byte_count=294");
  }

  TEST_CASE("a file has a group a line, with commands and comments") {
    const auto mods = parse_groups(
        "# two ways out\ngroup_id=1,type=all,bucket=1,bucket=2\n\nmodify group_id=1,type=all,bucket=1 # one\n"
        "insert_bucket group_id=1,command_bucket_id=last,bucket=2\nremove_bucket group_id=1,command_bucket_id=0\n"
        "add_or_mod group_id=2,type=all\ndelete group_id=all\n",
        Command::kAdd, names());
    REQUIRE(mods.size() == 6);
    CHECK(mods[0].command == Command::kAdd);
    CHECK(mods[1].command == Command::kModify);
    CHECK(mods[1].line == 4);
    CHECK(mods[2].command == Command::kInsertBucket);
    CHECK(mods[3].command == Command::kRemoveBucket);
    CHECK(mods[4].command == Command::kAddOrModify);
    CHECK(mods[5].command == Command::kDelete);
    try {
      (void)parse_groups("group_id=1,type=all\n  add group_id=2,type=alle\n", Command::kAdd, names());
      FAIL("accepted");
    } catch (const LineError& error) {
      CHECK(error.line() == 2);
      CHECK(error.column() == 23);
      CHECK(error.code() == OfErrorCode::kBadGroupType);
    }
  }

  TEST_CASE("a random group that is written and read again is the same group") {
    std::mt19937_64 random{6};
    for (int i = 0; i < 3'000; ++i) {
      const GroupMod mod = random_group(random);
      const PortNames& some = i % 2 == 0 ? PortNames{} : names();
      const std::string text = format_group_spec(mod, some);
      CAPTURE(text);
      GroupMod again;
      CHECK_NOTHROW(again = parse_group(text, mod.command, some));
      CHECK(again.group == mod.group);
      CHECK(again.type == mod.type);
      CHECK(again.command_bucket == mod.command_bucket);
      CHECK(again.selection.method == mod.selection.method);
      CHECK(again.selection.parameter == mod.selection.parameter);
      CHECK(equal(again.selection.fields, mod.selection.fields));
      REQUIRE(again.buckets.size() == mod.buckets.size());
      for (std::size_t b = 0; b < mod.buckets.size(); ++b) CHECK(same(again.buckets[b], mod.buckets[b]));
      CHECK(format_group_spec(again, some) == text);
    }
  }
}
