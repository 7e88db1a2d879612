// SPDX-License-Identifier: Apache-2.0
#include "user/base/rare.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

using namespace shunt;

TEST_SUITE("rare parts") {
  TEST_CASE("one that does not exist is read as empty, and takes a pointer") {
    const Rare<std::vector<int>> none;
    CHECK_FALSE(none.exists());
    CHECK(none->empty());
    CHECK((*none).empty());
    CHECK(sizeof none == sizeof(void*));
  }

  TEST_CASE("it is its object's own, and copied with it") {
    Rare<std::vector<int>> one;
    one.make().push_back(1);
    one.make().push_back(2);
    Rare<std::vector<int>> other = one;
    other.make().push_back(3);
    CHECK(*one == std::vector{1, 2});
    CHECK(*other == std::vector{1, 2, 3});

    one = other;
    CHECK(*one == std::vector{1, 2, 3});
    CHECK(&*one != &*other);
    one = Rare<std::vector<int>>{};
    CHECK_FALSE(one.exists());
    one = std::move(other);
    CHECK(one->size() == 3);
    one.clear();
    CHECK_FALSE(one.exists());
    CHECK(one->empty());
  }
}
