// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/shared_switch.h"

namespace shunt::test {

Switch& shared_switch() {
  static Switch instance;
  instance.reset();
  return instance;
}

}  // namespace shunt::test
