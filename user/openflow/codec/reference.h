// SPDX-License-Identifier: Apache-2.0
// docs/openflow.md, made of the tables that the codec runs on. Threads: any.
#pragma once

#include <string>

namespace shunt::openflow {

[[nodiscard]] std::string reference_text();

}  // namespace shunt::openflow
