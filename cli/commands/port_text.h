// SPDX-License-Identifier: Apache-2.0
// Ports as tables, for `shunt port` and `shunt bridge show`.
#pragma once

#include "cli/client.h"

namespace shunt::cli {

void show_ports(const Json& ports);
void show_port(const Json& port);  // one, with all that is known of it

}  // namespace shunt::cli
