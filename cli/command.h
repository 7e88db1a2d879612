// SPDX-License-Identifier: Apache-2.0
// A command of `shunt`: its words, arguments, options and what runs. One table a group, in cli/commands/; cli/shunt.cpp
// finds the command, and makes help and usage errors from the same table.
#pragma once

#include <boost/program_options.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "user/base/error.h"

namespace shunt::cli {

namespace po = boost::program_options;

inline constexpr int kDone = 0, kRefusedStatus = 1, kUsageStatus = 2, kNotStoredStatus = 3;  // exit statuses

// A command line that cannot be right.
class UsageError : public Error {
  using Error::Error;
};

struct Option {
  std::string_view name;
  std::string_view value;  // what stands in the help for its value; empty: a switch
  std::string_view help;
};

// What a command was given.
class Invocation {
 public:
  Invocation(Client& client, bool json, const po::variables_map& values)
      : client_{client}, json_{json}, values_{values} {}

  [[nodiscard]] bool json() const { return json_; }
  [[nodiscard]] bool has(const char* name) const { return values_.count(name) != 0; }
  [[nodiscard]] bool is_on(const char* name) const { return values_[name].as<bool>(); }
  [[nodiscard]] const std::string& text(const char* name) const { return values_[name].as<std::string>(); }
  [[nodiscard]] std::optional<std::string> optional_text(const char* name) const;
  [[nodiscard]] std::optional<std::uint64_t> number(const char* name) const;
  [[nodiscard]] std::optional<double> seconds(const char* name) const;  // above 0
  [[nodiscard]] std::optional<bool> on_or_off(const char* name) const;

  Json call(std::string_view method, const Json& params = Json::object()) const { return client_.call(method, params); }
  // Asks, and shows the answer: as it came where --json was given, else by `show`.
  int show(std::string_view method, const Json& params, void (*show_text)(const Json& answer)) const;
  [[nodiscard]] Client& client() const { return client_; }  // for what is more than question and answer

 private:
  Client& client_;
  bool json_;
  const po::variables_map& values_;
};

struct Command {
  std::string_view group;                   // "port"
  std::string_view verb;                    // "attach"; empty: the group is the command
  std::vector<std::string_view> arguments;  // "BR", "IFACE"; "[RULE]" may be left out
  std::string_view summary;
  std::vector<Option> options;
  bool reads;  // takes --json
  int (*run)(const Invocation& invocation);
};

std::span<const Command> bridge_commands();
std::span<const Command> port_commands();
std::span<const Command> flow_commands();
std::span<const Command> cache_commands();
std::span<const Command> capture_commands();
std::span<const Command> config_commands();
std::span<const Command> controller_commands();
std::span<const Command> doctor_commands();
std::span<const Command> fdb_commands();
std::span<const Command> group_commands();
std::span<const Command> meter_commands();
std::span<const Command> monitor_commands();
std::span<const Command> packet_in_commands();
std::span<const Command> stats_commands();
std::span<const Command> table_commands();
std::span<const Command> top_commands();
std::span<const Command> trace_commands();
std::span<const Command> worker_commands();

// Columns as wide as their widest cell; those whose header begins with '>' are aligned to the right.
void show_table(const std::vector<std::string>& headers, const std::vector<std::vector<std::string>>& rows);
// A JSON value as a cell: text without quotes, null as "-".
std::string cell(const Json& value);
void show_json(const Json& value);

}  // namespace shunt::cli
