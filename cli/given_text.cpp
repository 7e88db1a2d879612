// SPDX-License-Identifier: Apache-2.0
#include "cli/given_text.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <vector>

namespace shunt::cli {
namespace {

constexpr std::size_t kMaxFileBytes = 60 << 20;  // the daemon takes requests of 64 MiB; escapes need room
constexpr std::size_t kShownBytes = 100;         // of a line in an error

std::string read_all(std::istream& in, const std::string& name) {
  std::string text;
  std::vector<char> buffer(1 << 16);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxFileBytes) throw Error("'{}' is longer than {} bytes", name, kMaxFileBytes);
  }
  if (in.bad()) throw Error("'{}' cannot be read", name);
  return text;
}

std::string read_file(const std::string& name) {
  if (name == "-") return read_all(std::cin, "standard input");
  std::ifstream file{name, std::ios::binary};
  if (!file) throw_errno(errno, fmt::format("file '{}'", name));
  return read_all(file, name);
}

std::string_view line_at(std::string_view text, std::size_t number) {
  for (std::size_t i = 1; i < number; ++i) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

// The reason, and the text with a caret under the column. A long line is cut to what surrounds it.
Error pointed_error(const GivenText& given, const Refused& refused) {
  const std::size_t column = refused.column.value_or(1);
  std::string_view line = line_at(given.text, refused.line.value_or(1));
  std::size_t at = std::min(column - std::min<std::size_t>(column, 1), line.size());
  if (at > kShownBytes / 2 && line.size() > kShownBytes) {
    const std::size_t cut = std::min(at - kShownBytes / 2, line.size() - kShownBytes);
    line.remove_prefix(cut);
    at -= cut;
  }
  line = line.substr(0, kShownBytes);
  const std::string where = given.file.empty() ? "" : fmt::format("{}: ", given.file);
  if (!refused.column) return Error("{}{}\n  {}", where, refused.what(), line);
  std::string pad;
  for (const char c : line.substr(0, at)) pad += c == '\t' ? '\t' : ' ';
  return Error("{}{}\n  {}\n  {}^", where, refused.what(), line, pad);
}

}  // namespace

std::optional<GivenText> given_text(const Invocation& invocation, const char* argument) {
  const auto one = invocation.optional_text(argument);
  const auto file = invocation.optional_text("file");
  if (one && file) throw UsageError("give {} or --file, not both", argument);
  if (file) return GivenText{read_file(*file), *file};
  if (one) return GivenText{*one, ""};
  return std::nullopt;
}

GivenText read_text(const std::string& file) { return {read_file(file), file}; }

Json call_with_text(const Invocation& invocation, std::string_view method, Json params,
                    const std::optional<GivenText>& text, const char* one, const char* many) {
  if (text) params[text->file.empty() ? one : many] = text->text;
  try {
    return invocation.call(method, params);
  } catch (const Refused& refused) {
    if (!text || (!refused.column && !refused.line)) throw;
    throw pointed_error(*text, refused);
  }
}

}  // namespace shunt::cli
