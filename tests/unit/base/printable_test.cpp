// SPDX-License-Identifier: Apache-2.0
#include "user/base/printable.h"

#include <doctest/doctest.h>

using namespace shunt;

TEST_SUITE("printable") {
  TEST_CASE("text stays as it is, in any script") {
    for (const char* text : {"", "eth0", "a$b`c'd\"e\\f", "bär0", "桥0", "\U0001f309"}) CHECK(printable(text) == text);
  }

  TEST_CASE("what is no UTF-8 is shown byte by byte") {
    CHECK(printable("\xff") == "\\xff");
    CHECK(printable("a\xc3") == "a\\xc3");                           // cut off
    CHECK(printable("\xc3(") == "\\xc3(");                           // what follows is no continuation
    CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");                    // longer than need be
    CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // half of a UTF-16 pair
    CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // beyond Unicode
  }

  TEST_CASE("nothing reaches a terminal that it would obey") {
    CHECK(printable("\x1b[31mred") == "\\x1b[31mred");
    CHECK(printable("a\nb\tc\x7f") == "a\\x0ab\\x09c\\x7f");
    CHECK(printable("\u009b31m") == "\\xc2\\x9b31m");     // CSI in one character
    CHECK(printable("a\u202eb") == "a\\xe2\\x80\\xaeb");  // from right to left
  }

  TEST_CASE("a word of a command is one word, whatever it holds") {
    CHECK(shell_word("eth0.5@x") == "eth0.5@x");
    CHECK(shell_word("") == "$''");
    CHECK(shell_word("$(id);'\x1b") == "$'\\x24\\x28id\\x29\\x3b\\x27\\x1b'");
  }
}
