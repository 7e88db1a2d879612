// SPDX-License-Identifier: Apache-2.0
// For commands that go on until they are interrupted: SIGINT and SIGTERM end them in order.
#pragma once

namespace shunt::cli {

void end_on_signals();             // from now on
[[nodiscard]] bool interrupted();  // one of them has come
void pause_for(double seconds);    // or until one comes

}  // namespace shunt::cli
