// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_set.h"

#include <doctest/doctest.h>

using namespace shunt;

namespace {

SetFieldAction set_ttl(unsigned ttl) { return set_field(field(FieldId::kNwTtl), ttl, 0xff); }

ActionList run_of(const ActionList& written) {
  ActionSet set;
  set.write(written);
  ActionList order;
  for (const Action* action : set.in_order()) order.push_back(*action);
  return order;
}

}  // namespace

TEST_SUITE("action set") {
  TEST_CASE("its order is the specification's, whatever order was written") {
    const ActionList in_order{
        CopyTtlInAction{}, PopVlanAction{},        PopMplsAction{0x800}, PopPbbAction{},         PushMplsAction{0x8847},
        PushPbbAction{},   PushVlanAction{0x8100}, CopyTtlOutAction{},   DecTtlAction{},         DecMplsTtlAction{},
        set_ttl(5),        MeterAction{1},         SetQueueAction{3},    OutputAction{PortNo{2}}};
    const ActionList backwards{in_order.rbegin(), in_order.rend()};
    CHECK(run_of(in_order) == in_order);
    CHECK(run_of(backwards) == in_order);
  }

  TEST_CASE("a later action takes the place of an earlier one of its kind; sets are all kept, in order") {
    CHECK(run_of({OutputAction{PortNo{2}}, PushVlanAction{0x8100}, set_ttl(1), PushVlanAction{0x88a8}, set_ttl(2),
                  OutputAction{PortNo{3}}}) ==
          ActionList{PushVlanAction{0x88a8}, set_ttl(1), set_ttl(2), OutputAction{PortNo{3}}});
  }

  TEST_CASE("of group, output and resubmit one runs, in this order of preference; without one nothing does") {
    const OutputAction output{PortNo{2}};
    const ResubmitAction resubmit{std::nullopt, std::uint8_t{3}};
    CHECK(run_of({GroupAction{1}, output, resubmit}) == ActionList{GroupAction{1}});
    CHECK(run_of({output, resubmit}) == ActionList{output});
    CHECK(run_of({resubmit, set_ttl(1)}) == ActionList{set_ttl(1), resubmit});
    CHECK(run_of({set_ttl(1), MeterAction{1}}).empty());
    CHECK(run_of({ExitAction{}, output, CloneAction{{output}}}) == ActionList{output});
    CHECK_FALSE(ActionSet::holds(ExitAction{}));
    CHECK(ActionSet::holds(output));
  }

  TEST_CASE("output() is where it goes, if nothing beats it") {
    ActionSet set;
    CHECK(set.output() == kPortUnset);
    const ActionList first{OutputAction{PortNo{2}}, set_ttl(1)}, second{OutputAction{PortNo{3}}}, third{GroupAction{1}};
    set.write(first);
    CHECK(set.output() == PortNo{2});
    set.write(second);
    CHECK(set.output() == PortNo{3});
    set.write(third);
    CHECK(set.output() == kPortUnset);
    set.clear();
    CHECK(set.empty());
  }
}
