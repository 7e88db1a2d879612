// SPDX-License-Identifier: Apache-2.0
#include "user/worker/youth.h"

#include <doctest/doctest.h>

#include <vector>

using namespace shunt;
using std::chrono::milliseconds;

namespace {

constexpr TimePoint kBegin{std::chrono::hours{1}};

struct Fixture {
  std::vector<shunt_order> order = std::vector<shunt_order>(8);
  Youth youth{2, order};
  TimePoint now = kBegin;

  // Time goes by, in which workers tell how far they are but for those that are late; what youth ends before then.
  TimePoint after(milliseconds time, bool late) {
    TimePoint before{};
    for (const TimePoint end = now + time; now < end; now += milliseconds{5}) {
      youth.reached(0, now);
      if (!late) youth.reached(1, now);
      before = youth.ends_before(now);
    }
    return before;
  }
};

}  // namespace

TEST_SUITE("youth") {
  TEST_CASE("where all is quiet it ends after its length, and not before") {
    Fixture f;
    for (const bool late : {false, true}) {
      f.after(Youth::kLength * 2, late);
      CHECK(f.youth.ends_before(f.now) == f.now - Youth::kLength);
    }
  }

  TEST_CASE("where no worker is late it ends after twice its length, whatever is on its way") {
    Fixture f;
    f.after(Youth::kLength * 2, false);
    f.order[3].handed_up = 1;
    const TimePoint published = f.now;
    CHECK(f.after(Youth::kLongest, false) < published);
    f.youth.reached(0, f.now);
    f.youth.reached(1, f.now - Youth::kLate);
    CHECK(f.youth.ends_before(f.now) == published);
  }

  TEST_CASE("where one is late it ends when each bucket was quiet once since") {
    Fixture f;
    f.after(Youth::kLength * 2, false);
    const TimePoint published = f.now;
    f.order[3].handed_up = 2;
    f.order[5].handed_up = 1;
    CHECK(f.after(Youth::kLength * 2, true) < published);
    f.order[3].finished = 2;
    CHECK(f.after(Youth::kLook * 2, true) < published);
    f.order[3].handed_up = 3;  // of a flow that was published later: they need not be quiet at one time
    f.order[5].finished = 1;
    CHECK(f.after(Youth::kLook * 2, true) >= published);
    const TimePoint later = f.now;
    CHECK(f.after(Youth::kLength * 2, true) < later);
  }

  TEST_CASE("it ends at last where a bucket is never quiet: a packet may have been lost") {
    Fixture f;
    f.order[0].handed_up = 1;
    const TimePoint published = f.now;
    CHECK(f.after(Youth::kLongestLate, true) < published);
    CHECK(f.after(milliseconds{10}, true) >= published);
  }

  TEST_CASE("a worker that was late is waited for as long as a youth") {
    Fixture f;
    f.order[0].handed_up = 1;
    const TimePoint published = f.now;
    CHECK(f.after(Youth::kLongest * 2, true) < published);
    CHECK(f.after(Youth::kLength - milliseconds{5}, false) < published);
    CHECK(f.after(milliseconds{10}, false) >= published);
  }
}
