// SPDX-License-Identifier: Apache-2.0
#include "user/worker/fair_queue.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace shunt;

namespace {

FlowRequest request(std::uint32_t port, std::uint16_t number) {
  auto decision = std::make_shared<Decision>();
  decision->key.tp_src = be16{number};
  return {std::move(decision), DpPort{port}};
}

struct Taken {
  std::uint32_t port;
  std::uint16_t number;
  friend bool operator==(const Taken&, const Taken&) = default;
};

std::vector<Taken> take_all(FairQueue& queue) {
  std::vector<Taken> taken;
  for (FlowRequest request; queue.pop(request);)
    taken.push_back({request.port.value, request.decision->key.tp_src.host()});
  return taken;
}

}  // namespace

TEST_SUITE("fair queue") {
  TEST_CASE("ports take turns, and each keeps its order") {
    FairQueue queue{16};
    for (std::uint16_t i = 0; i < 4; ++i) CHECK(queue.push(request(1, i)));
    CHECK(queue.push(request(2, 0)));
    CHECK(queue.push(request(2, 1)));
    CHECK(queue.size() == 6);
    CHECK(take_all(queue) == std::vector<Taken>{{1, 0}, {2, 0}, {1, 1}, {2, 1}, {1, 2}, {1, 3}});
    CHECK(queue.empty());
  }

  TEST_CASE("where there is no room the longest queue gives up its oldest") {
    FairQueue queue{8};
    for (std::uint16_t i = 0; i < 8; ++i) CHECK(queue.push(request(1, i)));
    for (std::uint16_t i = 0; i < 3; ++i) CHECK_FALSE(queue.push(request(2, i)));
    for (std::uint16_t i = 8; i < 20; ++i) CHECK_FALSE(queue.push(request(1, i)));
    CHECK(queue.size() == 8);
    CHECK(take_all(queue) ==
          std::vector<Taken>{{1, 15}, {2, 0}, {1, 16}, {2, 1}, {1, 17}, {2, 2}, {1, 18}, {1, 19}});
  }

  TEST_CASE("a port that asks for less than its share loses nothing, whatever others ask for") {
    FairQueue queue{64};
    std::mt19937 engine{1};
    const auto random = [&engine](std::uint32_t below) { return static_cast<std::uint32_t>(engine() % below); };
    std::uint16_t sent = 0, expected = 0;
    for (int round = 0; round < 1000; ++round) {
      for (int i = 0; i < 50; ++i) (void)queue.push(request(1 + random(3), 0));
      for (std::uint32_t i = random(4); i > 0; --i) (void)queue.push(request(7, sent++));
      FlowRequest taken;
      for (int i = 0; i < 16 && queue.pop(taken); ++i)
        if (taken.port == DpPort{7}) CHECK(taken.decision->key.tp_src.host() == expected++);
    }
    for (const Taken& left : take_all(queue))
      if (left.port == 7) CHECK(left.number == expected++);
    CHECK(expected == sent);
  }

  TEST_CASE("a request that goes lets go of its decision") {
    FairQueue queue{1};
    FlowRequest first = request(1, 0);
    const std::weak_ptr<const Decision> held = first.decision;
    CHECK(queue.push(std::move(first)));
    CHECK_FALSE(held.expired());
    CHECK_FALSE(queue.push(request(2, 0)));
    CHECK(held.expired());
    CHECK(take_all(queue) == std::vector<Taken>{{2, 0}});
  }

  TEST_CASE("a port that is none has a queue too") {
    FairQueue queue{4};
    CHECK(queue.push(request(~std::uint32_t{0}, 3)));
    CHECK(take_all(queue) == std::vector<Taken>{{~std::uint32_t{0}, 3}});
  }
}
