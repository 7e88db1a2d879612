// SPDX-License-Identifier: Apache-2.0
// Where Open vSwitch 3.1 does not do what the standards or its own manual say, and Shunt does: each with its reason.
// What is listed here is counted by the comparison, and nothing else may differ.
#pragma once

#include <optional>
#include <string>

#include "tests/oracle/scenario.h"
#include "tests/oracle/shunt_switch.h"

namespace shunt::test {

// Why what Open vSwitch sent may differ from `ours` for this frame; none: it must not.
std::optional<std::string> known_difference(const Scenario& scenario, const Input& input,
                                            const ShuntSwitch::Result& ours, const Outputs& theirs);

}  // namespace shunt::test
