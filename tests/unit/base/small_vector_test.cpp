// SPDX-License-Identifier: Apache-2.0
#include "user/base/small_vector.h"

#include <doctest/doctest.h>

#include <memory>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

namespace shunt {
namespace {

using Owner = std::shared_ptr<int>;
using Owners = SmallVector<Owner, 2>;

Owners owners(int count) {
  Owners made;
  for (int i = 0; i < count; ++i) made.push_back(std::make_shared<int>(i));
  return made;
}

bool holds(const Owners& owners, int count) {
  std::vector<int> numbers, wanted(static_cast<std::size_t>(count));
  for (const Owner& owner : owners) numbers.push_back(*owner);
  std::iota(wanted.begin(), wanted.end(), 0);
  return numbers == wanted && owners.size() == wanted.size() && owners.empty() == wanted.empty();
}

}  // namespace

TEST_SUITE("small_vector") {
  TEST_CASE("a vector holds what was appended, within it and beyond") {
    for (const int count : {0, 1, 2, 3, 4, 5, 100}) {
      CAPTURE(count);
      const Owners some = owners(count);
      CHECK(holds(some, count));
      if (count == 0) continue;
      CHECK(*some.front() == 0);
      CHECK(*some.back() == count - 1);
      CHECK(*some[static_cast<std::size_t>(count) / 2] == count / 2);
    }
  }

  TEST_CASE("it can be made of a list, and at() finds no more than it holds") {
    const SmallVector<int, 2> some{1, 2, 3};
    CHECK(some.size() == 3);
    CHECK(some.at(2) == 3);
    CHECK_THROWS_AS((void)some.at(3), std::out_of_range);
  }

  TEST_CASE("the first elements lie within it") {
    SmallVector<int, 2> some;
    const auto lies_within = [&] {
      const auto* at = reinterpret_cast<const std::byte*>(some.data());
      const auto* self = reinterpret_cast<const std::byte*>(&some);
      return at >= self && at < self + sizeof some;
    };
    some.push_back(1);
    some.push_back(2);
    CHECK(lies_within());
    some.push_back(3);
    CHECK_FALSE(lies_within());
  }

  TEST_CASE("copies have elements of their own, and take the place of what was there") {
    for (const int from : {0, 2, 5})
      for (const int to : {0, 2, 5}) {
        const Owners source = owners(from);
        Owners target = owners(to);
        const std::vector<Owner> before{target.begin(), target.end()};
        target = source;
        CHECK(target == source);
        CHECK(Owners{source} == source);
        for (const Owner& owner : before) CHECK(owner.use_count() == 1);
        for (const Owner& owner : source) CHECK(owner.use_count() == 2);
        target = std::as_const(target);
        CHECK(holds(target, from));
      }
  }

  TEST_CASE("what is moved from is empty, and can be used again") {
    for (const int from : {0, 2, 5})
      for (const int to : {0, 2, 5}) {
        Owners source = owners(from), target = owners(to);
        const std::vector<Owner> before{target.begin(), target.end()};
        target = std::move(source);
        CHECK(holds(target, from));
        CHECK(source.empty());
        for (const Owner& owner : before) CHECK(owner.use_count() == 1);
        source.push_back(std::make_shared<int>(0));
        CHECK(holds(source, 1));
        Owners made{std::move(target)};
        CHECK(holds(made, from));
        CHECK(target.empty());
      }
  }

  TEST_CASE("elements that go are destroyed") {
    for (const int count : {2, 5}) {
      Owners some = owners(count);
      const std::vector<Owner> kept{some.begin(), some.end()};
      some.clear();
      CHECK(some.empty());
      for (const Owner& owner : kept) CHECK(owner.use_count() == 1);
      {
        Owners others;
        others.assign(kept.begin(), kept.end());
        for (const Owner& owner : kept) CHECK(owner.use_count() == 2);
      }
      for (const Owner& owner : kept) CHECK(owner.use_count() == 1);
    }
  }

  TEST_CASE("an element of its own can be appended when it has to grow") {
    SmallVector<std::vector<int>, 1> some;
    some.push_back({1, 2, 3});
    some.push_back(some.front());
    CHECK(some.front() == std::vector{1, 2, 3});
    CHECK(some.back() == std::vector{1, 2, 3});
  }
}

}  // namespace shunt
