// SPDX-License-Identifier: Apache-2.0
// Ports in rule text: in_port=NAME, output:NAME, numbers, and the reserved words of OpenFlow.
// Threads: any; a PortNames is a snapshot, and immutable.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "user/base/error.h"
#include "user/base/strong_types.h"

namespace shunt {

// Names of a bridge's ports.
class PortNames {
 public:
  PortNames() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): Instance::port_names() is handed over as it is
  PortNames(const std::map<std::string, PortNo>& ports);

  [[nodiscard]] std::optional<PortNo> find(std::string_view name) const;
  // Empty: the port has no name here.
  [[nodiscard]] std::string_view name_of(PortNo port) const;
  [[nodiscard]] std::vector<std::string_view> names() const;

 private:
  std::vector<std::pair<std::string, PortNo>> by_name_;    // sorted by name
  std::vector<std::pair<PortNo, std::string>> by_number_;  // sorted by number
};

// A reserved word, in any case: IN_PORT, NORMAL, FLOOD, ALL, CONTROLLER, LOCAL, TABLE, NONE, ANY, UNSET.
[[nodiscard]] std::optional<PortNo> reserved_port(std::string_view word) noexcept;

// A number (1 to 0xff00, or OpenFlow's 16- or 32-bit number of a reserved port), a reserved word, or a name; a name in
// double quotes is nothing but a name. Throws TextError with `code`; `column` is where `text` begins.
PortNo parse_port(std::string_view text, const PortNames& names, std::size_t column,
                  std::optional<OfErrorCode> code = std::nullopt);

// What parse_port() takes: the reserved word in capitals, the name (quoted where it could be taken for something else),
// or the number where there is no name.
void append_port(std::string& out, PortNo port, const PortNames& names);

}  // namespace shunt
