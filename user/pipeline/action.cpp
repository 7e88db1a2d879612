// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action.h"

namespace shunt {

Action::Action(const Action&) = default;
Action::Action(Action&&) noexcept = default;
Action& Action::operator=(const Action&) = default;
Action& Action::operator=(Action&&) noexcept = default;
Action::~Action() = default;

bool operator==(const Action& a, const Action& b) {
  return static_cast<const Action::variant&>(a) == static_cast<const Action::variant&>(b);
}

}  // namespace shunt
