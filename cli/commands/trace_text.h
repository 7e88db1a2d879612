// SPDX-License-Identifier: Apache-2.0
// Parts of a trace as text, for `shunt trace` and `shunt cache why`.
#pragma once

#include "cli/client.h"

namespace shunt::cli {

void show_steps(const Json& trace);    // table by table
void show_outcome(const Json& trace);  // mask, datapath actions, and for a drop why and what was near
void show_rules(const Json& rules);    // a line each, with their counters

}  // namespace shunt::cli
