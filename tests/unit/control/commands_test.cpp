// SPDX-License-Identifier: Apache-2.0
#include "user/control/commands.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "tests/unit/control/daemon.h"
#include "user/control/text.h"

using namespace shunt;
using shunt::test::Daemon;
using shunt::test::says;

TEST_SUITE("commands") {
  TEST_CASE("an unknown method is refused by its name") {
    Daemon daemon;
    const Json error = daemon.error("bridge.ad");
    CHECK(error.at("code") == static_cast<int>(RpcCode::kMethodNotFound));
    CHECK(says(error, "'bridge.ad'"));
  }

  TEST_CASE("each method refuses a parameter it does not know") {
    Daemon daemon;
    const auto methods = daemon.commands.methods();
    CHECK(methods.size() == 59);
    for (const Method* method : methods) {
      const Json error = daemon.error(method->name, {{"no-such-parameter", 1}});
      CHECK(error.at("code") == static_cast<int>(RpcCode::kInvalidParams));
      CHECK(says(error, "'no-such-parameter'"));
    }
  }

  TEST_CASE("a refusal of the switch keeps its reason") {
    Daemon daemon;
    const Json error = daemon.error("bridge.del", {{"bridge", "br7"}});
    CHECK(error.at("code") == static_cast<int>(RpcCode::kRefused));
    CHECK(error.at("message") == "no bridge 'br7'");
  }

  TEST_CASE("what could not be stored is told apart from what was refused") {
    Daemon daemon;
    daemon.instance.storing_fails = "the disk is full";
    const Json error = daemon.error("bridge.add", {{"bridge", "br0"}});
    CHECK(error.at("code") == static_cast<int>(RpcCode::kNotStored));
    CHECK(error.at("message") == "in force, but not stored: the disk is full");
    CHECK(daemon.instance.bridges().size() == 1);
    const std::size_t times = daemon.instance.times_stored;
    CHECK(daemon.error("bridge.del", {{"bridge", "br7"}}).at("code") == static_cast<int>(RpcCode::kRefused));
    CHECK(daemon.instance.times_stored == times);
  }

  TEST_CASE("what is no request gets an error with a null id") {
    Daemon daemon;
    const Json answer = Json::parse(daemon.commands.handle("{nonsense"));
    CHECK(answer.at("id").is_null());
    CHECK(answer.at("error").at("code") == static_cast<int>(RpcCode::kParse));
  }

  TEST_CASE("version tells the daemon's version, instance and pid") {
    Daemon daemon;
    const Json version = daemon.result("version");
    CHECK(version.at("version") == "1.2.3");
    CHECK(version.at("instance") == "test");
    CHECK(version.at("pid") == 4242);
    CHECK(version.at("uptime_s").get<double>() >= 0);
  }
}

TEST_SUITE("bridge commands") {
  TEST_CASE("bridges come, are listed with what they hold, and go") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("bridge.add", {{"bridge", "br1"}});
    const Json list = daemon.result("bridge.list").at("bridges");
    REQUIRE(list.size() == 2);
    CHECK(list[0].at("name") == "br0");
    CHECK(list[0].at("ports") == 2);
    CHECK(list[1].at("ports") == 0);
    CHECK(list[0].at("mac_ageing_s") == 300);
    CHECK(daemon.result("bridge.show", {{"bridge", "br0"}}).at("ports").size() == 2);
    daemon.result("bridge.del", {{"bridge", "br1"}});
    CHECK(daemon.result("bridge.list").at("bridges").size() == 1);
  }

  TEST_CASE("a name that no interface can have is refused before the switch is asked") {
    Daemon daemon;
    for (const char* name : {"", "a/b", "much-too-long-a-name"})
      CHECK(daemon.error("bridge.add", {{"bridge", name}}).at("code") == static_cast<int>(RpcCode::kInvalidParams));
    CHECK(daemon.instance.bridge_map.empty());
  }
}

TEST_SUITE("port commands") {
  TEST_CASE("attach hands on what was asked for, and answers with the port") {
    Daemon daemon;
    daemon.result("bridge.add", {{"bridge", "br0"}});
    const Json port = daemon.result("port.attach", {{"bridge", "br0"},
                                                    {"port", "tap3"},
                                                    {"ofport", 9},
                                                    {"trunks", "5-7,1"},
                                                    {"mode", "generic"},
                                                    {"queues", 2},
                                                    {"create_tap", true},
                                                    {"force", true}});
    CHECK(port.at("ofport") == 9);
    CHECK(port.at("trunks") == "1,5-7");
    CHECK(port.at("tag").is_null());
    const PortRequest& request = daemon.instance.last_request;
    CHECK(request.interface == "tap3");
    CHECK(request.number == PortNo{9});
    CHECK(request.vlan.trunks->count() == 4);
    CHECK(request.mode == PortMode::kGeneric);
    CHECK(request.queues == 2);
    CHECK(request.create_tap);
    CHECK(request.force);
  }

  TEST_CASE("attach asks for nothing that was not asked for") {
    Daemon daemon;
    daemon.result("bridge.add", {{"bridge", "br0"}});
    daemon.result("port.attach", {{"bridge", "br0"}, {"port", "eth1"}, {"tag", 0}});
    const PortRequest& request = daemon.instance.last_request;
    CHECK_FALSE(request.number);
    CHECK_FALSE(request.mode);
    CHECK_FALSE(request.queues);
    CHECK_FALSE(request.create_tap);
    CHECK_FALSE(request.force);
    CHECK(request.vlan.tag == VlanId{0});
  }

  TEST_CASE("reserved port numbers, and tag with trunks, are refused") {
    Daemon daemon;
    daemon.result("bridge.add", {{"bridge", "br0"}});
    for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{65'280}, std::uint64_t{0xfffffffe}}) {
      CHECK(says(daemon.error("port.attach", {{"bridge", "br0"}, {"port", "eth1"}, {"ofport", number}}), "'ofport'"));
    }
    CHECK(
        says(daemon.error("port.attach", {{"bridge", "br0"}, {"port", "eth1"}, {"tag", 1}, {"trunks", "2"}}), "'tag'"));
    CHECK(daemon.instance.at("br0").ports.empty());
  }

  TEST_CASE("set changes VLANs, and wants a change that makes sense") {
    Daemon daemon;
    daemon.with_ports();
    const Json place = {{"bridge", "br0"}, {"port", "eth1"}};
    const auto with = [&](const char* name, const Json& value) {
      Json params = place;
      params[name] = value;
      return params;
    };
    CHECK(daemon.result("port.set", with("tag", 12)).at("tag") == 12);
    CHECK(daemon.result("port.show", place).at("vlan_mode") == "access");
    CHECK(daemon.result("port.set", with("trunks", "3")).at("trunks") == "3");
    CHECK(daemon.result("port.set", with("all_vlans", true)).at("trunks").is_null());
    CHECK(daemon.error("port.set", place).at("code") == static_cast<int>(RpcCode::kInvalidParams));
    Json both = with("tag", 1);
    both["all_vlans"] = true;
    CHECK(daemon.error("port.set", both).at("code") == static_cast<int>(RpcCode::kInvalidParams));
  }

  TEST_CASE("set that is refused changes nothing, and leaves queues with their workers") {
    Daemon daemon;
    daemon.with_ports();
    Json place = {{"bridge", "br0"}, {"port", "eth1"}, {"queue_workers", "0:1"}};
    (void)daemon.result("port.set", place);
    const Json before = daemon.result("port.show", {{"bridge", "br0"}, {"port", "eth1"}});
    daemon.instance.refuses_settings = true;
    place["queue_workers"] = "0:0";
    place["tag"] = 7;
    CHECK(daemon.error("port.set", place).at("message").get<std::string>().find("no such settings") !=
          std::string::npos);
    CHECK(daemon.result("port.show", {{"bridge", "br0"}, {"port", "eth1"}}) == before);
  }

  TEST_CASE("list shows one bridge's ports or all, and show names a port that is missing") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("bridge.add", {{"bridge", "br1"}});
    daemon.result("port.attach", {{"bridge", "br1"}, {"port", "eth9"}});
    CHECK(daemon.result("port.list").at("ports").size() == 3);
    CHECK(daemon.result("port.list", {{"bridge", "br1"}}).at("ports").size() == 1);
    CHECK(says(daemon.error("port.show", {{"bridge", "br1"}, {"port", "eth1"}}), "no port 'eth1'"));
    daemon.result("port.detach", {{"bridge", "br1"}, {"port", "eth9"}});
    CHECK(daemon.result("port.list", {{"bridge", "br1"}}).at("ports").empty());
  }

  TEST_CASE("a port whose interface is gone has no ifindex and says so") {
    Daemon daemon;
    daemon.with_ports();
    daemon.instance.at("br0").ports[0].ifindex = Ifindex{0};
    const Json port = daemon.result("port.show", {{"bridge", "br0"}, {"port", "eth1"}});
    CHECK(port.at("state") == "gone");
    CHECK(port.at("ifindex").is_null());
  }
}

TEST_SUITE("flow commands") {
  TEST_CASE("a rule goes in as text and comes out as text") {
    Daemon daemon;
    daemon.with_ports();
    const Json added = daemon.result(
        "flow.add", {{"bridge", "br0"}, {"rule", "cookie=0x1f,priority=7,tcp,nw_dst=10.0.0.0/8,actions=output:eth2"}});
    CHECK(added.at("rules") == 1);
    const Json rules = daemon.result("flow.list", {{"bridge", "br0"}}).at("rules");
    REQUIRE(rules.size() == 1);
    CHECK(rules[0].at("priority") == 7);
    CHECK(rules[0].at("cookie") == "0x1f");
    CHECK(rules[0].at("match") == "tcp,nw_dst=10.0.0.0/8");
    CHECK(rules[0].at("actions").get<std::string>().find("eth2") != std::string::npos);
  }

  TEST_CASE("each command reaches the switch as itself") {
    Daemon daemon;
    daemon.with_ports();
    const Json rule = {{"bridge", "br0"}, {"rule", "arp,actions=drop"}};
    const Json match = {{"bridge", "br0"}, {"rule", "arp"}};
    const auto command = [&] { return daemon.instance.last_mods.at(0).command; };
    daemon.result("flow.mod", rule);
    CHECK(command() == FlowMod::Command::kModify);
    daemon.result("flow.del", match);
    CHECK(command() == FlowMod::Command::kDelete);
    daemon.result("flow.del_strict", match);
    CHECK(command() == FlowMod::Command::kDeleteStrict);
    daemon.result("flow.del", {{"bridge", "br0"}});
    CHECK(command() == FlowMod::Command::kDelete);
    CHECK_FALSE(daemon.instance.last_mods.at(0).table);
  }

  TEST_CASE("an error in a rule points at the column, one in a file at line and column") {
    Daemon daemon;
    daemon.with_ports();
    const Json one = daemon.error("flow.add", {{"bridge", "br0"}, {"rule", "priority=1,tcp_dts=80,actions=drop"}});
    CHECK(one.at("code") == static_cast<int>(RpcCode::kRefused));
    CHECK(one.at("data").at("column") == 12);
    const Json file =
        daemon.error("flow.add", {{"bridge", "br0"}, {"rules", "# rules\narp,actions=drop\nfoo,actions=drop\n"}});
    CHECK(file.at("data").at("line") == 3);
    CHECK(file.at("data").at("column") == 1);
    CHECK(daemon.instance.at("br0").rules.empty());
  }

  TEST_CASE("rule and rules together, or neither, are refused") {
    Daemon daemon;
    daemon.with_ports();
    CHECK(says(daemon.error("flow.add", {{"bridge", "br0"}}), "'rule'"));
    CHECK(says(daemon.error("flow.add", {{"bridge", "br0"}, {"rule", "actions=drop"}, {"rules", "actions=drop"}}),
               "'rules'"));
  }

  TEST_CASE("a replacement that deletes is refused") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("flow.replace", {{"bridge", "br0"}, {"rules", "arp,actions=drop\nip,actions=normal\n"}});
    CHECK(daemon.instance.at("br0").rules.size() == 2);
    CHECK(says(daemon.error("flow.replace", {{"bridge", "br0"}, {"rules", "delete arp\n"}}), "'delete'"));
    CHECK(daemon.instance.at("br0").rules.size() == 2);
  }
}

TEST_SUITE("cache commands") {
  TEST_CASE("a cached flow shows its key, actions, place and rules") {
    Daemon daemon;
    daemon.with_ports();
    FlowSnapshot flow;
    flow.key.key.in_port = daemon.instance.at("br0").ports[0].dp.value;
    flow.mask.in_port = ~0u;
    shunt_action output{};
    output.type = SHUNT_ACT_OUTPUT;
    output.arg = static_cast<__u16>(daemon.instance.at("br0").ports[1].dp.value);
    flow.actions = {output};
    flow.cookies = {0xabc};
    daemon.instance.cache = {flow, flow};
    daemon.instance.cache[1].in_kernel = false;
    daemon.instance.cache[1].reason = SHUNT_UPCALL_UNSUPPORTED;
    daemon.instance.cache[1].packets = 3;
    daemon.instance.cache[1].idle = std::chrono::milliseconds{1'500};

    const Json list = daemon.result("cache.list");
    CHECK(list.at("total") == 2);
    const Json& kernel = list.at("flows")[0];
    CHECK(kernel.at("bridge") == "br0");
    CHECK(kernel.at("key").get<std::string>().find("in_port(eth1)") != std::string::npos);
    CHECK(kernel.at("actions") == "eth2");
    CHECK(kernel.at("where") == "kernel");
    CHECK(kernel.at("used_s").is_null());
    CHECK(kernel.at("cookies")[0] == "0xabc");
    const Json& user = list.at("flows")[1];
    CHECK(user.at("where") == "userspace");
    CHECK(user.at("reason") == "unsupported");
    CHECK(user.at("used_s") == 1.5);

    CHECK(daemon.result("cache.list", {{"limit", 1}}).at("flows").size() == 1);
    CHECK(says(daemon.error("cache.list", {{"limit", 0}}), "'limit'"));
    daemon.result("cache.flush");
    CHECK(daemon.instance.flushes == 1);
  }

  TEST_CASE("statistics carry each counter, upcalls by reason, and features by name") {
    Daemon daemon;
    daemon.instance.cache_counters.exact_hits = 5;
    daemon.instance.cache_counters.upcalls["miss"] = 2;
    daemon.instance.cache_counters.program = {
        .features = {{SHUNT_FEATURE_L3, "a rule"}, {SHUNT_FEATURE_HINTS, "a flow"}},
        .instructions = 3000,
        .loading = SHUNT_FEATURE_L4};
    const Json stats = daemon.result("cache.stats");
    CHECK(stats.at("exact_hits") == 5);
    CHECK(stats.at("upcalls").at("miss") == 2);
    const Json& program = stats.at("program");
    REQUIRE(program.at("features").size() == 2);
    CHECK(program.at("features")[0] == Json{{"name", "l3"}, {"because", "a rule"}});
    CHECK(program.at("features")[1].at("name") == "hints");
    CHECK(program.at("left_out").size() == 12);
    CHECK(program.at("loading") == Json::array({"l4"}));
    CHECK(program.at("instructions") == 3000);
    CHECK(program.at("compiled_instructions").is_null());
  }
}

TEST_SUITE("fdb commands") {
  TEST_CASE("a static MAC is added, listed, and deleted") {
    Daemon daemon;
    daemon.with_ports();
    daemon.result("fdb.add", {{"bridge", "br0"}, {"mac", "02:00:00:00:00:07"}, {"port", "eth2"}, {"vlan", 5}});
    const Json macs = daemon.result("fdb.list", {{"bridge", "br0"}}).at("macs");
    REQUIRE(macs.size() == 1);
    CHECK(macs[0].at("mac") == "02:00:00:00:00:07");
    CHECK(macs[0].at("vlan") == 5);
    CHECK(macs[0].at("port") == "eth2");
    CHECK(macs[0].at("static") == true);
    CHECK(macs[0].at("age_s").is_null());
    CHECK(says(daemon.error("fdb.del", {{"bridge", "br0"}, {"mac", "02:00:00:00:00:07"}}), "no such MAC"));
    daemon.result("fdb.del", {{"bridge", "br0"}, {"mac", "02:00:00:00:00:07"}, {"vlan", 5}});
    CHECK(daemon.result("fdb.list", {{"bridge", "br0"}}).at("macs").empty());
  }

  TEST_CASE("a learned MAC has an age; a flush takes it and leaves the static one") {
    Daemon daemon;
    daemon.with_ports();
    daemon.instance.at("br0").macs.push_back(
        {{VlanId{0}, MacAddr{{2, 0, 0, 0, 0, 1}}}, PortNo{1}, false, Clock::now() - std::chrono::seconds{42}});
    daemon.result("fdb.add", {{"bridge", "br0"}, {"mac", "02:00:00:00:00:02"}, {"port", "eth1"}});
    CHECK(daemon.result("fdb.list", {{"bridge", "br0"}}).at("macs")[0].at("age_s") == 42);
    daemon.result("fdb.flush", {{"bridge", "br0"}, {"port", "eth2"}});
    CHECK(daemon.result("fdb.list", {{"bridge", "br0"}}).at("macs").size() == 2);
    daemon.result("fdb.flush", {{"bridge", "br0"}});
    CHECK(daemon.result("fdb.list", {{"bridge", "br0"}}).at("macs").size() == 1);
  }

  TEST_CASE("group addresses are no port's, and settings have their ranges") {
    Daemon daemon;
    daemon.with_ports();
    CHECK(says(daemon.error("fdb.add", {{"bridge", "br0"}, {"mac", "01:00:5e:00:00:01"}, {"port", "eth1"}}), "'mac'"));
    CHECK(says(daemon.error("fdb.set", {{"bridge", "br0"}}), "'ageing_s'"));
    CHECK(says(daemon.error("fdb.set", {{"bridge", "br0"}, {"ageing_s", 0}}), "'ageing_s'"));
    daemon.result("fdb.set", {{"bridge", "br0"}, {"ageing_s", 20}, {"limit", 50}});
    const Json list = daemon.result("fdb.list", {{"bridge", "br0"}});
    CHECK(list.at("ageing_s") == 20);
    CHECK(list.at("limit") == 50);
  }
}

TEST_SUITE("statistics commands") {
  TEST_CASE("drops shows what was dropped, by port and reason, and with all also the zeroes") {
    Daemon daemon;
    daemon.with_ports();
    daemon.instance.at("br0").ports[1].stats.drops[SHUNT_DROP_RULE] = 12;
    daemon.instance.stray.drops[SHUNT_DROP_NO_PORT] = 1;
    const Json drops = daemon.result("drops").at("drops");
    REQUIRE(drops.size() == 2);
    CHECK(drops[0].at("port") == "eth2");
    CHECK(drops[0].at("reason") == "rule");
    CHECK(drops[0].at("packets") == 12);
    CHECK_FALSE(drops[0].at("help").get<std::string>().empty());
    CHECK(drops[1].at("port").is_null());
    CHECK(daemon.result("drops", {{"bridge", "br0"}}).at("drops").size() == 1);
    CHECK(daemon.result("drops", {{"bridge", "br0"}, {"all", true}}).at("drops").size() == 2 * (SHUNT_DROP_COUNT - 1));
  }

  TEST_CASE("stats carries each port's counters and the time they were read") {
    Daemon daemon;
    daemon.with_ports();
    daemon.instance.at("br0").ports[0].stats.rx_packets = 7;
    daemon.instance.at("br0").ports[0].stats.drops[SHUNT_DROP_RULE] = 2;
    daemon.instance.at("br0").ports[0].stats.drops[SHUNT_DROP_TTL_EXPIRED] = 3;
    const Json stats = daemon.result("stats");
    CHECK(stats.at("ports")[0].at("rx_packets") == 7);
    CHECK(stats.at("ports")[0].at("drops") == 5);
    CHECK(stats.at("time_s").get<double>() <= daemon.result("stats").at("time_s").get<double>());
  }
}
