// SPDX-License-Identifier: Apache-2.0
// Text that somebody else chose, made safe to show: an interface's name may hold any byte but '/', ':' and blanks, and
// whoever rules a namespace names what is in it. Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace shunt {

// UTF-8 that neither controls a terminal nor changes the direction of what stands around it: of all else each byte
// becomes \xNN.
[[nodiscard]] std::string printable(std::string_view text);

// The text as one word of a command that is shown to be pasted: as it is, or quoted as bash takes it ($'a\x1bb').
[[nodiscard]] std::string shell_word(std::string_view text);

}  // namespace shunt
