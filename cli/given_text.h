// SPDX-License-Identifier: Apache-2.0
// Text that a command takes as an argument or from a file: rules, groups, meters. A refusal is shown with the text, a
// caret under the column.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/command.h"

namespace shunt::cli {

struct GivenText {
  std::string text;
  std::string file;  // its name; empty: given on the command line
};

// The argument `argument` ("RULE") or --file, never both; nothing where neither was given.
std::optional<GivenText> given_text(const Invocation& invocation, const char* argument);

// A file that is always one; - is standard input.
GivenText read_text(const std::string& file);

// Calls with `params` and the text as `one` (an argument) or `many` (a file).
Json call_with_text(const Invocation& invocation, std::string_view method, Json params,
                    const std::optional<GivenText>& text, const char* one, const char* many);

}  // namespace shunt::cli
