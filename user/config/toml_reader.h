// SPDX-License-Identifier: Apache-2.0
// One table of a TOML file, read strictly: a key that is none, a value of another type or out of range is refused where
// it stands, under its whole path. Throws LineError. Threads: one file, one thread.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "user/base/error.h"
#include "user/config/config.h"
#include "user/pipeline/rule_text.h"

namespace shunt {

class TomlReader {
 public:
  TomlReader(const toml::table& table, std::string path) : table_{table}, path_{std::move(path)} {}

  // The keys that there may be; another is refused, with the one that it was meant to be.
  void only(std::initializer_list<std::string_view> keys) const;

  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const;
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  [[nodiscard]] std::optional<bool> flag(std::string_view key) const;
  // One of `choices`: its number.
  [[nodiscard]] std::optional<std::size_t> choice(std::string_view key,
                                                  std::initializer_list<std::string_view> choices) const;
  [[nodiscard]] const toml::table* table(std::string_view key) const;
  [[nodiscard]] const toml::array* array(std::string_view key) const;
  // A list of texts, each with its place.
  [[nodiscard]] std::optional<std::vector<ConfigPlace>> texts(std::string_view key) const;

  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] ConfigPlace place() const;
  [[nodiscard]] ConfigPlace place(std::string_view key) const;
  // What is wrong with the value of `key`.
  template <typename... Args>
  [[noreturn]] void fail(std::string_view key, fmt::format_string<Args...> format, Args&&... args) const {
    refuse(place(key), fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] static void refuse(const ConfigPlace& place, const std::string& message,
                                  std::optional<OfErrorCode> code = std::nullopt);

 private:
  const toml::table& table_;
  std::string path_;
};

}  // namespace shunt
