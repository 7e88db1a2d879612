// SPDX-License-Identifier: Apache-2.0
// What is_affected() says no to must keep its verdict: random pipelines, random changes, every flow translated again.
#include "user/worker/affected.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "tests/unit/worker/random_pipeline.h"

using namespace shunt;
using namespace shunt::test;

namespace {

bool same(const Translation& a, const Translation& b) {
  return a.actions.size() == b.actions.size() &&
         (a.actions.empty() ||
          std::memcmp(a.actions.data(), b.actions.data(), a.actions.size() * sizeof(shunt_action)) == 0) &&
         a.drop == b.drop && a.rules == b.rules && a.needs_packet == b.needs_packet &&
         a.follow_ups->controllers.size() == b.follow_ups->controllers.size();
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
    dependencies.rewritten.make().tp_dst = be16{0xffff};
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
