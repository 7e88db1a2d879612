// SPDX-License-Identifier: Apache-2.0
// After each change what the cache answers is what a translation says now: random pipelines and random changes, through
// the index of affected flows and through flows' shared translations.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/unit/worker/flow_requests.h"
#include "tests/unit/worker/memory_maps.h"
#include "tests/unit/worker/random_pipeline.h"
#include "user/worker/encode.h"
#include "user/worker/revalidator.h"

using namespace shunt;
using namespace shunt::test;

namespace {

struct CachedPipeline : Pipeline {
  explicit CachedPipeline(std::uint64_t seed) : Pipeline{seed} {
    for (std::uint32_t number = 1; number <= kPorts + 1; ++number) {
      outputs[100 + number] = {Ifindex{1000 + number}, true};
      revalidator.add_port(DpPort{100 + number}, outputs[100 + number]);
    }
    revalidator.start();
  }
  ~CachedPipeline() { revalidator.stop(); }

  void miss(const FlowKey& key) {
    REQUIRE(revalidator.queue(0).push(request_for(key, translate(*config.state(), key))));
  }
  void settle() {
    revalidator.queue(0).ring_doorbell();
    for (int i = 0; i < 1000 && !revalidator.queue(0).empty(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    REQUIRE(revalidator.queue(0).empty());
    (void)revalidator.stats();
  }
  // In the revalidator's thread, which writes what is read here.
  template <typename Work>
  void in_its_thread(Work work) {
    (void)revalidator.change_fdb(id, [&](Fdb&) {
      work();
      return std::vector<FdbKey>{};
    });
  }
  // False: the cache answers otherwise than the pipeline. No answer is right, too.
  bool answers_rightly(const FlowKey& key, bool& answered) {
    const auto hit = maps.lookup(key);
    answered = hit.has_value();
    if (!hit) return true;
    const Encoded now = encode(translate(*config.state(), key), DpPort{key.in_port}, outputs);
    if (hit->actions.size() != now.actions.size()) return false;
    for (std::size_t i = 0; i < now.actions.size(); ++i) {
      shunt_action action = hit->actions[i];
      if (action.type == SHUNT_ACT_OUTPUT_GROUP) {
        std::vector<Ifindex> members;
        for (const DpPort port : now.group) members.push_back(outputs[port.value].ifindex);
        std::sort(members.begin(), members.end());
        std::vector<Ifindex> cached = maps.groups[action.arg];
        std::sort(cached.begin(), cached.end());
        if (members != cached) return false;
        action.arg = now.actions[i].arg;
      }
      if (std::memcmp(&action, &now.actions[i], sizeof action) != 0) return false;
    }
    return true;
  }

  PortOutputs outputs{};
  MemoryMaps maps{1024};
  Revalidator revalidator{config, maps, {}};
};

}  // namespace

TEST_SUITE("revalidator: random changes") {
  TEST_CASE("what the cache answers after a change is what the pipeline says then") {
    std::size_t answers = 0, misses = 0;
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
      CAPTURE(seed);
      CachedPipeline f{seed};
      for (int step = 0; step < 25; ++step) {
        CAPTURE(step);
        std::vector<FlowKey> keys;
        for (int i = 0; i < 60; ++i) {
          keys.push_back(f.random.key());
          f.miss(keys.back());
        }
        f.settle();
        (void)f.revalidator.revalidate(f.change());
        for (int i = 0; i < 60; ++i) keys.push_back(f.random.key());
        std::size_t wrong = 0;
        f.in_its_thread([&] {
          for (const FlowKey& key : keys) {
            bool answered = false;
            wrong += !f.answers_rightly(key, answered);
            ++(answered ? answers : misses);
          }
        });
        REQUIRE(wrong == 0);
      }
    }
    CHECK(answers > 20'000);
    MESSAGE(answers << " answers compared, " << misses << " misses");
  }
}
