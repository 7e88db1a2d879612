// SPDX-License-Identifier: Apache-2.0
// The commands over a switch without a kernel, asked as a client asks.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "tests/unit/control/fake_instance.h"
#include "user/control/commands.h"

namespace shunt::test {

struct Daemon {
  FakeInstance instance;
  Commands commands{instance, {"test", "1.2.3", 4242, Clock::now()}};

  Json reply(std::string_view method, const Json& params = Json::object()) {
    const Json request = {{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}};
    const Json answer = Json::parse(commands.handle(request.dump()));
    REQUIRE(answer.at("id") == 1);
    return answer;
  }
  Json result(std::string_view method, const Json& params = Json::object()) {
    const Json answer = reply(method, params);
    INFO(answer.dump());
    REQUIRE(answer.contains("result"));
    return answer.at("result");
  }
  Json error(std::string_view method, const Json& params = Json::object()) {
    const Json answer = reply(method, params);
    INFO(answer.dump());
    REQUIRE(answer.contains("error"));
    return answer.at("error");
  }
  void with_ports() {
    result("bridge.add", {{"bridge", "br0"}});
    result("port.attach", {{"bridge", "br0"}, {"port", "eth1"}});
    result("port.attach", {{"bridge", "br0"}, {"port", "eth2"}});
  }
};

inline bool says(const Json& error, const char* part) {
  return error.at("message").get<std::string>().find(part) != std::string::npos;
}

}  // namespace shunt::test
