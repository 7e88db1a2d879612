// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/text_lines.h"

#include <algorithm>

namespace shunt {
namespace {

// Of a '#' outside quotes; the line's length where there is none.
std::size_t comment_begin(std::string_view line) {
  bool quoted = false;
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (line[at] == '"') quoted = !quoted;
    if (line[at] == '#' && !quoted) return at;
  }
  return line.size();
}

}  // namespace

std::optional<TextLine> LineReader::next() {
  while (begin_ < text_.size()) {
    ++number_;
    const std::size_t end = std::min(text_.find('\n', begin_), text_.size());
    std::string_view line = text_.substr(begin_, end - begin_);
    begin_ = end + 1;
    line = line.substr(0, comment_begin(line));
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) return TextLine{number_, line};
  }
  return {};
}

std::string_view line_of(std::string_view text, std::size_t number) {
  if (number == 0) return text;
  LineReader lines{text};
  while (const auto line = lines.next())
    if (line->number == number) return line->text;
  return {};
}

std::size_t first_column(std::string_view line) {
  const std::size_t first = line.find_first_not_of(", \t\r\n");
  return first == std::string_view::npos ? 1 : first + 1;
}

LeadingWord leading_word(std::string_view line) {
  const std::size_t begin = std::min(line.find_first_not_of(" \t\r\n"), line.size());
  const std::size_t end = std::min(line.find_first_of(", \t\r\n", begin), line.size());
  return {line.substr(begin, end - begin), end};
}

}  // namespace shunt
