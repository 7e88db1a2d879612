// SPDX-License-Identifier: Apache-2.0
#include "user/worker/order_gate.h"

#include <doctest/doctest.h>

using namespace shunt;

TEST_SUITE("order gate") {
  TEST_CASE("a bucket is settled when every packet that was handed up is finished") {
    std::vector<shunt_order> order(8);
    OrderGate gate{order};
    order[3].handed_up = 2;
    gate.finish(3);
    CHECK(order[3].handed_up != order[3].finished);
    gate.finish(3);
    CHECK(order[3].handed_up == order[3].finished);
    CHECK(order[2].finished == 0);
  }

  TEST_CASE("a packet lost between kernel and userspace is settled when nothing has moved since the last look") {
    std::vector<shunt_order> order(8);
    OrderGate gate{order};
    order[1].handed_up = 3;
    gate.finish(1);
    gate.repair();
    CHECK(order[1].finished == 1);  // it may still be on its way
    gate.finish(1);
    gate.repair();
    CHECK(order[1].finished == 2);  // something moved
    gate.repair();
    CHECK(order[1].finished == 3);
  }

  TEST_CASE("a bucket number out of range is ignored") {
    std::vector<shunt_order> order(8);
    OrderGate gate{order};
    gate.finish(8);
    gate.finish(~0u);
    for (const shunt_order& bucket : order) CHECK(bucket.finished == 0);
  }
}
