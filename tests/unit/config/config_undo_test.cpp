// SPDX-License-Identifier: Apache-2.0
// What `config undo` leaves alone. That it takes the load itself back is tried with random files in config_test.cpp.
#include "user/config/config_undo.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/config/model_instance.h"
#include "user/config/config_file.h"
#include "user/config/config_load.h"
#include "user/control/text.h"
#include "user/pipeline/meter_text.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::test;

namespace {

std::string shown(InstanceApi& instance) { return format_config(running_config(instance)); }

}  // namespace

TEST_SUITE("configuration undo") {
  TEST_CASE("what came by command after a load stays when the load is taken back") {
    ModelInstance instance;
    load_config(instance, R"([bridge.br0]
mac-ageing = 100
meters = ["meter=1,kbps,bands=type=drop,rate=100"]
rules = ["priority=1,actions=drop", "priority=2,tcp,actions=drop"]
static-macs = [{ mac = "02:00:00:00:00:01", port = "e0" }]
[bridge.br0.port.e0]
tag = 1
[bridge.br0.port.e1]
[bridge.br0.table.1]
name = "one"
[bridge.br9.port.e9]
)");
    load_config(instance, R"([bridge.br0]
mac-ageing = 200
meters = ["meter=2,kbps,bands=type=drop,rate=200"]
rules = ["priority=1,actions=normal", "priority=3,udp,actions=drop"]
[bridge.br0.port.e0]
tag = 2
[bridge.br0.port.e2]
[bridge.br0.table.1]
name = "two"
[bridge.br1]
)");

    // By command: a port, settings, rules, a meter, a MAC, a table, and a bridge with a port.
    const auto attach = [&](const std::string& bridge, const std::string& name, PortNo number) {
      PortRequest request;
      request.interface = name;
      request.number = number;
      (void)instance.attach_port(bridge, request);
    };
    attach("br0", "by-command", PortNo{40});
    PortFlags flags;
    flags.flood = false;
    VlanConfig vlan;
    vlan.mode = VlanMode::kAccess;
    vlan.tag = VlanId{2};
    instance.set_port("br0", "e0", vlan, flags);
    for (const char* rule : {"priority=50,icmp,actions=drop", "priority=51,arp,actions=meter:2,normal"}) {
      const FlowMod mod = parse_flow(rule, FlowMod::Command::kAdd, {});
      instance.flow_mod("br0", std::span{&mod, 1});
    }
    const MeterMod meter = parse_meter("meter=7,kbps,bands=type=drop,rate=700", MeterMod::Command::kAdd);
    instance.meter_mod("br0", std::span{&meter, 1});
    instance.fdb_add("br0", FdbKey{VlanId{0}, parse_mac("02:00:00:00:00:77")}, "by-command");
    TableConfig five;
    five.name = "five";
    instance.set_table("br0", 5, five);
    instance.fdb_set("br0", std::nullopt, 777);
    instance.add_bridge("br5");
    attach("br5", "e5", PortNo{1});

    (void)undo_config(instance, false);
    CHECK(shown(instance) == R"([bridge.br0]
mac-limit = 777
mac-ageing = 100
controllers = []
meters = [
  "meter=1 kbps bands= type=drop rate=100",
  "meter=7 kbps bands= type=drop rate=700",
]
groups = []
rules = [
  "priority=50,icmp actions=drop",
  "priority=2,tcp actions=drop",
  "priority=1 actions=drop",
]
static-macs = [
  { mac = "02:00:00:00:00:01", port = "e0", vlan = 0 },
  { mac = "02:00:00:00:00:77", port = "by-command", vlan = 0 },
]

[bridge.br0.port.by-command]
ofport = 40

[bridge.br0.port.e0]
ofport = 1
vlan-mode = "access"
tag = 1
flood = false

[bridge.br0.port.e1]
ofport = 2

[bridge.br0.table.1]
name = "one"

[bridge.br0.table.5]
name = "five"

[bridge.br5]
controllers = []
meters = []
groups = []
rules = [
  "priority=0 actions=NORMAL",
]
static-macs = []

[bridge.br5.port.e5]
ofport = 1

[bridge.br5.table]

[bridge.br9]
controllers = []
meters = []
groups = []
rules = [
  "priority=0 actions=NORMAL",
]
static-macs = []

[bridge.br9.port.e9]
ofport = 1

[bridge.br9.table]
)");
  }

  TEST_CASE("a load whose place another has taken is not taken back, and nothing is") {
    ModelInstance instance;
    load_config(instance, "[bridge.br0.port.e0]\n");
    load_config(instance, "[bridge.br0]\nmac-ageing = 200\n");
    PortRequest request;
    request.interface = "other";
    request.number = PortNo{1};
    (void)instance.attach_port("br0", request);
    const std::string before = shown(instance);
    CHECK_THROWS_AS(undo_config(instance, false), Error);
    CHECK(shown(instance) == before);
    instance.detach_port("br0", "other");
    (void)undo_config(instance, false);
    CHECK(instance.port_names("br0").contains("e0"));
  }

  TEST_CASE("what is stored is what the load changed, and not the whole switch") {
    ModelInstance instance;
    load_config(instance, "[bridge.br0]\nrules = [\"priority=1,actions=drop\"]\n[bridge.br1.port.e1]\n");
    load_config(instance, "[bridge.br0]\nmac-ageing = 77\n[bridge.br1.port.e1]\n");
    const LoadedChange change = parse_change(instance.undo_texts.back());
    CHECK(change.before.bridges.size() == 1);
    CHECK_FALSE(change.before.bridges.at("br0").rules);
    CHECK(change.after.bridges.at("br0").mac_ageing == std::chrono::seconds{77});
    CHECK(format_change(change) == instance.undo_texts.back());
  }

  TEST_CASE("a whole configuration, as was stored once, comes back; what cannot be read is refused") {
    ModelInstance instance;
    load_config(instance, "[bridge.br0.port.e0]\n");
    instance.undo_texts = {"[bridge.br0]\nmac-ageing = 77\n[bridge.br0.port.e7]\nofport = 7\n"};
    (void)undo_config(instance, false);
    CHECK(running_config(instance).bridges.at("br0").mac_ageing == std::chrono::seconds{77});
    CHECK(instance.port_names("br0").contains("e0"));
    CHECK(instance.port_names("br0").at("e7") == PortNo{7});
    for (const char* text : {"{", "{}", "{\"before\":1,\"after\":2}", "bridge = 3"})
      CHECK_THROWS_AS((void)parse_change(text), Error);
  }
}
