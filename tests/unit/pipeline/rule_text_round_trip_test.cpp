// SPDX-License-Identifier: Apache-2.0
// parse(format(rule)) is the rule, for random rules that use every field and every action.
#include <doctest/doctest.h>

#include <iterator>
#include <random>
#include <string>

#include "tests/unit/pipeline/random_actions.h"
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
    if (mod.command == Command::kModify && one_in(2)) mod.new_cookie = random_();
    if (deletes && one_in(3)) mod.out_port = port();
    if (deletes && one_in(3)) mod.out_group = static_cast<std::uint32_t>(random_() & 0xffff);
    if (mod.command == Command::kAdd && one_in(3)) {
      mod.idle_timeout = static_cast<std::uint16_t>(random_());
      mod.hard_timeout = static_cast<std::uint16_t>(random_());
      mod.importance = static_cast<std::uint16_t>(random_());
      mod.flags = static_cast<std::uint16_t>(below(32));
    }
    mod.match = match();
    if (!deletes) mod.actions = actions_.rule(mod.match, mod.table.value_or(0));
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
    static constexpr std::uint16_t kTypes[] = {0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806,
                                               0x8035, 0x8847, 0x8848, 0x88cc, 0x88e7};
    static constexpr std::uint8_t kProtocols[] = {6, 17, 132, 1, 58, 2};
    Match match;
    if (!one_in(5)) add(match, FieldId::kEthType, kTypes[below(std::size(kTypes))], 0xffff);
    if (implied_by(Prerequisite::kIp, match) && !one_in(4))
      add(match, FieldId::kNwProto, kProtocols[below(std::size(kProtocols))], 0xff);
    if (implied_by(Prerequisite::kIcmpv6, match) && one_in(2)) add(match, FieldId::kIcmpType, 135 + below(2), 0xff);
    for (const Field& f : fields()) {
      const bool free = equal(match.mask & field_mask(f), PipelineMask{});
      const bool is_view = f.id == FieldId::kDlVlan || f.id == FieldId::kVlanVid || f.id == FieldId::kDlVlanPcp ||
                           f.id == FieldId::kVlanPcp;  // of vlan_tci
      if (!free || is_view || !implied_by(f.prerequisite, match) || !one_in(4)) continue;
      if (f.format == FieldFormat::kPort)
        add(match, f.id, one_in(4) ? kPortLocal.value : port().value, value_bits(f));
      else if (f.id == FieldId::kIpFrag)
        add(match, f.id, equal(match.mask & field_mask(field(FieldId::kIcmpType)), PipelineMask{}) ? below(2) * 3 : 0,
            3);
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

  std::mt19937_64 random_;
  test::RandomActions actions_{random_};
};

// Where two rules differ; empty where they are the same.
std::string difference(const FlowMod& a, const FlowMod& b) {
  if (a.table != b.table) return "table";
  if (a.priority != b.priority) return "priority";
  if (a.cookie != b.cookie || a.cookie_mask != b.cookie_mask) return "cookie";
  if (a.out_port != b.out_port) return "out_port";
  if (a.out_group != b.out_group) return "out_group";
  if (a.new_cookie != b.new_cookie) return "new cookie";
  if (a.idle_timeout != b.idle_timeout || a.hard_timeout != b.hard_timeout) return "timeouts";
  if (a.flags != b.flags || a.importance != b.importance) return "flags";
  if (!(a.match == b.match)) return "match";
  if (a.actions.size() != b.actions.size()) return "number of actions";
  for (std::size_t i = 0; i < a.actions.size(); ++i)
    if (!(a.actions[i] == b.actions[i])) return fmt::format("action {}", i);
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
