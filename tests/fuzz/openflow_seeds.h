// SPDX-License-Identifier: Apache-2.0
// Where the OpenFlow fuzzer starts from: each message that a switch takes, each multipart request, in each version.
#pragma once

#include <map>
#include <string>

namespace shunt::test {

// By name, as "1.3_OFPT_FLOW_MOD": what the fuzzer takes. tests/fuzz/corpus/openflow has a file for each
// (tests/unit/openflow/corpus_test.cpp writes them).
[[nodiscard]] std::map<std::string, std::string> openflow_seeds();

}  // namespace shunt::test
