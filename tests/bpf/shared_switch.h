// SPDX-License-Identifier: Apache-2.0
// One switch for all test cases that need no other: loading takes longer than they do. Reset at each call.
#pragma once

#include "tests/bpf/switch_fixture.h"

namespace shunt::test {

Switch& shared_switch();

}  // namespace shunt::test
