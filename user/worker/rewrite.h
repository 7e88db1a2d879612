// SPDX-License-Identifier: Apache-2.0
// All the edits of a list as one rewrite (maps/actions.h), which takes the kernel fewer instructions than they do.
//
// Pure. Threads: any.
#pragma once

#include <optional>
#include <span>

#include "maps/actions.h"

namespace shunt {

struct Rewrite {
  shunt_rewrite_outer outer;
  shunt_rewrite_inner inner;
};
static_assert(sizeof(Rewrite) == SHUNT_REWRITE_ELEMENTS * sizeof(shunt_action));

// What a list of edits before one OUTPUT or OUTPUT_GROUP makes of any frame. Nothing where that depends on more of the
// frame than a rewrite knows of (a second tag, labels, parts of addresses), or is no edit (meters, samples, cuts).
[[nodiscard]] std::optional<Rewrite> rewrite_of(std::span<const shunt_action> actions);

}  // namespace shunt
