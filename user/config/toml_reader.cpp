// SPDX-License-Identifier: Apache-2.0
#include "user/config/toml_reader.h"

#include <algorithm>
#include <vector>

#include "user/flow/field_text.h"

namespace shunt {
namespace {

ConfigPlace place_of(const toml::source_region& source, std::string path) {
  return {source.begin.line, source.begin.column, std::move(path), {}};
}

std::string_view type_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

}  // namespace

void TomlReader::only(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, value] : table_) {
    if (std::find(keys.begin(), keys.end(), key.str()) != keys.end()) continue;
    const std::vector<std::string_view> names{keys};
    const std::string_view near = nearest(key.str(), names);
    refuse(place_of(key.source(), path_of(key.str())),
           near.empty() ? fmt::format("unknown key; there are {}", fmt::join(names, ", "))
                        : fmt::format("unknown key (did you mean '{}'?)", near));
  }
}

std::optional<std::string> TomlReader::text(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_string()) return value->get();
  fail(key, "is {}, and must be a text", type_of(*node));
}

std::optional<std::int64_t> TomlReader::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value == nullptr) fail(key, "is {}, and must be a whole number from {} to {}", type_of(*node), min, max);
  if (value->get() < min || value->get() > max) fail(key, "{}: must be from {} to {}", value->get(), min, max);
  return value->get();
}

std::optional<bool> TomlReader::flag(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  fail(key, "is {}, and must be true or false", type_of(*node));
}

std::optional<std::size_t> TomlReader::choice(std::string_view key,
                                              std::initializer_list<std::string_view> choices) const {
  const auto word = text(key);
  if (!word) return std::nullopt;
  const auto* found = std::find(choices.begin(), choices.end(), *word);
  if (found == choices.end()) fail(key, "'{}': must be one of {}", *word, fmt::join(choices, ", "));
  return static_cast<std::size_t>(found - choices.begin());
}

const toml::table* TomlReader::table(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return nullptr;
  if (const auto* value = node->as_table()) return value;
  fail(key, "is {}, and must be a table", type_of(*node));
}

const toml::array* TomlReader::array(std::string_view key) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return nullptr;
  if (const auto* value = node->as_array()) return value;
  fail(key, "is {}, and must be a list", type_of(*node));
}

std::optional<std::vector<ConfigPlace>> TomlReader::texts(std::string_view key) const {
  const toml::array* list = array(key);
  if (list == nullptr) return std::nullopt;
  std::vector<ConfigPlace> texts;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const toml::node& node = *list->get(i);
    ConfigPlace place = place_of(node.source(), fmt::format("{}[{}]", path_of(key), i));
    const auto* value = node.as_string();
    if (value == nullptr) refuse(place, fmt::format("is {}, and must be a text", type_of(node)));
    place.text = value->get();
    ++place.column;  // behind its quote
    texts.push_back(std::move(place));
  }
  return texts;
}

std::string TomlReader::path_of(std::string_view key) const {
  // As TOML would want it written.
  const bool is_bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  const std::string name = is_bare ? std::string{key} : fmt::format("\"{}\"", key);
  return path_.empty() ? name : path_ + '.' + name;
}

ConfigPlace TomlReader::place() const { return place_of(table_.source(), path_); }

ConfigPlace TomlReader::place(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return place_of(node == nullptr ? table_.source() : node->source(), path_of(key));
}

void TomlReader::refuse(const ConfigPlace& place, const std::string& message, std::optional<OfErrorCode> code) {
  throw LineError(place.line, place.column, fmt::format("{}: {}", place.path, message), code);
}

}  // namespace shunt
