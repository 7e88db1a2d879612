// SPDX-License-Identifier: Apache-2.0
// What AffectedIndex finds against what is_affected() says of each flow: none may be missing, and few be too many.
#include "user/worker/affected_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "user/worker/affected.h"

using namespace shunt;

namespace {

constexpr std::uint32_t kPorts = 4, kLimit = 512;

struct IndexedFlow {
  DpPort port;
  std::uint16_t mask = 0;
  std::optional<BridgeId> bridge;
  FlowKey key{};
  Dependencies dependencies;
};

// Bits of a key, mostly whole fields, a few of one of the fields' bits.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_{seed} {}
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(engine_() % n); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }
  FlowMask mask(std::uint32_t share) {
    KeyWords words{};
    for (std::uint64_t& word : words) {
      if (!one_in(share)) continue;
      for (unsigned part = 0; part < 4; ++part)
        if (one_in(2)) word |= std::uint64_t{one_in(3) ? engine_() & 0xffff : 0xffff} << (16 * part);
    }
    return from_words(words);
  }
  // Few values a byte, so that rules and flows meet.
  FlowKey key() {
    KeyWords words{};
    for (std::uint64_t& word : words)
      for (unsigned byte = 0; byte < 8; ++byte) word |= std::uint64_t{below(2) * 0x81} << (8 * byte);
    return from_words(words);
  }

 private:
  std::mt19937_64 engine_;
};

struct Fixture {
  Switch config;
  BridgeId bridge = config.add_bridge("br0"), other = config.add_bridge("br1");
  Random random;
  std::vector<FlowMask> masks;  // by number
  AffectedIndex index{kLimit};
  std::map<std::uint32_t, IndexedFlow> flows;  // by slot

  explicit Fixture(std::uint64_t seed) : random{seed} {
    for (std::uint32_t number = 1; number <= kPorts; ++number)  // the last one is no bridge's
      if (number < kPorts)
        config.add_port(number == 3 ? other : bridge,
                        {PortNo{number}, DpPort{number}, "p" + std::to_string(number), {}, true});
    for (unsigned i = 0; i < 6; ++i) {
      FlowMask mask = i == 0 ? from_words([] {
        KeyWords all;
        all.fill(~std::uint64_t{0});
        return all;
      }()) : random.mask(1 + i / 2);
      mask.in_port = ~0u;
      masks.push_back(mask);
    }
  }

  IndexedFlow flow() {
    IndexedFlow made;
    made.port = DpPort{1 + random.below(kPorts)};
    made.mask = static_cast<std::uint16_t>(random.below(static_cast<std::uint32_t>(masks.size())));
    if (!random.one_in(5)) made.bridge = random.one_in(3) ? other : bridge;
    made.key = random.key();
    made.key.in_port = made.port.value;
    made.dependencies.tables.set(random.below(3));
    if (random.one_in(2)) made.dependencies.tables.set(random.below(3));
    if (random.one_in(3)) made.dependencies.rewritten.make() = random.mask(4);
    if (random.one_in(2)) made.dependencies.tags = std::uint64_t{1} << random.below(4);
    return made;
  }
  void set(std::uint32_t slot, const IndexedFlow& flow) {
    flows[slot] = flow;
    index.set(slot, {flow.port, flow.mask, flow.bridge, flow.dependencies}, masks[flow.mask], flow.key);
  }
  void clear(std::uint32_t slot) {
    flows.erase(slot);
    index.clear(slot);
  }
  Change change() {
    Change made;
    if (random.one_in(3)) made.bridge = random.one_in(2) ? other : bridge;
    if (random.one_in(12)) made.all = true;
    if (random.one_in(4)) made.tags = std::uint64_t{1} << random.below(6);
    for (std::uint32_t rules = random.below(4); rules > 0; --rules) {
      Match match;
      flow_part(match.mask) = random.mask(3);
      if (random.one_in(3)) match.mask.in_port = ~0u;
      match.mask.reg[0][0] = 0xff;
      match.value = to_pipeline(random.key());
      match.value.in_port = 1 + random.below(kPorts);
      match.value = match.value & match.mask;
      made.rules.push_back({static_cast<std::uint8_t>(random.below(3)), match});
    }
    return made;
  }
  // As the revalidator asks of each flow.
  bool affects(const Change& change, const IndexedFlow& flow) {
    const BridgeState* found = config.state()->bridge_of[flow.port.value];
    const std::optional<BridgeId> now = found != nullptr ? std::optional{found->id} : std::nullopt;
    if (flow.bridge != now) return true;
    if (change.bridge && now != change.bridge) return false;
    return is_affected(flow.dependencies, flow.key & masks[flow.mask], masks[flow.mask], change);
  }
  std::vector<std::uint32_t> found(const Change& change) {
    std::vector<std::uint32_t> slots;
    index.find(index.query(change, *config.state()), 0, kLimit, slots);
    return slots;
  }
};

FlowMask five_tuple() {
  FlowMask mask{};
  mask.in_port = ~0u;
  mask.eth_type = be16{0xffff};
  mask.nw_proto = 0xff;
  mask.nw_frag = 1;
  mask.tp_src = mask.tp_dst = be16{0xffff};
  for (int i = 12; i < 16; ++i) mask.ip_src[i] = mask.ip_dst[i] = 0xff;
  return mask;
}

}  // namespace

TEST_SUITE("index of affected flows") {
  TEST_CASE("each flow that a change affects is found, and hardly any other") {
    std::size_t affected = 0, others = 0, surplus = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      CAPTURE(seed);
      Fixture f{seed};
      for (int step = 0; step < 120; ++step) {
        CAPTURE(step);
        for (std::uint32_t i = 0; i < 8; ++i) {
          const std::uint32_t slot = f.random.below(kLimit / 4);
          if (f.random.one_in(3))
            f.clear(slot);
          else
            f.set(slot, f.flow());
        }
        const Change change = f.change();
        const std::vector<std::uint32_t> found = f.found(change);
        REQUIRE(std::is_sorted(found.begin(), found.end()));
        for (const std::uint32_t slot : found) REQUIRE(f.flows.contains(slot));
        std::map<std::uint32_t, std::uint32_t> found_of;  // by port
        for (const auto& [slot, flow] : f.flows) {
          const bool is_found = std::binary_search(found.begin(), found.end(), slot);
          if (is_found) ++found_of[flow.port.value];
          if (f.affects(change, flow)) {
            ++affected;
            REQUIRE(is_found);
          } else {
            ++others;
            surplus += is_found;
          }
        }
        const AffectedIndex::Query query = f.index.query(change, *f.config.state());
        for (std::uint32_t port = 1; port <= kPorts; ++port)
          REQUIRE(f.index.count(query, 0, DpPort{port}) == found_of[port]);
      }
      while (!f.flows.empty()) f.clear(f.flows.begin()->first);
      CHECK(f.index.class_count() == 0);
    }
    CHECK(affected > 5000);
    CHECK(others > 50'000);
    CHECK(surplus < others / 10);
    MESSAGE(affected << " affected; of " << others << " others " << surplus << " found");
  }

  TEST_CASE("of flows of five fields a change finds just those that it affects") {
    Fixture f{1};
    f.masks[1] = five_tuple();
    IndexedFlow flow{DpPort{1}, 1, f.bridge, {}, {}};
    flow.dependencies.tables.set(0);
    flow.key.in_port = 1;
    flow.key.eth_type = be16{0x0800};
    flow.key.nw_proto = 17;
    for (std::uint32_t slot = 0; slot < 256; ++slot) {
      flow.key.tp_src = be16{static_cast<std::uint16_t>(1000 + slot % 16)};
      flow.key.ip_src[12] = 10;
      flow.key.ip_src[15] = static_cast<std::uint8_t>(slot);
      f.set(slot, flow);
    }
    CHECK(f.index.class_count() == 1);
    Change change;
    Match match;
    match.mask.tp_src = be16{0xffff};
    match.value.tp_src = be16{1003};
    match.mask.ip_src[15] = 0xf0;  // a prefix's part of a byte
    match.value.ip_src[15] = 0x40;
    change.rules.push_back({0, match});
    CHECK(f.found(change) == std::vector<std::uint32_t>{0x43});
    change.rules.front().table = 1;
    CHECK(f.found(change).empty());
    match.value.tp_src = be16{1004};
    change.rules.push_back({0, match});
    CHECK(f.found(change) == std::vector<std::uint32_t>{0x44});
    change.bridge = f.other;
    CHECK(f.found(change).empty());
  }

  TEST_CASE("a port that has another bridge has all its flows found") {
    Fixture f{1};
    f.set(7, {DpPort{1}, 1, f.bridge, {}, {}});
    Change change;
    change.tags = 1;
    CHECK(f.found(change).empty());
    f.config.remove_port(f.bridge, PortNo{1});
    CHECK(f.found(change) == std::vector<std::uint32_t>{7});
  }

  TEST_CASE("a flow that comes after a query was made is not found by it") {
    Fixture f{1};
    f.set(1, {DpPort{1}, 1, f.bridge, {}, {}});
    Change change;
    change.all = true;
    const AffectedIndex::Query query = f.index.query(change, *f.config.state());
    f.set(2, {DpPort{2}, 1, f.bridge, {}, {}});  // of a class that was not there
    std::vector<std::uint32_t> slots;
    f.index.find(query, 0, kLimit, slots);
    CHECK(slots == std::vector<std::uint32_t>{1});
  }
}
