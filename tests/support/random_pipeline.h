// SPDX-License-Identifier: Apache-2.0
// Pipelines made by chance: tables of rules that resubmit, clone, edit, push and output, and groups. What is chosen
// comes from `below(n)`, a number under n: of a random generator, or of a fuzzer's bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/support/pipeline_fixture.h"

namespace shunt::test {

class RandomPipeline {
 public:
  static constexpr unsigned kTables = 6, kPorts = 5, kGroups = 4;

  explicit RandomPipeline(std::function<unsigned(unsigned)> below) : below_{std::move(below)} {}

  void fill(HandmadeBridge& sw) {
    for (std::uint32_t number = 1; number <= kPorts; ++number) {
      BridgePort& port = sw.port(number);
      port.up = below_(8) != 0;
      port.forward = below_(16) != 0;
      port.flood = below_(4) != 0;
    }
    sw.meter(1, 11);
    for (std::uint32_t id = 1; id <= kGroups; ++id) group(sw, id);
    for (unsigned table = 0; table < kTables; ++table) {
      table_ = table;
      if (below_(6) == 0) sw.configs[static_cast<std::uint8_t>(table)].miss = TableConfig::Miss::kContinue;
      std::uint16_t priority = 1;
      if (below_(4) != 0) sw.rule(table, priority++, {}, rule_actions());
      for (unsigned rules = below_(5); rules > 0; --rules) sw.rule(table, priority++, match(), rule_actions());
    }
  }

  Match match() {
    Match made;
    for (unsigned parts = 1 + below_(2); parts > 0; --parts) made = made && one_match();
    made.value = made.value & made.mask;
    return made;
  }

 private:
  std::function<unsigned(unsigned)> below_;
  unsigned table_ = 0;

  FieldId reg() { return static_cast<FieldId>(static_cast<unsigned>(kReg0) + below_(3)); }
  std::uint32_t port() { return 1 + below_(kPorts); }

  Match one_match() {
    switch (below_(12)) {
      case 0:
        return match_on(FieldId::kInPort, port());
      case 1:
        return match_on(reg(), below_(4), 3);
      case 2:
        return match_on(FieldId::kEthDst, kA + below_(4), 0xff);
      case 3:
        return match_on(FieldId::kEthType, below_(2) != 0 ? 0x0800 : 0x86dd);
      case 4:
        return match_on(FieldId::kVlanTci, below_(2) != 0 ? 0x1000 : 0, 0x1000);
      case 5:
        return match_on(FieldId::kVlanTci, 0x1000 | (5 + below_(2)), 0x1fff);
      case 6:
        return match_on(FieldId::kEthType, 0x0800) && match_on(FieldId::kIpDst, 0x0a000000 + below_(4), 0xffffff03);
      case 7:
        return match_on(FieldId::kEthType, 0x0800) && match_on(FieldId::kNwProto, 6) &&
               match_on(FieldId::kTcpDst, 80 + below_(2));
      case 8:
        return match_on(FieldId::kMetadata, below_(4), 3);
      case 9:
        return match_on(FieldId::kActsetOutput, below_(2) != 0 ? kPortUnset.value : port());
      case 10:
        return match_on(FieldId::kEthType, 0x0800) && match_on(FieldId::kNwTtl, 63 + below_(2), 0x7f);
      default:
        return match_on(FieldId::kVlanTci1, 0x1000, 0x1000);
    }
  }

  ActionList rule_actions() {
    ActionList made = actions(2);
    if (below_(3) == 0) made.push_back(ClearActionsAction{});
    if (below_(3) == 0) made.push_back(WriteActionsAction{set_actions()});
    if (below_(4) == 0) made.push_back(WriteMetadataAction{below_(4), 3});
    if (table_ + 1 < kTables && below_(2) == 0)
      made.push_back(GotoTableAction{static_cast<std::uint8_t>(table_ + 1 + below_(kTables - table_ - 1))});
    return made;
  }

  // Of an action set or bucket.
  ActionList set_actions() {
    ActionList made;
    for (unsigned count = 1 + below_(4); count > 0; --count) made.push_back(set_action());
    return made;
  }

  Action set_action() {
    switch (below_(8)) {
      case 0:
        return PushVlanAction{0x8100};
      case 1:
        return PopVlanAction{};
      case 2:
        return DecTtlAction{};
      case 3:
        return GroupAction{1 + below_(kGroups)};
      case 4:
      case 5:
        return output();
      default:
        return edit();
    }
  }

  Action output() {
    switch (below_(8)) {
      case 0:
        return OutputAction{kPortInPort};
      case 1:
        return OutputAction{kPortAll};
      case 2:
        return OutputAction{kPortFlood};
      case 3:
        return OutputAction{PortNo{port()}, static_cast<std::uint16_t>(20 + below_(60))};
      default:
        return OutputAction{PortNo{port()}};
    }
  }

  Action edit() {
    switch (below_(10)) {
      case 0:
        return dst(below_(3));
      case 1:
        return set_field(reg(), below_(16), 0xf);
      case 2:
        return set_field(FieldId::kIpDst, 0x0a000000 + below_(4), 0xff0000ff);
      case 3:
        return set_field(FieldId::kVlanVid, 4 + below_(4));
      case 4:
        return SetVlanVidAction{static_cast<std::uint16_t>(4 + below_(4))};
      case 5:
        return SetVlanPcpAction{static_cast<std::uint8_t>(below_(8))};
      case 6:
        return set_field(FieldId::kTpDst, 79 + below_(3));
      case 7:
        return move_bits(bits_of(reg(), 0, 4), bits_of(FieldId::kEthSrc, 4 * below_(3), 4));
      case 8:
        return move_bits(bits_of(below_(2) != 0 ? FieldId::kIpSrc : FieldId::kEthDst, 0, 4),
                         bits_of(reg(), below_(4), 4));
      default:
        return set_field(FieldId::kNwTos, 4 * below_(8));
    }
  }

  ActionList actions(unsigned depth) {
    ActionList made;
    for (unsigned count = below_(5); count > 0; --count) made.push_back(action(depth));
    return made;
  }

  Action action(unsigned depth) {
    switch (below_(16)) {
      case 0: {
        // Mostly onward: those back again multiply.
        const unsigned table =
            below_(12) == 0 || table_ + 1 == kTables ? below_(kTables) : table_ + 1 + below_(kTables - table_ - 1);
        std::optional<PortNo> in_port;
        if (below_(3) == 0) in_port = below_(2) != 0 ? PortNo{port()} : kPortInPort;
        return ResubmitAction{in_port, static_cast<std::uint8_t>(table)};
      }
      case 1:
        if (depth > 0) return CloneAction{actions(depth - 1)};
        return output();
      case 2:
        return GroupAction{1 + below_(kGroups)};
      case 3:
        return PushVlanAction{static_cast<std::uint16_t>(below_(2) != 0 ? 0x8100 : 0x88a8)};
      case 4:
        return PopVlanAction{};
      case 5:
        return DecTtlAction{};
      case 6:
        return StackPushAction{bits_of(below_(2) != 0 ? reg() : FieldId::kEthSrc, 0, 1 + below_(12))};
      case 7:
        return StackPopAction{bits_of(below_(2) != 0 ? reg() : FieldId::kEthDst, below_(4), 1 + below_(12))};
      case 8:
        return below_(4) == 0 ? Action{ExitAction{}} : Action{OutputFieldAction{bits_of(reg(), 0, 3)}};
      case 9:
        return below_(4) == 0 ? Action{set_field(FieldId::kInPort, port())} : output();
      case 10:
      case 11:
      case 12:
        return output();
      default:
        return edit();
    }
  }

  void group(HandmadeBridge& sw, std::uint32_t id) {
    static constexpr GroupType kTypes[] = {GroupType::kAll, GroupType::kIndirect, GroupType::kSelect,
                                           GroupType::kFastFailover};
    const GroupType type = kTypes[below_(4)];
    std::vector<BucketSpec> buckets(type == GroupType::kIndirect ? 1 : 1 + below_(3));
    for (BucketSpec& bucket : buckets) {
      bucket.actions = set_actions();
      // Groups go on to later ones only, as a switch sees to.
      std::erase_if(bucket.actions, [&](const Action& each) {
        const auto* chained = std::get_if<GroupAction>(&each);
        return chained != nullptr && chained->group <= id;
      });
      bucket.weight = static_cast<std::uint16_t>(below_(4));
      if (below_(2) == 0) bucket.watch_port = PortNo{port()};
    }
    Selection selection;
    if (below_(3) == 0) {
      selection.method = Selection::Method::kHash;
      selection.fields = field_mask(field(FieldId::kIpDst));
    }
    sw.group(id, type, std::move(buckets), selection);
  }
};

}  // namespace shunt::test
