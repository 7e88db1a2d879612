// SPDX-License-Identifier: Apache-2.0
// Commands on groups, meters, tables, packet-ins and traces, and the settings of ports and bridges.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "tests/unit/control/daemon.h"
#include "user/base/of_error.h"
#include "user/control/packet_text.h"
#include "user/control/port_vlans.h"
#include "user/control/text.h"
#include "user/flow/key_text.h"

using namespace shunt;
using shunt::test::Daemon;
using shunt::test::says;

namespace {

const Json kBridge = {{"bridge", "br0"}};

Json with(Json params, const char* name, const Json& value) {
  params[name] = value;
  return params;
}

bool is_invalid(const Json& error) { return error.at("code") == static_cast<int>(RpcCode::kInvalidParams); }

std::shared_ptr<Rule> make_rule(std::uint64_t cookie, ActionList actions) {
  auto rule = std::make_shared<Rule>();
  rule->cookie = cookie;
  rule->actions = std::move(actions);
  return rule;
}

}  // namespace

TEST_SUITE("group commands") {
  TEST_CASE("each command reaches the switch as itself, from a text or from a file") {
    Daemon daemon;
    daemon.with_ports();
    const auto change = [&](const char* method, const char* group) {
      daemon.instance.group_mods.clear();
      CHECK(daemon.result(method, with(kBridge, "group", group)).at("groups") == 1);
      REQUIRE(daemon.instance.group_mods.size() == 1);
      return daemon.instance.group_mods.front().command;
    };
    CHECK(change("group.add", "group_id=7,type=all,bucket=actions=eth2") == GroupMod::Command::kAdd);
    CHECK(daemon.instance.group_mods.front().group == 7);
    CHECK(change("group.mod", "group_id=7,type=all,bucket=actions=eth2") == GroupMod::Command::kModify);
    CHECK(change("group.add_or_mod", "group_id=7,type=all,bucket=actions=eth2") == GroupMod::Command::kAddOrModify);
    CHECK(change("group.insert_bucket", "group_id=7,command_bucket_id=last,bucket=bucket_id:4,actions=eth1") ==
          GroupMod::Command::kInsertBucket);
    CHECK(change("group.remove_bucket", "group_id=7,command_bucket_id=4") == GroupMod::Command::kRemoveBucket);
    CHECK(change("group.del", "group_id=7") == GroupMod::Command::kDelete);
    daemon.instance.group_mods.clear();
    daemon.result("group.del", kBridge);
    CHECK(daemon.instance.group_mods.at(0).group == kGroupAll);

    daemon.instance.group_mods.clear();
    const char* file =
        "# two\ngroup_id=1,type=all,bucket=actions=eth1\nadd group_id=2,type=indirect,bucket=actions=eth2\n";
    CHECK(daemon.result("group.add", with(kBridge, "groups", file)).at("groups") == 2);
    CHECK(daemon.instance.group_mods.size() == 2);
  }

  TEST_CASE("an error in a group's text points at its place, and the switch is not asked") {
    Daemon daemon;
    daemon.with_ports();
    const Json one = daemon.error("group.add", with(kBridge, "group", "group_id=1,type=some,bucket=actions=eth1"));
    CHECK(one.at("data").at("column").get<int>() >= 12);
    const Json file = daemon.error(
        "group.add", with(kBridge, "groups", "group_id=1,type=all,bucket=actions=eth1\ngroup_id=2,type=some\n"));
    CHECK(file.at("data").at("line") == 2);
    CHECK(daemon.instance.group_mods.empty());
    CHECK(is_invalid(daemon.error("group.add", kBridge)));
  }

  TEST_CASE("list shows type, buckets and what they counted; one group by its id") {
    Daemon daemon;
    daemon.with_ports();
    auto group = std::make_shared<Group>();
    group->id = 5;
    group->type = GroupType::kFastFailover;
    auto bucket = std::make_shared<Bucket>();
    bucket->id = 3;
    bucket->watch_port = PortNo{2};
    bucket->actions = {OutputAction{PortNo{2}}};
    bucket->counters.add(4, 400, Clock::now());
    group->buckets = {bucket};
    group->counters.add(9, 900, Clock::now());
    daemon.instance.groups = {{group, 2}};
    const Json list = daemon.result("group.list", kBridge).at("groups");
    REQUIRE(list.size() == 1);
    CHECK(list[0].at("type") == "ff");
    CHECK(list[0].at("references") == 2);
    CHECK(list[0].at("packets") == 9);
    CHECK(list[0].at("selection").is_null());
    CHECK(list[0].at("buckets")[0].at("watch_port") == "eth2");
    CHECK(list[0].at("buckets")[0].at("bytes") == 400);
    CHECK(list[0].at("text").get<std::string>().find("group_id=5") != std::string::npos);
    const Json stats = daemon.result("group.stats", with(kBridge, "id", 5)).at("groups");
    CHECK(stats[0].at("text").get<std::string>().find("byte_count=900") != std::string::npos);
    CHECK(says(daemon.error("group.stats", with(kBridge, "id", 6)), "no group 6"));
  }
}

TEST_SUITE("meter commands") {
  TEST_CASE("each command reaches the switch as itself") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("meter.add", with(kBridge, "meter", "meter=3,kbps,bands=type=drop,rate=1000"));
    daemon.result("meter.mod", with(kBridge, "meter", "meter=3,pktps,bands=type=drop,rate=10"));
    daemon.result("meter.del", with(kBridge, "meter", "meter=3"));
    daemon.result("meter.del", kBridge);
    const auto& mods = daemon.instance.meter_mods;
    REQUIRE(mods.size() == 4);
    CHECK(mods[0].command == MeterMod::Command::kAdd);
    CHECK(mods[0].config.bands.at(0).rate == 1000);
    CHECK(mods[1].command == MeterMod::Command::kModify);
    CHECK(mods[1].config.packets);
    CHECK(mods[2].command == MeterMod::Command::kDelete);
    CHECK(mods[3].config.id == kMeterAll);
    CHECK(is_invalid(daemon.error("meter.add", kBridge)));
  }

  TEST_CASE("list shows the bands with what each counted") {
    Daemon daemon;
    daemon.with_ports();
    auto meter = std::make_shared<Meter>();
    meter->config.id = 3;
    meter->config.bands = {{SHUNT_BAND_DROP, 1000, 0, 0}, {SHUNT_BAND_DSCP_REMARK, 500, 0, 1}};
    MeterStats stats;
    stats.flow_count = 2;
    stats.packets = 10;
    stats.bands = {{1, 100}, {4, 400}};
    daemon.instance.meters = {{meter, stats}};
    const Json list = daemon.result("meter.list", kBridge).at("meters");
    REQUIRE(list.size() == 1);
    CHECK(list[0].at("unit") == "kbps");
    CHECK(list[0].at("flows") == 2);
    CHECK(list[0].at("bands")[0].at("packets") == 1);
    CHECK(list[0].at("bands")[0].at("precedence").is_null());
    CHECK(list[0].at("bands")[1].at("type") == "dscp_remark");
    CHECK(list[0].at("bands")[1].at("bytes") == 400);
    CHECK(says(daemon.error("meter.stats", with(kBridge, "id", 4)), "no meter 4"));
  }
}

TEST_SUITE("refusals with OpenFlow's names") {
  TEST_CASE("the switch's refusal carries type, code and line") {
    Daemon daemon;
    daemon.with_ports();
    daemon.instance.refusal = OfError(OfErrorCode::kTableFull, "table 0 is full");
    daemon.instance.refusal->set_line(3);
    const Json error = daemon.error("flow.add", with(kBridge, "rules", "arp,actions=drop\n\nadd  ip,actions=drop\n"));
    CHECK(error.at("code") == static_cast<int>(RpcCode::kRefused));
    CHECK(error.at("message") == "line 3, column 6: table 0 is full");
    CHECK(error.at("data").at("of_error") == "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL");
    CHECK(error.at("data").at("type") == 5);
    CHECK(error.at("data").at("code") == 1);
    CHECK(error.at("data").at("line") == 3);
    CHECK(error.at("data").at("column") == 6);
  }

  // They once had a line and no column.
  TEST_CASE("the switch's refusal points at the action, bucket or setting that it is about") {
    Daemon daemon;
    daemon.with_ports();
    const auto column = [&](const std::string& method, const char* key, const std::string& text,
                            const OfError& refusal) {
      daemon.instance.refusal = refusal;
      return daemon.error(method, with(kBridge, key, text)).at("data").at("column").get<std::size_t>();
    };
    const auto at = [](std::initializer_list<std::size_t> path) {
      OfError error{OfErrorCode::kBadOutGroup, "no"};
      for (auto index = std::rbegin(path); index != std::rend(path); ++index) error.inside(*index);
      return error;
    };
    const std::string rule = "arp actions=apply_actions(eth1,clone(eth2,mod_vlan_vid:3,eth1),eth2),write_actions(eth1)";
    const auto place = [&](std::string_view word, std::size_t from = 0) { return rule.find(word, from) + 1; };
    CHECK(column("flow.add", "rule", rule, at({})) == 1);
    CHECK(column("flow.add", "rule", rule, at({0})) == place("eth1"));
    CHECK(column("flow.add", "rule", rule, at({1})) == place("clone"));
    CHECK(column("flow.add", "rule", rule, at({1, 1})) == place("mod_vlan"));
    CHECK(column("flow.add", "rule", rule, at({2})) == place("eth2", place("),")));
    CHECK(column("flow.add", "rule", rule, at({3})) == place("write_actions"));
    CHECK(column("flow.add", "rule", rule, at({3, 0})) == rule.rfind("eth1") + 1);

    const std::string group = "group_id=1,type=all,bucket=bucket_id:3,eth1,bucket=actions=eth1,eth2";
    CHECK(column("group.add", "group", group, at({})) == 1);
    CHECK(column("group.add", "group", group, at({0})) == group.find("bucket=") + 1);
    CHECK(column("group.add", "group", group, at({1, 1})) == group.rfind("eth2") + 1);
    CHECK(column("group.add", "group", "type=all group_id=1",
                 OfError(OfErrorCode::kGroupExists, "no").about("group_id")) == 10);
    OfError exists = OfError(OfErrorCode::kMeterExists, "no").about("meter");
    CHECK(column("meter.add", "meter", "kbps meter=1 bands=type=drop rate=1", exists) == 6);
    exists.set_line(2);
    CHECK(column("meter.add", "meters", "# two\nadd meter=1 kbps bands=type=drop rate=1\n", exists) == 5);
  }

  TEST_CASE("an error of the text carries them with its column") {
    Daemon daemon;
    daemon.with_ports();
    const Json error = daemon.error("flow.add", with(kBridge, "rule", "tp_dst=80,actions=drop"));
    CHECK(error.at("data").at("of_error") == "OFPET_BAD_MATCH/OFPBMC_BAD_PREREQ");
    CHECK(error.at("data").at("column") == 1);
    const Json file = daemon.error("flow.add", with(kBridge, "rules", "arp,actions=drop\ntp_dst=80,actions=drop\n"));
    CHECK(file.at("data").at("of_error") == "OFPET_BAD_MATCH/OFPBMC_BAD_PREREQ");
    CHECK(file.at("data").at("line") == 2);
  }
}

TEST_SUITE("table commands") {
  TEST_CASE("set changes what is given and leaves the rest") {
    Daemon daemon;
    daemon.with_ports();
    TableStatus status;
    status.table = 4;
    status.config.name = "acl";
    status.config.max_rules = 7;
    status.rules = 2;
    status.lookups = 11;
    status.matches = 10;
    daemon.instance.tables = {status};
    const Json list = daemon.result("table.list", kBridge).at("tables");
    CHECK(list[0].at("name") == "acl");
    CHECK(list[0].at("max_rules") == 7);
    CHECK(list[0].at("lookups") == 11);
    CHECK(list[0].at("miss") == "drop");

    const Json place = with(kBridge, "table", 4);
    daemon.result("table.set", with(with(place, "evict", true), "miss", "controller"));
    const TableConfig& config = daemon.instance.table_configs.at(4);
    CHECK(config.name == "acl");
    CHECK(config.max_rules == 7u);
    CHECK(config.evict);
    CHECK(config.miss == TableConfig::Miss::kController);
    daemon.result("table.set", with(place, "no_limit", true));
    CHECK_FALSE(daemon.instance.table_configs.at(4).max_rules);
    daemon.result("table.set", with(place, "max_rules", 0));
    CHECK(daemon.instance.table_configs.at(4).max_rules == 0u);
  }

  TEST_CASE("nothing to set, both limits and tables that there are not are refused") {
    Daemon daemon;
    daemon.with_ports();
    const Json place = with(kBridge, "table", 4);
    CHECK(is_invalid(daemon.error("table.set", place)));
    CHECK(is_invalid(daemon.error("table.set", with(with(place, "no_limit", true), "max_rules", 1))));
    CHECK(is_invalid(daemon.error("table.set", with(with(kBridge, "table", 254), "evict", true))));
    CHECK(is_invalid(daemon.error("table.set", with(place, "miss", "fly"))));
    CHECK(daemon.instance.table_configs.empty());
  }
}

TEST_SUITE("packet_in command") {
  TEST_CASE("what waits is shown once, with all that came with it") {
    Daemon daemon;
    daemon.with_ports();
    PacketInRecord record;
    record.when = Clock::now();
    record.event.what.action.userdata = {0xca, 0xfe};
    record.event.what.action.reason = PacketInReason::kInvalidTtl;
    record.event.what.table = 3;
    record.event.what.rule = make_rule(0xabc, {});
    record.event.what.in_port = PortNo{2};
    record.event.what.fields.reg[1] = {0, 0, 1, 2};
    record.event.frame = {1, 2, 3};
    record.event.length = 1500;
    daemon.instance.waiting = {record};
    const Json packets = daemon.result("packet_in", kBridge).at("packets");
    REQUIRE(packets.size() == 1);
    CHECK(packets[0].at("reason") == "invalid_ttl");
    CHECK(packets[0].at("table") == 3);
    CHECK(packets[0].at("cookie") == "0xabc");
    CHECK(packets[0].at("in_port") == "eth2");
    CHECK(packets[0].at("userdata") == "cafe");
    CHECK(packets[0].at("frame") == "010203");
    CHECK(packets[0].at("length") == 1500);
    CHECK(packets[0].at("fields") == Json{{"reg1", "0x102"}});
    CHECK(daemon.result("packet_in", kBridge).at("packets").empty());
  }
}

TEST_SUITE("port settings") {
  TEST_CASE("attach takes modes and flags, and answers with them") {
    Daemon daemon;
    daemon.result("bridge.add", kBridge);
    const Json port = daemon.result("port.attach", {{"bridge", "br0"},
                                                    {"port", "eth1"},
                                                    {"vlan_mode", "dot1q-tunnel"},
                                                    {"tag", 100},
                                                    {"cvlans", "5-7"},
                                                    {"qinq_ethtype", "802.1q"},
                                                    {"priority_tags", "always"},
                                                    {"flood", false},
                                                    {"protected", true}});
    CHECK(port.at("vlan_mode") == "dot1q-tunnel");
    CHECK(port.at("tag") == 100);
    CHECK(port.at("cvlans") == "5-7");
    CHECK(port.at("qinq_ethtype") == "802.1q");
    CHECK(port.at("priority_tags") == "always");
    CHECK(port.at("flood") == false);
    CHECK(port.at("receive") == true);
    CHECK(port.at("protected") == true);
    CHECK(daemon.instance.last_request.vlan.qinq_ethtype == 0x8100);
    CHECK_FALSE(daemon.instance.last_request.flags.flood);
  }

  TEST_CASE("set changes only what is given") {
    Daemon daemon;
    daemon.with_ports();
    const Json place = {{"bridge", "br0"}, {"port", "eth1"}};
    daemon.result("port.set", with(with(place, "vlan_mode", "native-tagged"), "tag", 5));
    daemon.result("port.set", with(place, "trunks", "5,9"));
    const Json port = daemon.result("port.set", with(place, "forward", false));
    CHECK(port.at("vlan_mode") == "native-tagged");
    CHECK(port.at("tag") == 5);
    CHECK(port.at("trunks") == "5,9");
    CHECK(port.at("forward") == false);
    CHECK(port.at("flood") == true);
    CHECK(daemon.result("port.set", with(place, "forward", true)).at("forward") == true);
    CHECK(daemon.result("port.show", place).at("tag") == 5);
  }

  TEST_CASE("settings that do not go together are refused and change nothing") {
    Daemon daemon;
    daemon.with_ports();
    const Json place = {{"bridge", "br0"}, {"port", "eth1"}};
    CHECK(is_invalid(daemon.error("port.set", with(place, "vlan_mode", "access"))));  // without a tag
    CHECK(is_invalid(daemon.error("port.set", with(place, "cvlans", "5"))));
    CHECK(is_invalid(daemon.error("port.set", with(with(place, "vlan_mode", "trunk"), "tag", 3))));
    CHECK(is_invalid(daemon.error("port.set", with(with(place, "tag", 3), "trunks", "4"))));
    CHECK(is_invalid(daemon.error("port.set", with(place, "vlan_mode", "hybrid"))));
    CHECK(daemon.instance.at("br0").ports[0].vlan == VlanConfig{});
  }

  TEST_CASE("a mode forgets what it has no use for") {
    VlanChange change;
    change.tag = VlanId{7};
    const VlanConfig access = change_vlans({}, change);
    CHECK(access == VlanConfig::access(VlanId{7}));
    change = {};
    change.trunks.emplace().set(9);
    const VlanConfig trunk = change_vlans(access, change);
    CHECK(trunk.mode == VlanMode::kTrunk);
    CHECK_FALSE(trunk.tag);
    change = {};
    change.all_trunks = true;
    CHECK(change_vlans(trunk, change) == VlanConfig{});
    change = {};
    change.mode = VlanMode::kNativeUntagged;
    change.tag = VlanId{4};
    const VlanConfig native = change_vlans(trunk, change);
    CHECK(native.trunks == trunk.trunks);
    change.mode = VlanMode::kAccess;
    CHECK_FALSE(change_vlans(native, change).trunks);
  }

  TEST_CASE("a bridge's flood VLANs are set, shown and cleared") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("bridge.set", with(kBridge, "flood_vlans", "7,3-5"));
    CHECK(daemon.result("bridge.show", kBridge).at("flood_vlans") == "3-5,7");
    daemon.result("bridge.set", with(kBridge, "flood_vlans", "none"));
    CHECK(daemon.result("bridge.show", kBridge).at("flood_vlans") == "");
    CHECK(is_invalid(daemon.error("bridge.set", with(kBridge, "flood_vlans", "x"))));
  }
}

TEST_SUITE("trace command") {
  TEST_CASE("fields become a key with what such packets have") {
    Daemon daemon;
    daemon.with_ports();
    daemon.instance.traced.in_kernel = true;
    daemon.result("trace", with(kBridge, "flow", "in_port=eth2,tcp,nw_dst=10.0.0.9,tp_dst=80"));
    const TraceRequest& request = daemon.instance.last_trace;
    CHECK(request.in_port == PortNo{2});
    REQUIRE(request.key);
    CHECK(request.key->nw_ttl == 64);
    CHECK(request.key->nw_proto == 6);
    CHECK(request.key->tp_dst.host() == 80);
    CHECK(request.key->ip_src[11] == 0xff);  // ::ffff:0.0.0.0
    CHECK(request.key->ip_dst[15] == 9);
    daemon.result("trace", with(kBridge, "flow", "in_port=1,ip,nw_ttl=0"));
    CHECK(daemon.instance.last_trace.key->nw_ttl == 0);
  }

  TEST_CASE("a frame comes as hex with its port, and may be cut short") {
    Daemon daemon;
    daemon.with_ports();
    const std::string frame(28, '0');
    daemon.result("trace", {{"bridge", "br0"}, {"frame", frame}, {"in_port", "eth2"}, {"length", 1500}});
    CHECK(daemon.instance.last_trace.frame.size() == 14);
    CHECK(daemon.instance.last_trace.length == 1500);
    CHECK(daemon.instance.last_trace.in_port == PortNo{2});
    CHECK_FALSE(daemon.instance.last_trace.key);
    CHECK(is_invalid(daemon.error("trace", {{"bridge", "br0"}, {"frame", frame}})));
    CHECK(is_invalid(daemon.error("trace", {{"bridge", "br0"}, {"frame", "00"}, {"in_port", "1"}})));
    CHECK(is_invalid(daemon.error("trace", {{"bridge", "br0"}, {"frame", frame + "0g"}, {"in_port", "1"}})));
    CHECK(is_invalid(daemon.error(
        "trace", {{"bridge", "br0"}, {"frame", frame}, {"in_port", "1"}, {"length", 14}, {"flow", "ip"}})));
    CHECK(is_invalid(daemon.error("trace", kBridge)));
  }

  TEST_CASE("a packet has one value a field, a port, and no registers") {
    Daemon daemon;
    daemon.with_ports();
    const Json mask = daemon.error("trace", with(kBridge, "flow", "in_port=1,ip,nw_dst=10.0.0.0/8"));
    CHECK(mask.at("data").at("column") == 29);
    CHECK(mask.at("data").at("of_error") == "OFPET_BAD_MATCH/OFPBMC_BAD_MASK");
    CHECK(says(daemon.error("trace", with(kBridge, "flow", "ip")), "in_port"));
    CHECK(says(daemon.error("trace", with(kBridge, "flow", "in_port=1,reg0=5")), "registers"));
    CHECK(says(daemon.error("trace", with(kBridge, "flow", "in_port=1,table=5")), "table"));
  }

  TEST_CASE("the answer tells the steps, the outcome, and for a drop why and what was near") {
    Daemon daemon;
    daemon.with_ports();
    Trace& trace = daemon.instance.traced.trace;
    trace.key.in_port = daemon.instance.at("br0").ports[0].dp.value;
    trace.key.eth_type = be16{0x0806};
    trace.steps = {{TraceStep::Kind::kTable, 0, "table 0", nullptr},
                   {TraceStep::Kind::kMiss, 0, "no rule matches", nullptr}};
    trace.translation.drop = SHUNT_DROP_TABLE_MISS;
    trace.translation.mask.in_port = ~0u;
    trace.near_miss = NearMiss{make_rule(7, {OutputAction{PortNo{2}}}), 0, {"nw_dst is this, the rule wants that"}};
    daemon.instance.traced.in_kernel = true;
    const Json answer = daemon.result("trace", with(kBridge, "flow", "in_port=eth1,arp"));
    CHECK(answer.at("bridge") == "br0");
    CHECK(answer.at("flow").get<std::string>().find("in_port=eth1") != std::string::npos);
    CHECK(answer.at("steps").size() == 2);
    CHECK(answer.at("steps")[1].at("kind") == "miss");
    CHECK(answer.at("mask") == "in_port");
    CHECK(answer.at("actions") == "drop(table-miss)");
    CHECK(answer.at("drop").at("reason") == "table-miss");
    CHECK(answer.at("nearest").at("actions") == "output:eth2");
    CHECK(answer.at("nearest").at("differences").size() == 1);
    CHECK(answer.at("where") == "kernel");
    daemon.instance.traced.in_kernel = false;
    daemon.instance.traced.reason = SHUNT_UPCALL_PACKET;
    CHECK(daemon.result("trace", with(kBridge, "flow", "in_port=eth1,arp")).at("reason") == "packet");
  }

  TEST_CASE("the flow that a trace shows can be traced again") {
    PortNames names{std::map<std::string, PortNo>{{"eth1", PortNo{1}}}};
    for (const char* text :
         {"in_port=eth1,tcp,nw_src=10.1.2.3,nw_dst=10.0.0.9,tp_src=7,tp_dst=80,tcp_flags=syn|ack,nw_tos=32",
          "in_port=eth1,arp,arp_op=1,arp_spa=10.0.0.1,arp_sha=02:00:00:00:00:01",
          "in_port=eth1,dl_vlan=5,dl_vlan_pcp=3,ip", "in_port=eth1,icmp6,icmp_type=135,nd_target=fe80::1",
          "in_port=eth1,mpls,mpls_label=100", "in_port=eth1,dl_src=02:00:00:00:00:01,dl_type=0x88cc", "in_port=eth1"}) {
      const GivenPacket given = parse_packet(text, names);
      const std::string shown = format_packet(given.key, given.in_port, names);
      INFO(shown);
      const GivenPacket again = parse_packet(shown, names);
      CHECK(equal(again.key, given.key));
      CHECK(again.in_port == given.in_port);
    }
  }
}

TEST_SUITE("cache.why command") {
  TEST_CASE("a packet's fields find the flow, its counters and the rules that made it") {
    Daemon daemon;
    daemon.with_ports();
    CacheWhy why;
    why.bridge = "br0";
    why.flow.key.key.in_port = daemon.instance.at("br0").ports[0].dp.value;
    why.flow.mask.in_port = ~0u;
    why.flow.packets = 12;
    why.trace.translation.rules = {make_rule(0xbeef, {OutputAction{PortNo{2}}})};
    daemon.instance.why = why;
    const Json answer = daemon.result("cache.why", {{"key", "in_port=eth1,tcp,tp_dst=80"}});
    CHECK(answer.at("bridge") == "br0");
    CHECK(answer.at("cached").at("packets") == 12);
    CHECK(answer.at("trace").at("rules")[0].at("cookie") == "0xbeef");
    CHECK(daemon.instance.last_why.in_port == 1);
    CHECK(daemon.instance.last_why.tp_dst.host() == 80);
    CHECK(daemon.instance.last_why.dp_hash == daemon.instance.dp_hash({}));
    daemon.instance.why.reset();
    CHECK(says(daemon.error("cache.why", {{"key", "in_port=eth1,tcp,tp_dst=80"}}), "no cached flow"));
  }

  TEST_CASE("a line of cache list finds the flow that it shows") {
    Daemon daemon;
    daemon.with_ports();
    std::vector<FlowSnapshot> flows(2);
    for (std::size_t i = 0; i < 2; ++i) {
      flows[i].key.key.in_port = daemon.instance.at("br0").ports[i].dp.value;
      flows[i].key.key.eth_src[5] = 9;
      flows[i].key.key.dp_hash = 3;
      flows[i].mask.in_port = ~0u;
      flows[i].mask.eth_src[5] = 0xff;
    }
    daemon.instance.cache = flows;
    CacheWhy why;
    why.bridge = "br0";
    why.flow = flows[1];
    daemon.instance.why = why;
    const std::string key = daemon.result("cache.list").at("flows")[1].at("key").get<std::string>();
    daemon.result("cache.why", {{"key", key + ", packets:12, bytes:11, used:never, kernel, actions:eth1\n"}});
    CHECK(daemon.instance.last_why.in_port == 2);
    CHECK(daemon.instance.last_why.eth_src[5] == 9);
    CHECK(daemon.instance.last_why.dp_hash == 3);  // as cached, not computed anew
    CHECK(says(daemon.error("cache.why", {{"key", "in_port(eth7),eth_type(0x0800)"}}), "no cached flow"));
  }

  TEST_CASE("with several bridges the fields want one named") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("bridge.add", {{"bridge", "br1"}});
    CHECK(is_invalid(daemon.error("cache.why", {{"key", "in_port=1,arp"}})));
    CHECK(says(daemon.error("cache.why", {{"key", "in_port=1,arp"}, {"bridge", "br0"}}), "no cached flow"));
  }
}

TEST_SUITE("flow.list") {
  TEST_CASE("rules carry all their settings, as parts or as lines") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("flow.add",
                  with(kBridge, "rule", "idle_timeout=30,hard_timeout=60,importance=5,send_flow_rem,arp,actions=drop"));
    const Json rule = daemon.result("flow.list", kBridge).at("rules")[0];
    CHECK(rule.at("idle_timeout") == 30);
    CHECK(rule.at("hard_timeout") == 60);
    CHECK(rule.at("importance") == 5);
    CHECK(rule.at("flags") == Json::array({"send_flow_rem"}));
    CHECK(rule.at("used_s").is_null());
    const Json lines = daemon.result("flow.list", with(kBridge, "text", true)).at("lines");
    REQUIRE(lines.size() == 1);
    const std::string line = lines[0].get<std::string>();
    CHECK(line.find("idle_timeout=30, hard_timeout=60") != std::string::npos);
    CHECK(line.find("actions=drop") != std::string::npos);
  }
}
