// SPDX-License-Identifier: Apache-2.0
#include "user/base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace shunt {
namespace {

// The character that `text` begins with, if it is UTF-8 in its shortest form; how many bytes it has, 0: it is not.
std::size_t take_character(std::string_view text, std::uint32_t& character) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (size == 0 || first > 0xf4 || size > text.size()) return 0;
  character = size == 1 ? first : first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    character = character << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = character >= 0xd800 && character < 0xe000;
  return character < kLeast[size] || character > 0x10ffff || surrogate ? 0 : size;
}

bool is_shown(std::uint32_t character) {
  const auto within = [character](std::uint32_t first, std::uint32_t last) {
    return character >= first && character <= last;
  };
  const bool control = character < 0x20 || within(0x7f, 0x9f) || within(0x2028, 0x2029);
  return !control && !within(0x200b, 0x200f) && !within(0x202a, 0x202e) && !within(0x2060, 0x206f);
}

void append_hex(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<std::uint8_t>(byte));
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view{"._-+@%,=/:"}.find(c) != std::string_view::npos;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::uint32_t character = 0;
    const std::size_t size = take_character(text, character);
    const std::string_view bytes = text.substr(0, std::max<std::size_t>(size, 1));
    if (size != 0 && is_shown(character))
      out += bytes;
    else
      append_hex(out, bytes);
    text.remove_prefix(bytes.size());
  }
  return out;
}

std::string shell_word(std::string_view text) {
  if (!text.empty() && std::ranges::all_of(text, is_plain)) return std::string{text};
  std::string out = "$'";
  for (const char c : text) {
    if (is_plain(c))
      out += c;
    else
      append_hex(out, {&c, 1});
  }
  return out + "'";
}

}  // namespace shunt
