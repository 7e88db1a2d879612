// SPDX-License-Identifier: Apache-2.0
// A bridge whose tables, groups and meters are put together by hand, keys to translate, and translations as text.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "user/pipeline/group_select.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"

namespace shunt::test {

inline constexpr std::uint64_t kA = 0x02000000000a, kB = 0x02000000000b;

inline void put_mac(__u8 (&at)[6], std::uint64_t mac) { std::memcpy(at, MacAddr::from_number(mac).bytes.data(), 6); }

// Keys. Port N is datapath port 100 + N.
inline FlowKey eth_key(std::uint32_t in_port = 1, std::uint64_t src = kA, std::uint64_t dst = kB) {
  FlowKey key{};
  key.in_port = 100 + in_port;
  put_mac(key.eth_src, src);
  put_mac(key.eth_dst, dst);
  key.eth_type = be16{0x88b5};
  return key;
}

inline FlowKey tcp_key(std::uint32_t in_port = 1) {
  FlowKey key = eth_key(in_port);
  key.eth_type = be16{0x0800};
  key.nw_proto = 6;
  key.nw_ttl = 64;
  const std::array<__u8, 8> src{0, 0, 0xff, 0xff, 10, 0, 0, 1}, dst{0, 0, 0xff, 0xff, 10, 0, 0, 2};
  std::memcpy(key.ip_src + 8, src.data(), 8);
  std::memcpy(key.ip_dst + 8, dst.data(), 8);
  key.tp_src = be16{1000};
  key.tp_dst = be16{80};
  return key;
}

// Matches and actions.
inline Match match_on(FieldId id, FieldBits value, FieldBits mask = ~FieldBits{0}) {
  Match match;
  write_field(field(id), match.mask, mask);
  write_field(field(id), match.value, value & mask);
  return match;
}
inline Match operator&&(Match a, const Match& b) {
  add_mask(a.mask, b.mask);
  add_mask(a.value, b.value);
  return a;
}
inline Subfield bits_of(FieldId id, unsigned first, unsigned count) {
  return {&field(id), static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(count)};
}
inline Subfield whole(FieldId id) { return bits_of(id, 0, field(id).width); }
inline SetFieldAction set_field(FieldId id, FieldBits value, FieldBits mask = ~FieldBits{0}) {
  return set_field(field(id), value, mask);
}
inline MoveAction move_bits(const Subfield& from, const Subfield& to) {
  return {from.field, to.field, from.first_bit, to.first_bit, from.bit_count};
}
inline OutputAction to_port(std::uint32_t port) { return {PortNo{port}}; }
inline constexpr auto kReg0 = FieldId::kReg0;
inline constexpr auto kReg1 = static_cast<FieldId>(static_cast<unsigned>(FieldId::kReg0) + 1);

struct BucketSpec {
  ActionList actions;
  std::uint16_t weight = 1;
  std::optional<PortNo> watch_port{};
  std::optional<std::uint32_t> watch_group{};
};

class HandmadeBridge {
 public:
  BridgeState bridge;
  std::map<std::uint8_t, TableConfig> configs;
  std::map<std::uint32_t, GroupRef> groups;
  std::map<std::uint32_t, MeterRef> meters;
  std::vector<RuleRef> rules;

  HandmadeBridge() {
    bridge.id = BridgeId{7};
    bridge.name = "br0";
    bridge.fdb = std::make_shared<Fdb>();
    bridge.table_counters = std::make_shared<const std::array<TableCounters, kTableCount>>();
  }
  explicit HandmadeBridge(std::uint32_t port_count) : HandmadeBridge() {
    for (std::uint32_t number = 1; number <= port_count; ++number) port(number);
  }

  BridgePort& port(std::uint32_t number) {
    BridgePort& added = bridge.ports.emplace_back();
    added.number = PortNo{number};
    added.dp = DpPort{100 + number};
    added.name = "p" + std::to_string(number);
    bridge.index_of[added.dp.value] = static_cast<std::uint16_t>(bridge.ports.size());
    return added;
  }
  BridgePort& at(std::uint32_t number) {
    for (BridgePort& port : bridge.ports)
      if (port.number.value == number) return port;
    throw std::out_of_range("no such port");
  }
  const Rule& rule(unsigned table, std::uint16_t priority, const Match& match, ActionList actions,
                   std::uint64_t cookie = 0) {
    auto made = std::make_shared<Rule>();
    made->table = static_cast<std::uint8_t>(table);
    made->priority = priority;
    made->match = match;
    made->actions = std::move(actions);
    made->cookie = cookie;
    auto& classifier = bridge.tables[table];
    if (!classifier) classifier = std::make_shared<Classifier>();
    classifier->insert(made, 1);
    classifier->publish();
    rules.push_back(made);
    return *made;
  }
  void group(std::uint32_t id, GroupType type, std::vector<BucketSpec> buckets, const Selection& selection = {}) {
    auto made = std::make_shared<Group>();
    made->id = id;
    made->type = type;
    made->selection = selection;
    for (BucketSpec& spec : buckets) {
      auto bucket = std::make_shared<Bucket>();
      bucket->id = static_cast<std::uint32_t>(made->buckets.size());
      bucket->weight = spec.weight;
      bucket->watch_port = spec.watch_port;
      bucket->watch_group = spec.watch_group;
      bucket->actions = std::move(spec.actions);
      made->buckets.push_back(std::move(bucket));
    }
    made->slots = make_slots(made->buckets);
    groups[id] = made;
  }
  void meter(std::uint32_t id, std::uint16_t slot) {
    auto made = std::make_shared<Meter>();
    made->config.id = id;
    made->slot = slot;
    meters[id] = made;
  }

  [[nodiscard]] const SwitchState& state() {
    bridge.table_configs = std::make_shared<const std::map<std::uint8_t, TableConfig>>(configs);
    bridge.groups = std::make_shared<const std::map<std::uint32_t, GroupRef>>(groups);
    bridge.meters = std::make_shared<const std::map<std::uint32_t, MeterRef>>(meters);
    const auto published = std::make_shared<const BridgeState>(bridge);
    state_ = {};
    state_.version = 1;
    state_.bridges = {published};
    for (const BridgePort& port : bridge.ports) state_.bridge_of[port.dp.value] = published.get();
    return state_;
  }
  [[nodiscard]] Translation run(const FlowKey& key, TranslationObserver* observer = nullptr) {
    return translate(state(), key, nullptr, observer);
  }
  [[nodiscard]] Translation packet_out(const FlowKey& key, PortNo in_port, const ActionList& actions) {
    return translate_actions(state(), bridge.id, key, in_port, actions);
  }

 private:
  SwitchState state_;
};

inline std::string hex(const __u8* at, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", at[i]);
  return text;
}

inline const char* name_of(shunt_drop_reason reason) {
  static constexpr const char* kReasons[] = {
#define SHUNT_NAME(name, text, help) text,
      SHUNT_DROP_REASONS(SHUNT_NAME)
#undef SHUNT_NAME
  };
  return kReasons[reason];
}

inline std::string set_text(shunt_field field, const std::string& value, const std::string& mask) {
  const auto pad = [](std::string bytes) { return bytes.append(12 - bytes.size(), '0'); };
  return fmt::format("set{}:{}/{}", +field, pad(value), pad(mask));
}

inline std::string text(const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_OUTPUT:
      return fmt::format("{}{}", action.field == 1 ? "back:" : "", action.arg - 100);
    case SHUNT_ACT_PUSH_VLAN:
      return "push:" + hex(action.value, 4);
    case SHUNT_ACT_POP_VLAN:
      return "pop";
    case SHUNT_ACT_DEC_TTL:
      return "ttl";
    case SHUNT_ACT_TRUNCATE:
      return fmt::format("trunc:{}", action.arg);
    case SHUNT_ACT_SET_FIELD:
      return fmt::format("set{}:{}/{}", +action.field, hex(action.value, 6), hex(action.mask, 6));
    case SHUNT_ACT_METER:
      return fmt::format("meter:{}", action.arg);
    case SHUNT_ACT_SET_QUEUE:
      return fmt::format("queue:{}", action.arg);
    case SHUNT_ACT_CONTROLLER:
      return fmt::format("up:{}", action.arg);
    case SHUNT_ACT_SAVE:
      return "[";
    case SHUNT_ACT_RESTORE:
      return "]";
    default:
      return fmt::format("type{}:{}:{}", +action.type, action.arg, hex(action.value, 6));
  }
}

// Actions as text, outputs by port number; or why there are none.
inline std::string text(const Translation& result) {
  std::string out;
  for (const shunt_action& action : result.actions) out += (out.empty() ? "" : " ") + text(action);
  if (result.drop != SHUNT_DROP_NONE) out += (out.empty() ? "drop:" : " drop:") + std::string{name_of(result.drop)};
  return out;
}

// A set that writes eth_dst to 02:00:00:00:00:NN, as action and as text.
inline SetFieldAction dst(unsigned last) { return set_field(FieldId::kEthDst, 0x020000000000 + last); }
inline std::string dst_text(unsigned last) {
  return set_text(SHUNT_FIELD_ETH_DST, fmt::format("02{:010x}", last), "ffffffffffff");
}

}  // namespace shunt::test
