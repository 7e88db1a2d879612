// SPDX-License-Identifier: Apache-2.0
// parse(format(rule)) is the rule, for random rules that use every field and every action.
#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <type_traits>
#include <variant>

#include "user/base/error.h"
#include "user/flow/fields.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using Command = FlowMod::Command;

namespace {

class RandomRule {
 public:
  explicit RandomRule(std::uint64_t seed) : random_{seed} {}

  FlowMod make() {
    FlowMod mod;
    mod.command = static_cast<Command>(below(5));
    const bool deletes = mod.command == Command::kDelete || mod.command == Command::kDeleteStrict;
    if (one_in(2)) mod.table = static_cast<std::uint8_t>(below(kTableCount));
    if (mod.command != Command::kDelete && mod.command != Command::kModify && one_in(2))
      mod.priority = static_cast<std::uint16_t>(random_());
    if (one_in(2)) {
      mod.cookie = random_();
      if (mod.command != Command::kAdd) mod.cookie &= mod.cookie_mask.emplace(random_());
    }
    if (deletes && one_in(3)) mod.out_port = port();
    mod.match = match();
    if (!deletes) mod.actions = actions(mod.match);
    return mod;
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  FieldBits bits() { return static_cast<FieldBits>(random_()) << 64 | random_(); }
  PortNo port() { return PortNo{static_cast<std::uint32_t>(below(8) + 1)}; }

  // Whole, a prefix, or any bits; never none.
  FieldBits mask(const Field& f) {
    const FieldBits whole = value_bits(f);
    if (!is_maskable(f) || one_in(2)) return whole;
    const FieldBits part = (one_in(2) ? bits() : ~FieldBits{0} << below(f.width)) & whole;
    return part == 0 ? whole : part;
  }

  void add(Match& match, FieldId id, FieldBits value, FieldBits of_mask) {
    write_field(field(id), match.value, value & of_mask);
    write_field(field(id), match.mask, of_mask);
  }

  Match match() {
    static constexpr std::uint16_t kTypes[] = {0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x8035, 0x8847, 0x8848, 0x88cc};
    static constexpr std::uint8_t kProtocols[] = {6, 17, 132, 1, 58, 2};
    Match match;
    if (!one_in(5)) add(match, FieldId::kEthType, kTypes[below(std::size(kTypes))], 0xffff);
    if (implied_by(Prerequisite::kIp, match) && !one_in(4))
      add(match, FieldId::kNwProto, kProtocols[below(std::size(kProtocols))], 0xff);
    if (implied_by(Prerequisite::kIcmpv6, match) && one_in(2)) add(match, FieldId::kIcmpType, 135 + below(2), 0xff);
    for (const Field& f : fields()) {
      const bool free = equal(match.mask & field_mask(f), FlowMask{});
      const bool is_view = f.id == FieldId::kDlVlan || f.id == FieldId::kVlanVid || f.id == FieldId::kDlVlanPcp ||
                           f.id == FieldId::kVlanPcp;  // of vlan_tci
      if (!free || is_view || !implied_by(f.prerequisite, match) || !one_in(4)) continue;
      if (f.id == FieldId::kInPort)
        add(match, f.id, one_in(4) ? kPortLocal.value : port().value, value_bits(f));
      else if (f.id == FieldId::kIpFrag)
        add(match, f.id, equal(match.mask & field_mask(field(FieldId::kIcmpType)), FlowMask{}) ? below(2) * 3 : 0, 3);
      else
        add(match, f.id, bits(), mask(f));
    }
    if (one_in(4)) add(match, FieldId::kVlanTci, SHUNT_VLAN_PRESENT | below(0x1000) | below(8) << 13, tag_mask());
    return match;
  }

  FieldBits tag_mask() {
    static constexpr FieldBits kMasks[] = {0x1000, 0x1fff, 0xf000, 0xffff, 0x3fff, 0x0fff};
    return kMasks[below(std::size(kMasks))];
  }

  ActionList actions(const Match& match) {
    ActionList list;
    if (one_in(8)) return {DropAction{}};
    Match state = match;
    for (std::uint64_t i = 0, count = below(6) + 1; i < count; ++i) add_action(list, state);
    if (list.empty()) list.emplace_back(DecTtlAction{});
    return list;
  }

  void add_action(ActionList& list, Match& state) {
    static constexpr PortNo kReserved[] = {kPortInPort, kPortNormal, kPortFlood, kPortAll, kPortLocal};
    switch (below(10)) {
      case 0:
        list.emplace_back(OutputAction{kReserved[below(std::size(kReserved))]});
        return;
      case 1:
        list.emplace_back(OutputAction{port(), static_cast<std::uint16_t>(below(1000) + 14)});
        return;
      case 2:
        if (implied_by(Prerequisite::kInnerVlan, state)) return;
        list.emplace_back(PushVlanAction{static_cast<std::uint16_t>(one_in(2) ? 0x8100 : 0x88a8)});
        state.value.vlan[1] = state.value.vlan[0];
        state.mask.vlan[1] = state.mask.vlan[0];
        return know_tag(state);
      case 3:
        list.emplace_back(PopVlanAction{});
        state.value.vlan[0] = state.mask.vlan[0] = {};
        state.value.vlan[1] = state.mask.vlan[1] = {};
        return;
      case 4:
        list.emplace_back(SetVlanVidAction{static_cast<std::uint16_t>(below(4096))});
        return know_tag(state);
      case 5:
        list.emplace_back(SetVlanPcpAction{static_cast<std::uint8_t>(below(8))});
        return know_tag(state);
      case 6:
        list.emplace_back(DecTtlAction{});
        return;
      case 7:
        return add_set(list, state);
      case 8:
        return add_move(list, state);
      default:
        list.emplace_back(OutputAction{port()});
    }
  }

  static void know_tag(Match& state) {
    if (implied_by(Prerequisite::kVlan, state)) return;
    state.value.vlan[0].tci = state.mask.vlan[0].tci = be16{SHUNT_VLAN_PRESENT};
  }

  const Field& random_field() { return fields()[below(kFieldCount)]; }

  void add_set(ActionList& list, const Match& state) {
    const Field* f = &random_field();
    while (!f->writable || f->id == FieldId::kVlanTci || !implied_by(f->prerequisite, state)) f = &random_field();
    SetFieldAction action{.field = f, .set = {}};
    add(action.set, f->id, bits(), mask(*f));
    list.emplace_back(action);
  }

  void add_move(ActionList& list, const Match& state) {
    const Field* from = &random_field();
    while (from->id == FieldId::kInPort || !implied_by(from->prerequisite, state)) from = &random_field();
    const Field* to = &random_field();
    while (!to->writable || to->id == FieldId::kVlanTci || !implied_by(to->prerequisite, state)) to = &random_field();
    const auto width = static_cast<std::uint16_t>(below(std::min(from->width, to->width)) + 1);
    list.emplace_back(MoveAction{from, to, static_cast<std::uint16_t>(below(from->width - width + 1u)),
                                 static_cast<std::uint16_t>(below(to->width - width + 1u)), width});
  }

  std::mt19937_64 random_;
};

bool same(const Match& a, const Match& b) { return equal(a.value, b.value) && equal(a.mask, b.mask); }

bool same(const Action& a, const Action& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&b](const auto& x) {
        using T = std::decay_t<decltype(x)>;
        const T& y = std::get<T>(b);
        if constexpr (std::is_same_v<T, OutputAction>) return x.port == y.port && x.max_len == y.max_len;
        if constexpr (std::is_same_v<T, SetFieldAction>) return x.field == y.field && same(x.set, y.set);
        if constexpr (std::is_same_v<T, MoveAction>)
          return x.src == y.src && x.dst == y.dst && x.src_bit == y.src_bit && x.dst_bit == y.dst_bit &&
                 x.bit_count == y.bit_count;
        if constexpr (std::is_same_v<T, PushVlanAction>) return x.tpid == y.tpid;
        if constexpr (std::is_same_v<T, SetVlanVidAction>) return x.vid == y.vid;
        if constexpr (std::is_same_v<T, SetVlanPcpAction>) return x.pcp == y.pcp;
        return true;
      },
      a);
}

// Where two rules differ; empty where they are the same.
std::string difference(const FlowMod& a, const FlowMod& b) {
  if (a.table != b.table) return "table";
  if (a.priority != b.priority) return "priority";
  if (a.cookie != b.cookie || a.cookie_mask != b.cookie_mask) return "cookie";
  if (a.out_port != b.out_port) return "out_port";
  if (!same(a.match, b.match)) return "match";
  if (a.actions.size() != b.actions.size()) return "number of actions";
  for (std::size_t i = 0; i < a.actions.size(); ++i)
    if (!same(a.actions[i], b.actions[i])) return fmt::format("action {}", i);
  return "";
}

}  // namespace

TEST_SUITE("rule text: round trip") {
  TEST_CASE("a random rule that is written and read again is the same rule") {
    const PortNames none;
    const PortNames some{std::map<std::string, PortNo>{{"veth1", PortNo{1}},
                                                       {"all", PortNo{2}},
                                                       {"9p", PortNo{3}},
                                                       {"a(b", PortNo{4}},
                                                       {"tcp", PortNo{5}},
                                                       {"x:y", PortNo{6}}}};
    RandomRule random{5};
    for (int i = 0; i < 5'000; ++i) {
      const FlowMod mod = random.make();
      const PortNames& names = i % 2 == 0 ? none : some;
      const std::string text = format_flow_spec(mod, names);
      CAPTURE(text);
      FlowMod again;
      CHECK_NOTHROW(again = parse_flow(text, mod.command, names));
      CHECK(difference(mod, again) == "");
      CHECK(format_flow_spec(again, names) == text);
    }
  }
}
