// SPDX-License-Identifier: Apache-2.0
// Rule text from anywhere: it is taken or refused with a position inside it, and what was taken is shown as text that
// is taken again and shown the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "user/pipeline/rule_text.h"

using namespace shunt;

namespace {

const PortNames& names() {
  static const PortNames all{
      std::map<std::string, PortNo>{{"veth0", PortNo{1}}, {"all", PortNo{2}}, {"9p", PortNo{3}}}};
  return all;
}

void check(bool holds) {
  if (!holds) std::abort();
}

void round_trip(const FlowMod& mod) {
  const std::string shown = format_flow_spec(mod, names());
  const FlowMod again = parse_flow(shown, mod.command, names());
  check(format_flow_spec(again, names()) == shown);
  check(equal(again.match.value, mod.match.value) && equal(again.match.mask, mod.match.mask));
  check(equal(mod.match.value & mod.match.mask, mod.match.value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto command = static_cast<FlowMod::Command>(data[0] % 5);
  const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
  try {
    for (const FlowMod& mod : parse_flows(text, command, names())) round_trip(mod);
  } catch (const LineError& error) {
    check(error.line() >= 1 && error.column() >= 1 && error.column() <= text.size() + 1);
  }
  return 0;
}
