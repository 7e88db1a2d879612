// SPDX-License-Identifier: Apache-2.0
// The control socket's input: a stream, cut in two at a place the input names, goes through framing, checking of
// requests and of parameters, and the handlers over a switch without a kernel. Each line must get exactly one reply
// line of JSON.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tests/unit/control/fake_instance.h"
#include "user/control/commands.h"
#include "user/control/json_rpc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shunt;
  if (size == 0) return 0;
  const std::string_view stream{reinterpret_cast<const char*>(data) + 1, size - 1};
  const std::size_t cut = stream.size() * data[0] / 255;

  test::FakeInstance instance;
  instance.add_bridge("br0");
  instance.attach_port("br0", {.interface = "eth1", .number = {}, .vlan = {}, .queues = {}});
  Commands commands{instance, {"fuzz", "0", 1, Clock::now()}};
  LineFramer framer{1 << 16};
  for (const std::string_view part : {stream.substr(0, cut), stream.substr(cut)}) {
    framer.feed(part);
    while (const auto line = framer.next()) {
      const std::string reply = commands.handle(*line);
      if (reply.find('\n') != std::string::npos) std::abort();
      const Json answer = Json::parse(reply);
      if (answer.contains("result") == answer.contains("error")) std::abort();
    }
  }
  return 0;
}
