// SPDX-License-Identifier: Apache-2.0
// The control socket's input: a stream, cut in two at a place the input names, goes through framing, checking of
// requests and of parameters, and the handlers over a switch without a kernel. Each line must get exactly one reply
// line of JSON.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/control/fake_instance.h"
#include "user/control/commands.h"
#include "user/control/json_rpc.h"

std::vector<std::string> shunt::test::fuzz_seeds() {
  std::vector<std::string> seeds;
  for (
      const char* call : {
          R"("method":"bridge.add","params":{"bridge":"br1"})",
          R"("method":"bridge.show","params":{"bridge":"br0"})",
          R"("method":"port.attach","params":{"bridge":"br0","port":"e2","ofport":7,"trunks":"1,5-7","queues":2})",
          R"("method":"port.attach","params":{"bridge":"br0","port":"e3","tag":9,"mode":"generic","force":true})",
          R"("method":"port.set","params":{"bridge":"br0","port":"eth1","all_vlans":true})",
          R"("method":"port.list","params":{"bridge":"br0"})",
          R"("method":"flow.add","params":{"bridge":"br0","rule":"priority=7,tcp,nw_dst=10.0.0.0/8,actions=eth1"})",
          R"("method":"flow.replace","params":{"bridge":"br0","rules":"# all\narp,actions=normal\nip,actions=drop\n"})",
          R"("method":"flow.del_strict","params":{"bridge":"br0","rule":"priority=7,tcp,cookie=0x1/-1"})",
          R"("method":"flow.list","params":{"bridge":"br0"})",
          R"("method":"cache.list","params":{"limit":10})",
          R"("method":"fdb.add","params":{"bridge":"br0","mac":"02:00:00:00:00:07","port":"eth1","vlan":5})",
          R"("method":"fdb.set","params":{"bridge":"br0","ageing_s":20,"limit":5})",
          R"("method":"drops","params":{"all":true})",
          R"("method":"stats")",
      })
    seeds.push_back("\x80{\"jsonrpc\":\"2.0\",\"id\":1," + std::string{call} + "}\n");
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shunt;
  if (size == 0) return 0;
  const std::string_view stream{reinterpret_cast<const char*>(data) + 1, size - 1};
  const std::size_t cut = stream.size() * data[0] / 255;

  test::FakeInstance instance;
  instance.add_bridge("br0");
  instance.attach_port("br0", {.interface = "eth1", .number = {}, .vlan = {}, .queues = {}, .flags = {}});
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
