// SPDX-License-Identifier: Apache-2.0
// A port as the control socket shows it; the names are documented in docs/cli.md and stable.
// Threads: any.
#pragma once

#include "user/control/instance_api.h"
#include "user/control/json_rpc.h"

namespace shunt {

Json port_json(const PortStatus& port);

}  // namespace shunt
