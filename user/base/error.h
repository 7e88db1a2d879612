// SPDX-License-Identifier: Apache-2.0
// Errors of the control path (start-up, configuration, netlink, commands): thrown, and caught only in main, in the
// control socket's request loop and in a controller session's message loop. The packet path returns outcomes instead.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace shunt {

// A refusal that a user reads: it names the object and the remedy.
class Error : public std::runtime_error {
 public:
  template <typename... Args>
  explicit Error(fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

enum class OfErrorCode : std::uint8_t;  // user/base/of_error.h

// A refusal that points into a text the user gave; `column` counts from 1. `code` where OpenFlow has a name for it.
class TextError : public Error {
 public:
  TextError(std::size_t column, const std::string& message, std::optional<OfErrorCode> code = std::nullopt)
      : Error("column {}: {}", column, message), column_{column}, reason_{message}, code_{code} {}
  [[nodiscard]] std::size_t column() const { return column_; }
  [[nodiscard]] const std::string& reason() const { return reason_; }  // what() without the column
  [[nodiscard]] std::optional<OfErrorCode> code() const { return code_; }

 private:
  std::size_t column_;
  std::string reason_;
  std::optional<OfErrorCode> code_;
};

// Throws std::system_error of `error` (positive or negative errno), naming the operation and its object.
[[noreturn]] inline void throw_errno(int error, const std::string& operation) {
  throw std::system_error(error < 0 ? -error : error, std::generic_category(), operation);
}

// For system calls that return -1 and set errno: passes the result on, or throws.
inline int check(int result, const std::string& operation) {
  if (result < 0) throw_errno(errno, operation);
  return result;
}

// For libbpf calls that return -errno: passes the result on, or throws.
inline int check_libbpf(int result, const std::string& operation) {
  if (result < 0) throw_errno(result, operation);
  return result;
}

}  // namespace shunt
