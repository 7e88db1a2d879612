// SPDX-License-Identifier: Apache-2.0
// The commands over a switch without a kernel, asked as a client asks.
#pragma once

#include <string_view>

#include "tests/unit/control/fake_instance.h"
#include "user/control/commands.h"

namespace shunt::test {

struct Daemon {
  FakeInstance instance;
  Commands commands{instance, {"test", "1.2.3", 4242, Clock::now()}};

  Json reply(std::string_view method, const Json& params = Json::object());
  // These require that the reply has a result, or an error.
  Json result(std::string_view method, const Json& params = Json::object());
  Json error(std::string_view method, const Json& params = Json::object());
  void with_ports();
};

bool says(const Json& error, const char* part);

}  // namespace shunt::test
