// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "tests/unit/config/model_instance.h"
#include "user/config/config_file.h"
#include "user/config/config_load.h"
#include "user/config/config_plan.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::test;

namespace {

std::string shown(InstanceApi& instance) { return format_config(running_config(instance)); }

// "line:column message", as the file is refused; "" where it is taken.
std::string refusal(const std::string& text) {
  ModelInstance instance;
  const std::string before = shown(instance);
  try {
    load_config(instance, text);
  } catch (const LineError& error) {
    CHECK(shown(instance) == before);
    CHECK(instance.changes == 0);
    return fmt::format("{}:{} {}", error.line(), error.column(), error.reason());
  }
  return {};
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// Files made by chance, of few names and numbers, so that two of them have much in common.
class RandomFile {
 public:
  explicit RandomFile(std::uint64_t seed) : random_{seed} {}

  std::string make() {
    std::vector<std::string> free{"e0", "e1", "e2", "e3", "e4", "e5"};
    std::shuffle(free.begin(), free.end(), random_);
    std::string out;
    for (const char* name : {"br0", "br1", "br2"})
      if (below(3) != 0) out += bridge(name, free);
    return out.empty() ? "bridge = {}\n" : out;
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  std::string bridge(const std::string& name, std::vector<std::string>& free) {
    std::vector<std::string> ports;
    while (!free.empty() && below(3) != 0) {
      ports.push_back(free.back());
      free.pop_back();
    }
    std::string out = fmt::format("[bridge.{}]\n", name);
    if (below(2) == 0) out += fmt::format("mac-ageing = {}\n", 100 + below(3));
    if (below(3) == 0) out += fmt::format("mac-limit = {}\n", 100 + below(3));
    if (below(3) == 0) out += fmt::format("flood-vlans = \"{}-{}\"\n", 1 + below(3), 5 + below(3));
    out += "meters = [";
    std::set<std::uint64_t> meters, groups;
    for (std::uint64_t id = 1; id <= 3; ++id)
      if (below(2) == 0 && meters.insert(id).second)
        out += fmt::format("\"meter={},kbps,bands=type=drop,rate={}\", ", id, 100 + below(2));
    out += "]\ngroups = [";
    for (std::uint64_t id = 1; id <= 4; ++id)
      if (below(2) == 0 && groups.insert(id).second) {
        out += fmt::format("\"group_id={},type=all,bucket=actions=output:{}", id, 1 + below(2));
        // Of a later one or an earlier one, and never a loop.
        const std::uint64_t other = id % 2 == 0 ? id - 1 : 0;
        if (other != 0 && groups.contains(other)) out += fmt::format(",bucket=actions=group:{}", other);
        out += "\", ";
      }
    out += "]\nrules = [";
    for (std::uint64_t priority = 1; priority <= 5; ++priority) {
      if (below(2) == 0) continue;
      std::string action = "drop";
      if (below(3) == 0 && !groups.empty()) action = fmt::format("group:{}", *groups.begin());
      if (below(3) == 0 && !meters.empty()) action = fmt::format("meter:{},normal", *meters.rbegin());
      if (below(3) == 0 && !ports.empty()) action = "output:" + ports.front();
      out += fmt::format("\"table={},cookie={},priority={},tcp,actions={}\",\n", below(2), below(2), priority, action);
    }
    out += "]\nstatic-macs = [";
    for (std::uint64_t mac = 1; mac <= 3 && !ports.empty(); ++mac)
      if (below(2) == 0)
        out += fmt::format("{{ mac = \"02:00:00:00:00:0{}\", port = \"{}\" }}, ", mac, ports[below(ports.size())]);
    out += "]\n";
    if (below(3) == 0) out += fmt::format("[bridge.{0}.port.{0}]\ntag = {1}\n", name, 1 + below(2));
    for (const std::string& port : ports) {
      out += fmt::format("[bridge.{}.port.{}]\n", name, port);
      if (below(3) == 0) out += fmt::format("tag = {}\n", 1 + below(2));
      if (below(4) == 0) out += fmt::format("mode = \"{}\"\n", kPortModes[below(kPortModes.size())]);
      if (below(4) == 0) out += "protected = true\n";
    }
    out += fmt::format("[bridge.{}.table]\n", name);
    if (below(2) == 0) out += fmt::format("1 = {{ name = \"t{}\" }}\n", below(2));
    return out;
  }

  std::mt19937_64 random_;
};

// How many things differ, counted thing by thing: what the fewest changes are held against.
struct Things {
  std::map<std::string, std::string> by_name;
  Things() = default;
  explicit Things(const SwitchConfig& config) {
    for (const auto& [name, bridge] : config.bridges) {
      const PortNames names{port_names(name, bridge)};
      BridgeConfig settings;
      settings.flood_vlans = bridge.flood_vlans;
      settings.mac_limit = bridge.mac_limit;
      settings.mac_ageing = bridge.mac_ageing;
      by_name[name] = format_config({{{name, settings}}});
      for (const auto& [number, table] : *bridge.tables) by_name[fmt::format("{} table {}", name, number)] = table.name;
      for (const MeterMod& meter : bridge.meters->things)
        by_name[fmt::format("{} meter {}", name, meter.config.id)] = std::to_string(meter.config.bands.at(0).rate);
      for (const GroupMod& group : bridge.groups->things) {
        std::string text;
        for (const Bucket& bucket : group.buckets) text += fmt::format("{}:{};", bucket.id, bucket.actions.size());
        BridgeConfig only;
        only.groups = ConfigList<GroupMod>{{group}, {}};
        by_name[fmt::format("{} group {}", name, group.group)] = format_config({{{name, only}}});
      }
      for (const FlowMod& rule : bridge.rules->things)
        by_name[fmt::format("{} rule {} {} {}", name, rule.table.value_or(0), rule.priority,
                            format_match(rule.match))] = format_flow_spec(rule);
    }
  }
};

}  // namespace

TEST_SUITE("configuration files") {
  TEST_CASE("what is wrong is told by line, column and path") {
    CHECK(refusal("[bridge.br0]\nmac-agein = 3\n") ==
          "2:1 bridge.br0.mac-agein: unknown key (did you mean 'mac-ageing'?)");
    CHECK(refusal("[bridge.br0]\nmac-ageing = \"3\"\n") ==
          "2:14 bridge.br0.mac-ageing: is a text, and must be a whole number from 1 to 1000000");
    CHECK(refusal("[bridge.br0.port.e0]\ntag = 5000\n") == "2:7 bridge.br0.port.e0.tag: 5000: must be from 0 to 4094");
    CHECK(refusal("[bridge.br0.port.e0]\nmode = \"nativ\"\n") ==
          "2:8 bridge.br0.port.e0.mode: 'nativ': must be one of native, generic, tcx");
    CHECK(refusal("[bridge.br0.port.e0]\nvlan-mode = \"access\"\n") ==
          "1:1 bridge.br0.port.e0: vlan mode access needs a 'tag'");
    CHECK(refusal("[bridge.br0]\nport = 3\n") == "2:8 bridge.br0.port: is a whole number, and must be a table");
    CHECK(refusal("[bridge.br0]\nrules = \"drop\"\n") == "2:9 bridge.br0.rules: is a text, and must be a list");
    CHECK(refusal("[bridge.br0]\nrules = [\n  \"priority=1,tcp_dts=4,actions=drop\"]\n") ==
          "3:15 bridge.br0.rules[0]: unknown field or keyword 'tcp_dts' (did you mean 'tcp_dst'?)");
    CHECK(refusal("[bridge.br0]\ngroups = [\"group_id=1,type=al\"]\n").starts_with("2:"));
    CHECK(refusal("[bridge.br0]\nmeters = [\"meter=1,kbps,bands=type=drop,rate=0\"]\n").starts_with("2:"));
    CHECK(has(refusal("[bridge.br0.table.254]\n"), "bridge.br0.table.254: tables are 0 to 253"));
    CHECK(has(refusal("[bridge.br0.port.e0]\nofport = 3\n[bridge.br0.port.e1]\nofport = 3\n"),
              "3:1 bridge.br0.port.e1: ofport 3 is that of port 'e0'"));
    CHECK(has(refusal("[bridge.br0.port.e0]\n[bridge.br1.port.e0]\n"), "'e0' is a port of bridge 'br0' already"));
    CHECK(has(refusal("[bridge.br0.port.br1]\n[bridge.br1]\n"), "'br1' is a bridge's own interface"));
    CHECK(has(refusal("[bridge.br0]\nstatic-macs = [{ mac = \"02:00:00:00:00:01\", port = \"e9\" }]\n"),
              "static-macs[0].port: the bridge has no port 'e9'"));
    CHECK(has(refusal("[bridge.\"a b\"]\n"), "1:"));
  }

  TEST_CASE("what only the switch can know is told by its place, too, before anything changes") {
    CHECK(refusal("[bridge.br0]\nrules = [\"priority=3,actions=drop\",\n\"priority=2,actions=group:7\"]\n") ==
          "3:21 bridge.br0.rules[1]: no group 7");
    CHECK(has(refusal("[bridge.br0]\ngroups = [\"group_id=1,type=all,bucket=actions=group:1\"]\n"),
              "bridge.br0.groups[0]"));
    CHECK(has(refusal("[bridge.br0]\nrules = [\"tcp,priority=3,actions=drop\", \"priority=3,tcp,actions=normal\"]\n"),
              "bridge.br0.rules[1]: the same table, priority and match as bridge.br0.rules[0]"));
    CHECK(has(refusal("[bridge.br0]\nrules = [\"priority=1,actions=drop\", \"priority=2,actions=drop\"]\n"
                      "[bridge.br0.table.0]\nmax-rules = 1\n"),
              "full"));
  }

  TEST_CASE("a file that was cut off is refused, or is whole as far as it goes") {
    CHECK(has(refusal(""), "says nothing of bridges"));
    CHECK(has(refusal("# a comment"), "says nothing of bridges"));
    CHECK(has(refusal("[bridge.br0"), "1:"));
    CHECK(has(refusal("[bridge.br0]\nrules = [\n\"priority=1,actions=drop\",\n"), ":"));
    CHECK(has(refusal("[bridge.br0]\nmac-age"), "2:"));
  }

  TEST_CASE("an error of TOML itself has its place") {
    CHECK(refusal("[bridge.br0]\nmac-ageing = = 3\n").starts_with("2:14 "));
    CHECK(refusal("[bridge.br0]\n[bridge.br0]\n").starts_with("2:"));
  }

  TEST_CASE("names and texts that need quotes come back as they were") {
    ModelInstance instance;
    load_config(instance,
                "[bridge.br0]\nrules = ['priority=1,in_port=\"e.0\",actions=output:\"e.0\"']\n"
                "[bridge.br0.port.\"e.0\"]\n[bridge.br0.table.3]\nname = \"a \\\"b\\\" \\\\ 'c'\"\n");
    const std::string text = shown(instance);
    CHECK(diff_config(instance, text).empty());
    ModelInstance other;
    load_config(other, text);
    CHECK(shown(other) == text);
    CHECK(instance.table_list("br0").at(0).config.name == "a \"b\" \\ 'c'");
  }
}

TEST_SUITE("configuration changes") {
  TEST_CASE("any file makes any switch what it says, by as many changes as there are differences, and is undone") {
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
      CAPTURE(seed);
      RandomFile files{seed};
      ModelInstance instance;
      load_config(instance, files.make());
      const std::string first = shown(instance);
      const SwitchConfig before = running_config(instance);
      const std::string second = files.make();
      CAPTURE(first);
      CAPTURE(second);

      const int changes = instance.changes;
      const std::vector<std::string> announced = diff_config(instance, second);
      CHECK(instance.changes == changes);
      CHECK(shown(instance) == first);
      CHECK(load_config(instance, second) == announced);
      CHECK(diff_config(instance, second).empty());
      const std::string after = shown(instance);
      ModelInstance fresh;
      // From nothing it comes out the same, but for the numbers that ports kept: `after` says them.
      load_config(fresh, after);
      CHECK(shown(fresh) == after);

      // Within bridges that stay, a line for each thing that differs; a bridge that goes is one.
      const SwitchConfig now = running_config(instance);
      const Things old_things{before}, new_things{now};
      std::size_t differences = 0;
      const auto stays = [&](const std::string& thing) {
        const std::string bridge = thing.substr(0, thing.find(' '));
        return before.bridges.contains(bridge) && now.bridges.contains(bridge);
      };
      for (const auto& [name, text] : new_things.by_name)
        if (stays(name)) differences += !old_things.by_name.contains(name) || old_things.by_name.at(name) != text;
      for (const auto& [name, text] : old_things.by_name)
        differences += stays(name) && !new_things.by_name.contains(name);
      std::size_t said = 0;
      for (const std::string& line : announced) {
        const bool counted = has(line, " rule of ") || has(line, " group ") || has(line, " meter ") ||
                             has(line, " table ") || line.starts_with("~ bridge ");
        const bool of_new = std::ranges::any_of(now.bridges, [&](const auto& bridge) {
          return !before.bridges.contains(bridge.first) && has(line, bridge.first);
        });
        said += counted && !of_new;
      }
      CHECK(said == differences);

      if (!announced.empty()) {
        (void)undo_config(instance, false);
        CHECK(shown(instance) == first);
      }
    }
  }

  TEST_CASE("a change that is refused takes all before it back") {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      CAPTURE(seed);
      RandomFile files{seed};
      const std::string first = files.make(), second = files.make();
      ModelInstance counting;
      load_config(counting, first);
      const int begin = counting.changes;
      load_config(counting, second);
      for (int at = begin; at < counting.changes; ++at) {
        ModelInstance instance;
        load_config(instance, first);
        const std::string before = shown(instance);
        const std::size_t undo = instance.undo_texts.size();
        instance.refuse_change = at;
        CHECK_THROWS_AS(load_config(instance, second), Error);
        CHECK(shown(instance) == before);
        CHECK(instance.undo_texts.size() == undo);
      }
    }
  }

  TEST_CASE("what has to wait for a larger program has to before anything is changed") {
    ModelInstance instance;
    load_config(instance, "[bridge.br0]\nrules = [\"priority=1,actions=drop\"]\n");
    const std::string before = shown(instance);
    const std::string wanted =
        "[bridge.br0]\nmac-ageing = 77\nrules = [\"priority=1,tcp,tp_dst=1,actions=drop\"]\n"
        "groups = [\"group_id=1,type=all,bucket=actions=push_mpls:0x8847\"]\n[bridge.br0.port.e0]\ntag = 3\n";
    instance.not_yet = true;
    CHECK_THROWS_AS(load_config(instance, wanted), NotYet);
    CHECK(shown(instance) == before);
    const std::uint32_t needed = SHUNT_FEATURE_L4 | SHUNT_FEATURE_MPLS | SHUNT_FEATURE_EDITS;
    CHECK((instance.announced_features & needed) == needed);
    instance.not_yet = false;
    CHECK(load_config(instance, wanted).size() == 5);
    instance.not_yet = true;
    CHECK_THROWS_AS(undo_config(instance, false), NotYet);
    CHECK(load_config(instance, wanted).empty());  // what changes nothing waits for nothing
  }

  TEST_CASE("what the file does not list is left alone, and undo leaves it alone, too") {
    ModelInstance instance;
    load_config(instance,
                "[bridge.br0]\nrules = [\"priority=1,actions=drop\"]\ngroups = "
                "[\"group_id=1,type=all,bucket=actions=drop\"]\n");
    CHECK(load_config(instance, "[bridge.br0]\nmac-ageing = 77\n") ==
          std::vector<std::string>{"~ bridge br0: mac-ageing 300 -> 77"});
    FlowMod rule;
    rule.priority = 9;
    instance.flow_mod("br0", std::span{&rule, 1});
    CHECK(undo_config(instance, true) == std::vector<std::string>{"~ bridge br0: mac-ageing 77 -> 300"});
    (void)undo_config(instance, false);
    CHECK(running_config(instance).bridges.at("br0").rules->things.size() == 2);
  }

  TEST_CASE("tables, meters, groups and rules are put in force together") {
    ModelInstance instance;
    load_config(instance, "[bridge.br0.port.e0]\n");
    const std::size_t before = instance.batches;
    load_config(instance, R"([bridge.br0]
flood-vlans = "7"
meters = ["meter=1,kbps,bands=type=drop,rate=100"]
groups = ["group_id=1,type=all,bucket=actions=drop"]
rules = ["priority=1,actions=meter:1,group:1"]
[bridge.br0.port.e0]
tag = 1
[bridge.br0.table.1]
name = "one"
)");
    CHECK(instance.batches == before + 1);
  }

  TEST_CASE("a group that goes says which rules go with it, and undo brings them back") {
    ModelInstance instance;
    load_config(instance,
                "[bridge.br0]\nrules = [\"priority=1,actions=group:1\"]\ngroups = "
                "[\"group_id=1,type=all,bucket=actions=drop\"]\n");
    const std::string before = shown(instance);
    CHECK(load_config(instance, "[bridge.br0]\ngroups = []\n") ==
          std::vector<std::string>{"- group 1 of br0", "- rule of br0: priority=1 actions=group:1"});
    CHECK(running_config(instance).bridges.at("br0").rules->things.empty());
    (void)undo_config(instance, false);
    CHECK(shown(instance) == before);
  }

  TEST_CASE("ports keep their numbers, and others get the lowest that is free") {
    ModelInstance instance;
    load_config(instance, "[bridge.br0.port.e5]\n[bridge.br0.port.e1]\nofport = 7\n");
    CHECK(instance.port_names("br0").at("e5") == PortNo{1});
    load_config(instance, "[bridge.br0.port.e5]\n[bridge.br0.port.e1]\n[bridge.br0.port.e0]\n");
    CHECK(instance.port_names("br0").at("e5") == PortNo{1});
    CHECK(instance.port_names("br0").at("e1") == PortNo{7});
    CHECK(instance.port_names("br0").at("e0") == PortNo{2});
  }

  TEST_CASE("an interface moves from one bridge to another") {
    ModelInstance instance;
    load_config(instance, "[bridge.br1.port.e0]\n[bridge.br0]\n");
    load_config(instance, "[bridge.br0.port.e0]\n[bridge.br1]\n");
    CHECK(instance.port_names("br0").contains("e0"));
    CHECK_FALSE(instance.port_names("br1").contains("e0"));
  }

  TEST_CASE("nothing to undo is said") {
    ModelInstance instance;
    CHECK_THROWS_AS(undo_config(instance, false), Error);
  }

  TEST_CASE("controllers, datapath id and fail mode: loaded, shown, told apart, taken back") {
    ModelInstance instance;
    const std::string file = R"([bridge.br0]
datapath-id = "00000000000000aa"
fail-mode = "secure"
controllers = [
  { target = "ptcp:6634" },
  { target = "tcp:192.0.2.1:6653", auxiliary = 2 },
]
)";
    load_config(instance, file);
    const OpenFlowSettings settings = instance.openflow("br0");
    CHECK(settings.datapath_id == 0xaa);
    CHECK(settings.fail_mode == FailMode::kSecure);
    CHECK(settings.controllers == std::vector<ControllerSettings>{{"ptcp:6634", 0}, {"tcp:192.0.2.1:6653", 2}});
    CHECK(has(shown(instance), file.substr(file.find("datapath"))));
    CHECK(diff_config(instance, shown(instance)).empty());

    // A list that the file does not name is left alone; settings are as by default.
    CHECK(
        load_config(instance, "[bridge.br0]\n") ==
        std::vector<std::string>{"~ bridge br0: datapath-id 00000000000000aa -> none, fail-mode secure -> standalone"});
    CHECK(instance.openflow("br0").controllers.size() == 2);
    CHECK(load_config(instance, "[bridge.br0]\ncontrollers = [{ target = \"ptcp:6634\" }]\n") ==
          std::vector<std::string>{"- controller tcp:192.0.2.1:6653 of br0"});
    undo_config(instance, false);
    CHECK(instance.openflow("br0").controllers.size() == 2);
    undo_config(instance, false);
    CHECK((instance.openflow("br0") == settings));

    CHECK(has(refusal("[bridge.br0]\ncontrollers = [{ target = \"http:x\" }]\n"), "2:"));
    CHECK(has(refusal("[bridge.br0]\ncontrollers = [{ target = \"ptcp:\", auxiliary = 1 }]\n"), "listened on"));
    CHECK(has(refusal("[bridge.br0]\ndatapath-id = \"12\"\n"), "2:"));
  }
}
