// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/control/fake_instance.h"

namespace shunt::test {

FakeInstance::FakeInstance() = default;
FakeInstance::~FakeInstance() = default;

}  // namespace shunt::test
