// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>

namespace shunt::cli {
namespace {

// "BR", "[ID]": in capitals; options are not.
bool is_argument(const char* name) { return name[0] >= 'A' && name[0] <= 'Z'; }

}  // namespace

std::optional<std::string> Invocation::optional_text(const char* name) const {
  if (!has(name)) return std::nullopt;
  return text(name);
}

std::optional<std::uint64_t> Invocation::number(const char* name) const {
  if (!has(name)) return std::nullopt;
  const std::string& given = text(name);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc{} || end != given.data() + given.size())
    throw UsageError("{}{} {}: must be a number", is_argument(name) ? "" : "--", name, given);
  return value;
}

std::optional<double> Invocation::seconds(const char* name) const {
  if (!has(name)) return std::nullopt;
  const std::string& given = text(name);
  double value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc{} || end != given.data() + given.size() || !(value > 0) || value > 1'000'000)
    throw UsageError("--{} {}: must be a number of seconds above 0", name, given);
  return value;
}

std::optional<bool> Invocation::on_or_off(const char* name) const {
  if (!has(name)) return std::nullopt;
  const std::string& given = text(name);
  if (given != "on" && given != "off") throw UsageError("--{} {}: must be on or off", name, given);
  return given == "on";
}

int Invocation::show(std::string_view method, const Json& params, void (*show_text)(const Json& answer)) const {
  const Json answer = call(method, params);
  if (json_)
    show_json(answer);
  else
    show_text(answer);
  return kDone;
}

void show_table(const std::vector<std::string>& headers, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::string> titles;
  std::vector<bool> right;
  std::vector<std::size_t> widths;
  for (const std::string& header : headers) {
    right.push_back(header.starts_with('>'));
    titles.push_back(right.back() ? header.substr(1) : header);
    widths.push_back(titles.back().size());
  }
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());

  const auto show_row = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i != 0) line += "  ";
      line += right[i] ? fmt::format("{:>{}}", row[i], widths[i]) : fmt::format("{:<{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::cout << line << '\n';
  };
  show_row(titles);
  for (const auto& row : rows) show_row(row);
}

std::string cell(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.dump();
}

void show_json(const Json& value) { std::cout << value.dump(2, ' ', false, Json::error_handler_t::replace) << '\n'; }

}  // namespace shunt::cli
