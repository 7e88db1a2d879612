// SPDX-License-Identifier: Apache-2.0
// What is_affected() says no to must keep its verdict: random pipelines, random changes, every flow translated again.
#include "user/worker/affected.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

#include "user/base/of_error.h"
#include "user/flow/fields.h"

using namespace shunt;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};
constexpr std::uint32_t kPorts = 5;
constexpr std::uint8_t kTables = 4;
constexpr std::uint32_t kGroups = 4;

// Small values everywhere, so that rules, packets and changes meet.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_{seed} {}
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(engine_() % n); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }
  PortNo port() { return PortNo{1 + below(kPorts + 1)}; }  // one of them is not there

  FlowKey key() {
    FlowKey key{};
    key.in_port = 100 + 1 + below(kPorts);
    key.eth_src[5] = static_cast<std::uint8_t>(1 + below(3));
    key.eth_dst[5] = static_cast<std::uint8_t>(1 + below(3));
    key.dp_hash = below(64);
    if (one_in(3)) key.vlan[0] = {be16{0x8100}, be16{static_cast<std::uint16_t>(0x1000 | (1 + below(3)))}};
    if (one_in(6)) {
      key.eth_type = be16{0x0806};
      return key;
    }
    key.eth_type = be16{0x0800};
    key.nw_proto = one_in(2) ? 6 : 17;
    key.nw_ttl = static_cast<std::uint8_t>(1 + below(3));
    key.nw_tos = static_cast<std::uint8_t>(below(4) << 2);
    key.tp_dst = be16{static_cast<std::uint16_t>(below(4))};
    return key;
  }
  Match match() {
    Match match;
    const auto whole = [&](FieldId id, std::uint64_t value) {
      write_field(field(id), match.mask, value_bits(field(id)));
      write_field(field(id), match.value, value);
    };
    if (one_in(3)) whole(FieldId::kInPort, port().value);
    if (one_in(3)) whole(FieldId::kEthDst, 1 + below(3));
    if (one_in(4)) whole(FieldId::kVlanTci, one_in(3) ? 0 : 0x1000 | (1 + below(3)));
    if (one_in(4)) whole(FieldId::kReg0, below(3));
    if (one_in(6)) whole(FieldId::kMetadata, below(3));
    if (one_in(2)) {
      whole(FieldId::kEthType, 0x0800);
      if (one_in(3)) whole(FieldId::kIpDscp, below(4));
      if (one_in(2)) {
        whole(FieldId::kNwProto, 17);
        if (one_in(2)) whole(FieldId::kUdpDst, below(4));
      }
    }
    return match;
  }
  SetFieldAction set(FieldId id, std::uint64_t value) {
    SetFieldAction set{&field(id), {}};
    write_field(field(id), set.set.mask, value_bits(field(id)));
    write_field(field(id), set.set.value, value);
    return set;
  }
  Action edit() {
    switch (below(8)) {
      case 0:
        return set(FieldId::kEthDst, 1 + below(3));
      case 1:
        return set(FieldId::kIpDscp, below(4));
      case 2:
        return set(FieldId::kUdpDst, below(4));
      case 3:
        return PushVlanAction{0x8100};
      case 4:
        return PopVlanAction{};
      case 5:
        return set(FieldId::kReg0, below(3));
      case 6:
        return SetVlanVidAction{static_cast<std::uint16_t>(1 + below(3))};
      default:
        return DecTtlAction{};
    }
  }
  Action output(bool groups) {
    switch (below(groups ? 8 : 5)) {
      case 0:
        return OutputAction{kPortNormal};
      case 1:
        return OutputAction{kPortFlood};
      case 2:
        return OutputAction{kPortAll};
      case 3:
      case 4:
        return OutputAction{port()};
      case 5:
        return MeterAction{1 + below(2)};
      default:
        return GroupAction{1 + below(kGroups)};
    }
  }
  ActionList actions(std::uint8_t table) {
    ActionList actions;
    for (std::uint32_t i = below(3); i > 0; --i) {
      switch (below(6)) {
        case 0:
          actions.push_back(CloneAction{{edit(), output(true)}});
          break;
        case 1:
          actions.push_back(
              ResubmitAction{one_in(2) ? std::optional{port()} : std::nullopt,
                             static_cast<std::uint8_t>(std::min<std::uint32_t>(table + 1 + below(2), kTables - 1))});
          break;
        case 2:
          actions.push_back(output(true));
          break;
        default:
          actions.push_back(edit());
      }
    }
    if (one_in(3)) actions.push_back(output(true));
    if (one_in(5)) actions.push_back(WriteActionsAction{{edit(), output(true)}});
    if (one_in(6)) actions.push_back(WriteMetadataAction{below(3), 3});
    if (table + 1 < kTables && one_in(2))
      actions.push_back(GotoTableAction{static_cast<std::uint8_t>(table + 1 + below(kTables - table - 1u))});
    return actions;
  }
  FlowMod rule() {
    FlowMod mod;
    mod.table = static_cast<std::uint8_t>(one_in(3) ? 0 : below(kTables));
    mod.priority = static_cast<std::uint16_t>(1 + below(4));
    mod.flags = kCheckOverlap;  // which of two rules of one priority a packet meets, nothing says
    mod.match = match();
    mod.actions = actions(*mod.table);
    return mod;
  }
  GroupMod group(std::uint32_t id) {
    GroupMod mod;
    mod.command = GroupMod::Command::kAddOrModify;
    mod.group = id;
    mod.type = std::array{GroupType::kAll, GroupType::kSelect, GroupType::kFastFailover}[below(3)];
    for (std::uint32_t i = below(4); i > 0; --i) {
      Bucket& bucket = mod.buckets.emplace_back();
      bucket.id = i;
      bucket.weight = static_cast<std::uint16_t>(below(3));
      bucket.actions = {edit(), output(false)};
      if (id < kGroups && one_in(3)) bucket.actions.back() = GroupAction{id + 1};
      if (mod.type == GroupType::kFastFailover || (mod.type == GroupType::kSelect && one_in(2))) {
        bucket.watch_port = port();
        if (id < kGroups && one_in(3)) bucket.watch_group = id + 1;
      }
    }
    return mod;
  }

 private:
  std::mt19937_64 engine_;
};

struct Pipeline {
  Switch config;
  BridgeId id = config.add_bridge("br0");
  Random random;

  explicit Pipeline(std::uint64_t seed) : random{seed} {
    for (std::uint32_t number = 1; number <= kPorts; ++number)
      config.add_port(id, {PortNo{number}, DpPort{100 + number}, "p" + std::to_string(number), {}, true});
    for (std::uint32_t group = kGroups; group >= 1; --group) config.apply_group(id, random.group(group), kStart);
    for (std::uint32_t meter : {1u, 2u}) change_meter(MeterMod::Command::kAdd, meter);
    for (int i = 0; i < 60; ++i) {
      try {
        add(random.rule());
      } catch (const OfError&) {
      }
    }
  }
  Change add(const FlowMod& mod) { return config.apply(id, std::span{&mod, 1}, kStart); }
  Change change_meter(MeterMod::Command command, std::uint32_t meter) {
    MeterMod mod;
    mod.command = command;
    mod.config.id = meter;
    mod.config.bands.resize(1);
    mod.config.bands[0].rate = 1 + random.below(1000);
    return config.apply_meter(id, mod, kStart);
  }
  // A random change; a refused one is none.
  Change change() {
    try {
      switch (random.below(9)) {
        case 0: {
          BridgePort port = config.find_bridge("br0")->ports[random.below(2)];
          port.up = !port.up;
          return config.update_port(id, port);
        }
        case 1: {
          BridgePort port = config.find_bridge("br0")->ports[random.below(2)];
          const auto flag = std::array{&BridgePort::flood, &BridgePort::receive, &BridgePort::forward,
                                       &BridgePort::protected_port, &BridgePort::packet_in}[random.below(5)];
          port.*flag = !(port.*flag);
          return config.update_port(id, port);
        }
        case 2: {
          const PortNo extra{kPorts + 1};
          if (config.find_bridge("br0")->find(extra) != nullptr) return config.remove_port(id, extra);
          return config.add_port(id, {extra, DpPort{100 + kPorts + 1}, "extra", {}, true});
        }
        case 3:
          return config.apply_group(id, random.group(1 + random.below(kGroups)), kStart);
        case 4:
          return change_meter(MeterMod::Command::kModify, 1 + random.below(2));
        case 5: {
          TableConfig settings;
          settings.miss = std::array{TableConfig::Miss::kDrop, TableConfig::Miss::kContinue,
                                     TableConfig::Miss::kController}[random.below(3)];
          return config.set_table(id, static_cast<std::uint8_t>(random.below(kTables)), settings);
        }
        case 6: {
          FlowMod mod = random.rule();
          mod.command = FlowMod::Command::kDelete;
          return add(mod);
        }
        default:
          return add(random.rule());
      }
    } catch (const Error&) {
      return {};
    }
  }
};

bool same(const Translation& a, const Translation& b) {
  return a.actions.size() == b.actions.size() &&
         (a.actions.empty() ||
          std::memcmp(a.actions.data(), b.actions.data(), a.actions.size() * sizeof(shunt_action)) == 0) &&
         a.drop == b.drop && a.rules == b.rules && a.needs_packet == b.needs_packet &&
         a.controllers.size() == b.controllers.size();
}

}  // namespace

TEST_SUITE("affected flows") {
  TEST_CASE("a flow that a change does not affect is translated to the same as before") {
    std::size_t unaffected = 0, affected = 0, changed = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      CAPTURE(seed);
      Pipeline pipeline{seed};
      for (int step = 0; step < 30; ++step) {
        CAPTURE(step);
        const SwitchStateRef before = pipeline.config.state();
        const Change change = pipeline.change();
        const SwitchStateRef after = pipeline.config.state();
        std::vector<FlowKey> keys;
        for (int i = 0; i < 40; ++i) keys.push_back(pipeline.random.key());
        for (std::size_t i = 0; i < 8; ++i) {
          const Translation flow = translate(*before, keys[i]);
          const bool is_same = same(flow, translate(*after, keys[i]));
          changed += !is_same;
          if (is_affected(flow.dependencies, keys[i] & flow.mask, flow.mask, change)) {
            ++affected;
            continue;
          }
          ++unaffected;
          REQUIRE(is_same);
          for (const FlowKey& key : keys)  // whatever else the flow serves
            if (equal(key & flow.mask, keys[i] & flow.mask)) {
              REQUIRE(same(flow, translate(*before, key)));  // else the mask is too wide
              REQUIRE(same(flow, translate(*after, key)));
            }
        }
      }
    }
    // Otherwise this would try nothing; and most of what is called affected should be worth it.
    CHECK(unaffected > 5000);
    CHECK(changed > 500);
    MESSAGE(affected << " affected, of which changed " << changed << "; " << unaffected << " not");
  }

  TEST_CASE("a rule affects flows that looked its table up with bits that it may match, rewritten ones aside") {
    Dependencies dependencies;
    dependencies.tables.set(0);
    dependencies.tables.set(3);
    FlowKey key{};
    key.tp_dst = be16{80};
    FlowMask mask{};
    mask.tp_dst = be16{0xffff};
    const auto change = [](std::uint8_t table, std::uint16_t tp_dst) {
      Change made;
      Match match;
      match.mask.tp_dst = be16{0xffff};
      match.value.tp_dst = be16{tp_dst};
      match.mask.reg[0][0] = match.value.reg[0][0] = 1;  // what registers hold says nothing of the packet
      made.rules.push_back({table, match});
      return made;
    };
    CHECK(is_affected(dependencies, key, mask, change(3, 80)));
    CHECK_FALSE(is_affected(dependencies, key, mask, change(3, 81)));
    CHECK_FALSE(is_affected(dependencies, key, mask, change(2, 80)));
    dependencies.rewritten.tp_dst = be16{0xffff};
    CHECK(is_affected(dependencies, key, mask, change(3, 81)));
    dependencies.tags = 6;
    Change tagged;
    tagged.tags = 8;
    CHECK_FALSE(is_affected(dependencies, key, mask, tagged));
    tagged.tags = 12;
    CHECK(is_affected(dependencies, key, mask, tagged));
    Change all;
    all.all = true;
    CHECK(is_affected({}, key, mask, all));
  }
}
