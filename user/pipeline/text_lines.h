// SPDX-License-Identifier: Apache-2.0
// Files of rules, groups and meters: a thing a line, '#' comments, blank lines, a command word in front where one is
// given. Threads: any.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

namespace shunt {

struct TextLine {
  std::size_t number;     // from 1
  std::string_view text;  // without its comment and line break
};

// Lines that say something.
class LineReader {
 public:
  explicit LineReader(std::string_view text) : text_{text} {}
  std::optional<TextLine> next();

 private:
  std::string_view text_;
  std::size_t begin_ = 0, number_ = 0;
};

// Line `number` of them, without its comment; the whole text where that is 0, for it is no file then.
std::string_view line_of(std::string_view text, std::size_t number);
// Where what a line says begins, from 1.
std::size_t first_column(std::string_view line);

// The word that a line begins with, and where what follows it begins.
struct LeadingWord {
  std::string_view word;
  std::size_t end;
};
LeadingWord leading_word(std::string_view line);

template <typename Command>
struct CommandWord {
  std::string_view word;
  Command command;
};

// The command that `line` begins with, or the default one, and where the rest of it begins.
template <typename Command, std::size_t kCount>
std::pair<Command, std::size_t> leading_command(std::string_view line,
                                                const std::array<CommandWord<Command>, kCount>& words,
                                                Command default_command) {
  const LeadingWord leading = leading_word(line);
  for (const CommandWord<Command>& word : words)
    if (word.word == leading.word) return {word.command, leading.end};
  return {default_command, 0};
}

}  // namespace shunt
