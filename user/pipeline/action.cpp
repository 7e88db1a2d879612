// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action.h"

namespace shunt {

Action::Action(const Action&) = default;
Action::Action(Action&&) noexcept = default;
Action& Action::operator=(const Action&) = default;
Action& Action::operator=(Action&&) noexcept = default;
Action::~Action() = default;

SetFieldAction set_field(const Field& field, FieldBits value, FieldBits mask) noexcept {
  mask &= value_bits(field);
  return {&field, value & mask, mask};
}

Match written_by(const SetFieldAction& set) noexcept {
  Match written;
  write_field(*set.field, written.value, set.value);
  write_field(*set.field, written.mask, set.mask);
  return written;
}

bool operator==(const Action& a, const Action& b) {
  return static_cast<const Action::variant&>(a) == static_cast<const Action::variant&>(b);
}

}  // namespace shunt
