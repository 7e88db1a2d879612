// SPDX-License-Identifier: Apache-2.0
// How the exact-match cache's keys lie in its groups: each form in as many units, beside others, and never half.
#include "bpf/datapath/microflow_units.h"

#include <doctest/doctest.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "maps/map_names.h"
#include "tests/bpf/shared_switch.h"
#include "tests/support/packet_builder.h"
#include "user/base/error.h"

namespace shunt::test {
namespace {

// The exact-match cache's units, for those who may not wait until two CPUs write one at once.
class Units {
 public:
  explicit Units(const Switch& sw)
      : map_{check(bpf_obj_get(fmt::format("{}/{}/{}", SHUNT_PIN_ROOT, sw.instance, SHUNT_MAP_MICROFLOWS).c_str()),
                   "open microflows")},
        config_{sw.datapath.config()} {}

  struct Unit {
    std::uint32_t group;
    unsigned unit;
    std::array<std::uint64_t, 4> words;
  };
  void clear() const {
    const shunt_microflow_group empty{};
    for (std::uint32_t at = 0; at < config_.microflow_groups; ++at) write(at, empty);
  }
  // What was written since clear(), the first unit of each key before its others.
  [[nodiscard]] std::vector<Unit> kept() const {
    std::vector<Unit> units;
    for (std::uint32_t at = 0; at < config_.microflow_groups; ++at) {
      const shunt_microflow_group group = read(at);
      for (unsigned i = 0; i < SHUNT_MICROFLOW_UNITS; ++i) {
        const auto words = std::bit_cast<decltype(Unit::words)>(group.unit[i]);
        if (std::ranges::any_of(words, [](std::uint64_t word) { return word != 0; })) units.push_back({at, i, words});
      }
    }
    return units;
  }
  // As the daemon finds out how full the cache is: shunt_port.microflows when the key was written that begins here.
  [[nodiscard]] std::uint64_t valid(const Unit& first) const {
    const shunt_microflow_group group = read(first.group);
    return shunt_microflow_valid(&group, first.unit, config_.hash_seed, config_.hash_multiplier);
  }
  void write(const Unit& unit) const {
    shunt_microflow_group group = read(unit.group);
    group.unit[unit.unit] = std::bit_cast<shunt_microflow_unit>(unit.words);
    write(unit.group, group);
  }

 private:
  UniqueFd map_;
  shunt_config config_;

  [[nodiscard]] shunt_microflow_group read(std::uint32_t at) const {
    shunt_microflow_group group;
    check_libbpf(bpf_map_lookup_elem(map_.get(), &at, &group), "read a group");
    return group;
  }
  void write(std::uint32_t at, const shunt_microflow_group& group) const {
    check_libbpf(bpf_map_update_elem(map_.get(), &at, &group, BPF_ANY), "write a group");
  }
};

// A key of each form: under which fields, whose mask, packets that differ in all of them, and how many units it takes.
struct Form {
  const char* name;
  unsigned units;
  std::uint32_t fields;
  shunt_flow_key mask;
  Bytes (*frame)(std::uint8_t number);
};
const std::array<Form, 4>& forms() {
  static const auto under = [](std::uint8_t number) {
    const auto mac = [&](std::uint8_t which) { return fmt::format("02:00:00:00:{:02x}:{:02x}", which, number); };
    return packet().eth(mac(1).c_str(), mac(2).c_str());
  };
  static const auto ipv4 = [](PacketBuilder builder, std::uint8_t number) {
    return builder.ipv4(fmt::format("10.0.0.{}", number).c_str(), fmt::format("10.0.1.{}", number).c_str())
        .udp(number, static_cast<std::uint16_t>(number + 256))
        .payload(30)
        .build();
  };
  static const std::array<Form, 4> all{{
      {"LINK", 1, SHUNT_PLAIN_L2, l2_mask(), [](std::uint8_t n) { return ipv4(under(n).vlan(n), n); }},
      {"NETWORK", 1, SHUNT_PLAIN_TYPE | SHUNT_PLAIN_VLAN | SHUNT_PLAIN_L3, five_tuple_mask(),
       [](std::uint8_t n) { return ipv4(under(1), n); }},
      {"LONG", 2, SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3, five_tuple_mask(),
       [](std::uint8_t n) { return ipv4(under(n).vlan(n), n); }},
      {"WIDE", 4, SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3, five_tuple_mask(),
       [](std::uint8_t n) {
         return under(n)
             .vlan(n)
             .vlan(static_cast<std::uint16_t>(n + 1))
             .ipv6(fmt::format("fd00:{}::{}", n, n).c_str(), fmt::format("fd01:{}::{}", n, n).c_str())
             .label(n)
             .udp(n, static_cast<std::uint16_t>(n + 256))
             .payload(30)
             .build();
       }},
  }};
  return all;
}

void publish(Switch& sw, const Bytes& frame, const shunt_flow_key& mask, unsigned port) {
  const shunt_action action = output_to(port);
  (void)sw.publish(sw.whole_key(frame), mask, std::span{&action, 1});
}

}  // namespace

TEST_SUITE("exact-match cache") {
  TEST_CASE("a key of which another has written a part answers nothing") {
    Switch& sw = shared_switch();
    const Units units{sw};
    for (const Form& form : forms()) {
      CAPTURE(std::string{form.name});
      sw.reset();
      const Bytes mine = form.frame(1), others = form.frame(9);
      publish(sw, mine, form.mask, 2);
      publish(sw, others, form.mask, 3);
      const auto kept_of = [&](const Bytes& frame) {
        units.clear();
        sw.use_microflows(1, form.fields);
        (void)sw.run(frame);
        return units.kept();
      };
      const auto kept = kept_of(mine);
      const std::uint64_t valid = sw.datapath.ports[1].microflows;
      CHECK(units.valid(kept.at(0)) == valid);
      const auto other = kept_of(others);
      REQUIRE(kept.size() == form.units);
      REQUIRE(other.size() == form.units);
      sw.datapath.ports[1].microflows = valid;
      for (std::size_t unit = 0; unit < kept.size(); ++unit)
        for (std::size_t word = 0; word < 4; ++word) {
          if (kept[unit].words[word] == other[unit].words[word]) continue;
          CAPTURE(unit);
          CAPTURE(word);
          units.clear();
          for (const auto& each : kept) units.write(each);
          const auto before = exact_hits(sw);
          CHECK(sw.run(mine).verdict == XDP_REDIRECT);
          CHECK(exact_hits(sw) == before + 1);
          auto torn = kept[unit];
          torn.words[word] = other[unit].words[word];
          units.write(torn);
          CHECK(sw.run(mine).verdict == XDP_REDIRECT);
          CHECK(exact_hits(sw) == before + 1);
        }
    }
  }

  TEST_CASE("a group holds as many keys as it has units for, keeps them, and is empty when they are void") {
    Switch& sw = shared_switch();
    const Units units{sw};
    for (const Form& form : forms()) {
      CAPTURE(std::string{form.name});
      sw.reset();
      // A wide key may be in either of two groups.
      const auto room = static_cast<std::uint8_t>(form.units == 4 ? 2 : SHUNT_MICROFLOW_UNITS / form.units);
      for (std::uint8_t key = 1; key <= room + 1; ++key) publish(sw, form.frame(key), form.mask, 2);
      units.clear();
      for (unsigned age = 0; age < 3; ++age) {
        sw.use_microflows(1, form.fields);
        sw.datapath.ports[1].microflow_groups = 1;
        const auto before = exact_hits(sw);
        for (unsigned i = 0; i < 3; ++i)
          for (std::uint8_t key = 1; key <= room; ++key) CHECK(sw.run(form.frame(key)).verdict == XDP_REDIRECT);
        CHECK(exact_hits(sw) == before + 2u * room);
        CHECK(units.kept().size() == room * form.units);
      }
      // One more finds no room, but for one try in sixteen: then it is another's turn to have none.
      unsigned packets = 0;
      for (auto before = exact_hits(sw); exact_hits(sw) == before && packets < 10'000; ++packets)
        CHECK(sw.run(form.frame(room + 1)).verdict == XDP_REDIRECT);
      CHECK(packets > 1);
      CHECK(packets < 10'000);
      const auto before = exact_hits(sw);
      for (std::uint8_t key = 1; key <= room; ++key) CHECK(sw.run(form.frame(key)).verdict == XDP_REDIRECT);
      CHECK(exact_hits(sw) < before + room);
    }
  }
}

}  // namespace shunt::test
