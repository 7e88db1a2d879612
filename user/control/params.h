// SPDX-License-Identifier: Apache-2.0
// Parameters of a command: what each method takes is declared, and checked in one place before the handler runs. An
// unknown, missing or wrong parameter is refused by its name, with what would be right.
// Threads: any; nothing is shared.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "user/base/strong_types.h"
#include "user/control/json_rpc.h"
#include "user/l2/vlan.h"

namespace shunt {

enum class ParamType {
  kInterface,  // the name of a bridge or an interface
  kMac,        // "02:00:5e:10:00:01"
  kVlans,      // "1,5,10-20"
  kChoice,     // one of `choices`, written a|b|c
  kText,       // any string; the request's size is its bound
  kInteger,    // from `min` to `max`
  kFlag,       // true or false
};

struct ParamSpec {
  std::string_view name;
  ParamType type;
  bool required = false;
  std::uint64_t min = 0, max = 0;
  std::string_view choices = {};
};

// Checked parameters of one call. The getters take names and types that the method's specs declare.
class Arguments {
 public:
  // Throws RpcError(kInvalidParams). `params` must outlive the object.
  Arguments(std::span<const ParamSpec> specs, const Json& params);

  [[nodiscard]] bool has(std::string_view name) const { return params_.contains(name); }
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] const std::string& text(std::string_view name) const;  // required ones
  [[nodiscard]] std::optional<std::string> optional_text(std::string_view name) const;
  [[nodiscard]] std::optional<std::uint64_t> integer(std::string_view name) const;
  [[nodiscard]] MacAddr mac(std::string_view name) const;
  [[nodiscard]] std::optional<VlanSet> vlans(std::string_view name) const;

 private:
  const Json& params_;
};

}  // namespace shunt
