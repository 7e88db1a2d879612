// SPDX-License-Identifier: Apache-2.0
// learn(...) as text. Threads: any.
#pragma once

#include <string>

#include "user/pipeline/action.h"
#include "user/pipeline/port_names.h"

namespace shunt::action_text {

void append_learn(std::string& out, const LearnAction& action, const PortNames& names);

}  // namespace shunt::action_text
