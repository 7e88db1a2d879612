// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/control/daemon.h"

#include <doctest/doctest.h>

#include <string>

namespace shunt::test {

Json Daemon::reply(std::string_view method, const Json& params) {
  const Json request = {{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}};
  const Json answer = Json::parse(commands.handle(request.dump()));
  REQUIRE(answer.at("id") == 1);
  return answer;
}

Json Daemon::result(std::string_view method, const Json& params) {
  const Json answer = reply(method, params);
  INFO(answer.dump());
  REQUIRE(answer.contains("result"));
  return answer.at("result");
}

Json Daemon::error(std::string_view method, const Json& params) {
  const Json answer = reply(method, params);
  INFO(answer.dump());
  REQUIRE(answer.contains("error"));
  return answer.at("error");
}

void Daemon::with_ports() {
  result("bridge.add", {{"bridge", "br0"}});
  result("port.attach", {{"bridge", "br0"}, {"port", "eth1"}});
  result("port.attach", {{"bridge", "br0"}, {"port", "eth2"}});
}

bool says(const Json& error, const char* part) {
  return error.at("message").get<std::string>().find(part) != std::string::npos;
}

}  // namespace shunt::test
