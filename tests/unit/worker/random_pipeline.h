// SPDX-License-Identifier: Apache-2.0
// Random rules, groups, packets, and changes to them, for tests of what a change leaves as it was.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>

#include "user/base/of_error.h"
#include "user/flow/fields.h"
#include "user/pipeline/switch.h"

namespace shunt::test {

inline constexpr TimePoint kStart{std::chrono::hours{1}};
inline constexpr std::uint32_t kPorts = 5;
inline constexpr std::uint8_t kTables = 4;
inline constexpr std::uint32_t kGroups = 4;

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
  SetFieldAction set(FieldId id, std::uint64_t value) { return set_field(field(id), value, ~FieldBits{0}); }
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

}  // namespace shunt::test
