// SPDX-License-Identifier: Apache-2.0
// Random actions of every kind, nested, each such that a text of it is taken: what fields need is known from a match or
// from the actions before.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <random>
#include <vector>

#include "user/flow/fields.h"
#include "user/pipeline/action.h"

namespace shunt::test {

class RandomActions {
 public:
  explicit RandomActions(std::mt19937_64& random) : random_{random} {}

  // Of a rule in `table`: instructions at their places; one DropAction where there is nothing else.
  ActionList rule(const Match& match, std::uint8_t table) {
    if (one_in(8)) return {DropAction{}};
    if (one_in(10)) return conjunctions();
    ActionList list;
    Match state = match;
    if (one_in(6)) list.emplace_back(MeterAction{number(0xffff) + 1});
    for (std::uint64_t i = 0, count = below(6) + 1; i < count; ++i) add_action(list, state, 0);
    if (one_in(6)) list.emplace_back(ClearActionsAction{});
    if (one_in(5)) list.emplace_back(WriteActionsAction{action_set()});
    if (one_in(6)) {
      const std::uint64_t mask = one_in(2) ? ~std::uint64_t{0} : random_();
      list.emplace_back(WriteMetadataAction{random_() & mask, mask});
    }
    if (one_in(4) && table < 253)
      list.emplace_back(GotoTableAction{static_cast<std::uint8_t>(table + 1 + below(253u - table))});
    if (list.empty()) list.emplace_back(DecTtlAction{});
    return list;
  }

  // Of a bucket or write_actions: no field needs a prerequisite.
  ActionList action_set() {
    ActionList list;
    for (std::uint64_t i = 0, count = below(5); i < count; ++i) add_to_set(list);
    return list;
  }

  PortNo port() { return PortNo{number(7) + 1}; }
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint32_t number(std::uint64_t max) { return static_cast<std::uint32_t>(below(max + 1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(random_()); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(random_()); }
  FieldBits bits() { return static_cast<FieldBits>(random_()) << 64 | random_(); }
  template <typename Enum>
  Enum pick(std::uint64_t count) {
    return static_cast<Enum>(below(count));
  }

  ActionList conjunctions() {
    ActionList list;
    for (std::uint64_t i = 0, count = below(3) + 1; i < count; ++i) {
      const auto clauses = static_cast<std::uint8_t>(below(63) + 2);
      list.emplace_back(ConjunctionAction{u32(), static_cast<std::uint8_t>(below(clauses)), clauses});
    }
    if (one_in(3)) list.emplace_back(NoteAction{bytes()});
    return list;
  }

  std::vector<std::uint8_t> bytes() {
    std::vector<std::uint8_t> some(below(5));
    for (auto& byte : some) byte = static_cast<std::uint8_t>(random_());
    return some;
  }

  static bool of_tag(FieldId id) {  // written by actions of their own
    return id == FieldId::kVlanTci || id == FieldId::kDlVlan || id == FieldId::kDlVlanPcp;
  }

  const Field& readable(const Match& state) {
    const Field* f = &fields()[below(kFieldCount)];
    while (!implied_by(f->prerequisite, state)) f = &fields()[below(kFieldCount)];
    return *f;
  }
  const Field& writable(const Match* state) {
    const Field* f = &fields()[below(kFieldCount)];
    while (!f->writable || of_tag(f->id) || (state != nullptr && !implied_by(f->prerequisite, *state)))
      f = &fields()[below(kFieldCount)];
    return *f;
  }
  Subfield part(const Field& f, unsigned width) {
    return {&f, static_cast<std::uint16_t>(below(f.width - width + 1u)), static_cast<std::uint16_t>(width)};
  }
  Subfield part(const Field& f) { return part(f, static_cast<unsigned>(below(f.width) + 1)); }
  Subfield register_bits(unsigned width) {
    return part(field(static_cast<FieldId>(static_cast<std::size_t>(FieldId::kReg0) + below(16))), width);
  }

  void add_set(ActionList& list, const Match* state) {
    const Field& f = writable(state);
    FieldBits mask = value_bits(f);
    if (!one_in(2)) mask &= one_in(2) ? bits() : ~FieldBits{0} << below(f.width);
    if (mask == 0) mask = value_bits(f);
    FieldBits value = bits();
    if (f.id == FieldId::kInPort && mask == value_bits(f)) value = below(9);
    list.emplace_back(set_field(f, value, mask));
  }

  void add_move(ActionList& list, const Match* state) {
    const Field& from = state == nullptr ? fields()[below(kFieldCount)] : readable(*state);
    const Field& to = writable(state);
    const auto width = static_cast<unsigned>(below(std::min(from.width, to.width)) + 1);
    const Subfield a = part(from, width), b = part(to, width);
    list.emplace_back(MoveAction{a.field, b.field, a.first_bit, b.first_bit, a.bit_count});
  }

  void add_to_set(ActionList& list) {
    switch (below(16)) {
      case 0:
        return void(list.emplace_back(OutputAction{port()}));
      case 1:
        return void(list.emplace_back(OutputAction{kPortController, static_cast<std::uint16_t>(below(0xffff))}));
      case 2:
        return void(list.emplace_back(GroupAction{u32() & 0xffff}));
      case 3:
        return void(list.emplace_back(SetQueueAction{number(8)}));
      case 4:
        return void(list.emplace_back(PushVlanAction{static_cast<std::uint16_t>(one_in(2) ? 0x8100 : 0x88a8)}));
      case 5:
        return void(list.emplace_back(PopVlanAction{}));
      case 6:
        return void(list.emplace_back(PushMplsAction{0x8847}));
      case 7:
        return void(list.emplace_back(PopMplsAction{0x0800}));
      case 8:
        return void(list.emplace_back(CopyTtlInAction{}));
      case 9:
        return void(list.emplace_back(DecTtlAction{}));
      case 10:
        return void(list.emplace_back(PushPbbAction{}));
      case 11:
        return void(list.emplace_back(ResubmitAction{{}, static_cast<std::uint8_t>(below(254))}));
      case 12:
        return void(list.emplace_back(SetVlanVidAction{static_cast<std::uint16_t>(below(4096))}));
      case 13:
        return add_move(list, nullptr);
      default:
        return add_set(list, nullptr);
    }
  }

  ControllerAction controller() {
    ControllerAction action;
    if (one_in(2)) action.max_len = u16();
    if (one_in(3)) action.reason = pick<PacketInReason>(6);
    if (one_in(3)) action.controller_id = u16();
    if (one_in(3)) action.userdata = bytes();
    if (one_in(3)) action.meter_id = number(100);
    action.pause = one_in(4);
    return action;
  }

  LearnAction learn(const Match& state) {
    LearnAction action;
    action.table = static_cast<std::uint8_t>(below(254));
    if (one_in(2)) action.idle_timeout = u16();
    if (one_in(3)) action.hard_timeout = u16();
    if (one_in(4)) action.fin_idle_timeout = u16();
    if (one_in(4)) action.fin_hard_timeout = u16();
    if (one_in(2)) action.priority = u16();
    if (one_in(2)) action.cookie = random_();
    if (one_in(3)) action.limit = u32();
    if (one_in(3)) action.result = register_bits(1);
    action.send_flow_removed = one_in(3);
    action.delete_learned = one_in(3);
    Match learned;
    for (std::uint64_t i = 0, count = below(5); i < count; ++i) add_spec(action.specs, state, learned);
    return action;
  }

  void add_spec(std::vector<LearnAction::Spec>& specs, const Match& state, Match& learned) {
    using Kind = LearnAction::Spec::Kind;
    const auto kind = pick<Kind>(5);
    const Field* target = &readable(learned);
    if (kind == Kind::kLoadField || kind == Kind::kLoadValue) target = &writable(&learned);
    Subfield to = is_maskable(*target) || kind > Kind::kMatchValue ? part(*target) : Subfield{target, 0, target->width};
    if (target->id == FieldId::kInPort && kind <= Kind::kMatchValue) to = {target, 0, 16};
    const FieldBits ones = to.bit_count == 128 ? ~FieldBits{0} : (FieldBits{1} << to.bit_count) - 1;
    if (kind == Kind::kMatchValue || kind == Kind::kLoadValue) {
      FieldBits value = bits() & ones;
      if (target->format == FieldFormat::kPort) value = (below(8) + 1) & ones;
      if (to.bit_count == target->width) value &= value_bits(*target);
      specs.push_back({.kind = kind, .source = {}, .value = value, .target = to});
      if (kind == Kind::kLoadValue) return;
      write_subfield(to, learned.value, value);
      write_subfield(to, learned.mask, ~FieldBits{0});
      return;
    }
    const Field* from = &readable(state);
    const unsigned width = kind == Kind::kOutputField ? std::min<unsigned>(16, from->width) : to.bit_count;
    while (from->width < width) from = &readable(state);
    specs.push_back(
        {.kind = kind, .source = part(*from, width), .target = kind == Kind::kOutputField ? Subfield{} : to});
  }

  void know_tag(Match& state) {
    if (implied_by(Prerequisite::kVlan, state)) return;
    state.value.vlan[0].tci = state.mask.vlan[0].tci = be16{SHUNT_VLAN_PRESENT};
  }

  // Everything below Ethernet, and what tags there are.
  static void forget(Match& state, std::optional<std::uint16_t> type) {
    state.value.vlan[0] = state.value.vlan[1] = state.mask.vlan[0] = state.mask.vlan[1] = {};
    state.value.eth_type = be16{type.value_or(0)};
    state.mask.eth_type = be16{static_cast<std::uint16_t>(type ? 0xffff : 0)};
    state.value.nw_proto = state.mask.nw_proto = 0;
  }

  void add_action(ActionList& list, Match& state, unsigned depth) {
    static constexpr PortNo kReserved[] = {kPortInPort, kPortNormal, kPortFlood, kPortAll, kPortLocal, kPortTable};
    const auto add = [&list](auto action) { list.emplace_back(std::move(action)); };
    switch (below(36)) {
      case 0:
        return add(OutputAction{kReserved[below(std::size(kReserved))]});
      case 1:
        return add(OutputAction{port(), static_cast<std::uint16_t>(below(1000) + 14)});
      case 2:
        return add(OutputFieldAction{.source = part(readable(state))});
      case 3:
        return add(controller());
      case 4:
        return add(GroupAction{u32() & 0xffffff});
      case 5:
        return add(SetQueueAction{one_in(2) ? ~0u : number(100)});
      case 6:
        return add(EnqueueAction{port(), number(100)});
      case 7:
      case 8:
      case 9:
        return add_set(list, &state);
      case 10:
      case 11:
        return add_move(list, &state);
      case 12:
        return add(StackPushAction{part(readable(state))});
      case 13:
        return add(StackPopAction{part(writable(&state))});
      case 14:
        if (implied_by(Prerequisite::kInnerVlan, state)) return;
        add(PushVlanAction{static_cast<std::uint16_t>(one_in(2) ? 0x8100 : 0x88a8)});
        state.value.vlan[1] = state.value.vlan[0];
        state.mask.vlan[1] = state.mask.vlan[0];
        state.value.vlan[0] = state.mask.vlan[0] = {.tpid = be16{0}, .tci = be16{SHUNT_VLAN_PRESENT}};
        return;
      case 15:
        add(PopVlanAction{});
        state.value.vlan[0] = state.value.vlan[1] = state.mask.vlan[0] = state.mask.vlan[1] = {};
        return;
      case 16:
        add(SetVlanVidAction{static_cast<std::uint16_t>(below(4096))});
        return know_tag(state);
      case 17:
        add(SetVlanPcpAction{static_cast<std::uint8_t>(below(8))});
        return know_tag(state);
      case 18: {
        const std::uint16_t type = one_in(2) ? 0x8847 : 0x8848;
        add(PushMplsAction{type});
        return forget(state, type);
      }
      case 19: {
        const std::uint16_t type = one_in(2) ? 0x0800 : 0x8847;
        add(PopMplsAction{type});
        return forget(state, implied_by(Prerequisite::kMpls, state) ? std::optional{type} : std::nullopt);
      }
      case 20:
        add(PushPbbAction{});
        return forget(state, 0x88e7);
      case 21:
        add(PopPbbAction{});
        return forget(state, {});
      case 22:
        return add(one_in(2) ? DecTtlAction{} : DecTtlAction{{u16(), u16()}});
      case 23:
        return add(SetMplsTtlAction{static_cast<std::uint8_t>(random_())});
      case 24:
        return add(DecMplsTtlAction{});
      case 25:
        return one_in(2) ? add(CopyTtlOutAction{}) : add(CopyTtlInAction{});
      case 26:
        return add(
            ResubmitAction{one_in(2) ? std::optional{port()} : std::nullopt, static_cast<std::uint8_t>(below(254))});
      case 27:
        return add(ResubmitAction{port(), {}});
      case 28: {
        CloneAction clone;
        Match inner = state;
        if (depth < 3)
          for (std::uint64_t i = 0, count = below(4); i < count; ++i) add_action(clone.actions, inner, depth + 1);
        return add(std::move(clone));
      }
      case 29:
        return one_in(2) ? add(ExitAction{}) : add(NoteAction{bytes()});
      case 30: {
        const Subfield target = register_bits(8);
        return add(MultipathAction{pick<HashFields>(7), u16(), pick<MultipathAction::Algorithm>(4), number(255) + 1,
                                   u32(), target});
      }
      case 31: {
        std::vector<PortNo> members(below(4));
        for (PortNo& member : members) member = port();
        return add(BundleAction{pick<HashFields>(7), u16(), pick<BundleAction::Algorithm>(2), std::move(members),
                                one_in(2) ? std::optional{register_bits(16)} : std::nullopt});
      }
      case 32:
        return add(learn(state));
      case 33:
        return add(FinTimeoutAction{u16(), u16()});
      case 34:
        return add(CheckPktLargerAction{u16(), register_bits(1)});
      default:
        return add(SampleAction{static_cast<std::uint16_t>(below(0xffff) + 1), u32(), u32(), u32(),
                                one_in(2) ? std::optional{port()} : std::nullopt, static_cast<std::uint8_t>(below(3))});
    }
  }

  std::mt19937_64& random_;
};

}  // namespace shunt::test
