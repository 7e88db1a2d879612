// SPDX-License-Identifier: Apache-2.0
#include "user/worker/placement.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

using Workers = std::vector<unsigned>;

TEST_SUITE("placement of queues") {
  TEST_CASE("places are read as they are written, and what is no place is refused by name") {
    CHECK(parse_queue_workers("0:1,2:0") == QueueWorkers{{0, 1}, {2, 0}});
    CHECK(parse_queue_workers("auto").empty());
    CHECK(format_queue_workers({{2, 0}, {0, 1}}) == "0:1,2:0");
    CHECK(format_queue_workers({}) == "auto");
    for (const char* text : {"", "0", "0:", ":1", "a:1", "0:b", "16:0", "0:1,0:2", "0:1,,1:0", "-1:0", "0:99999"}) {
      CAPTURE(text);
      CHECK_THROWS_AS((void)parse_queue_workers(text), Error);
    }
  }

  TEST_CASE("two busy queues of one worker part") {
    const QueueLoad queues[] = {{0, {}, 400 * kMs}, {0, {}, 300 * kMs}};
    const Workers places = place_queues(queues, 2);
    CHECK(places[0] != places[1]);
  }

  TEST_CASE("the heaviest has a worker for itself") {
    const QueueLoad queues[] = {{0, {}, 600 * kMs}, {1, {}, 200 * kMs}, {0, {}, 200 * kMs}, {0, {}, 200 * kMs}};
    const Workers places = place_queues(queues, 2);
    CHECK(std::count(places.begin(), places.end(), places[0]) == 1);
  }

  TEST_CASE("nothing wanders for little") {
    const QueueLoad even[] = {{0, {}, 300 * kMs}, {1, {}, 280 * kMs}, {0, {}, 20 * kMs}};
    CHECK(place_queues(even, 2) == Workers{0, 1, 0});
    const QueueLoad idle[] = {{0, {}, 10 * kMs}, {0, {}, 10 * kMs}};
    CHECK(place_queues(idle, 2) == Workers{0, 0});
    const QueueLoad one[] = {{1, {}, 900 * kMs}};
    CHECK(place_queues(one, 2) == Workers{1});
  }

  TEST_CASE("what the user placed stays there, and the others make room") {
    const QueueLoad queues[] = {{0, 0, 500 * kMs}, {0, {}, 400 * kMs}, {1, 0, 100 * kMs}};
    CHECK(place_queues(queues, 2) == Workers{0, 1, 0});
    const QueueLoad none[] = {{1, 7, 500 * kMs}};  // no such worker: no wish
    CHECK(place_queues(none, 2) == Workers{1});
  }

  TEST_CASE("never worse than it was, wishes apart, and every worker exists") {
    std::mt19937 random{1};
    const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
    for (int round = 0; round < 1000; ++round) {
      const unsigned workers = 1 + below(4);
      std::vector<QueueLoad> queues;
      for (unsigned i = below(12); i-- > 0;) queues.push_back({below(workers), {}, below(500) * kMs});
      const Workers places = place_queues(queues, workers);
      REQUIRE(places.size() == queues.size());
      std::vector<std::uint64_t> before(workers), after(workers);
      for (std::size_t i = 0; i < queues.size(); ++i) {
        REQUIRE(places[i] < workers);
        before[queues[i].worker] += queues[i].load;
        after[places[i]] += queues[i].load;
      }
      CHECK(*std::max_element(after.begin(), after.end()) <= *std::max_element(before.begin(), before.end()));
    }
  }
}

}  // namespace
}  // namespace shunt
