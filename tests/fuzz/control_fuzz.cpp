// SPDX-License-Identifier: Apache-2.0
// The control socket's input: a stream, cut in two at a place the input names, goes through framing, checking of
// requests and of parameters, and the handlers over a switch without a kernel. Each line must get exactly one reply
// line of JSON.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/control/fake_instance.h"
#include "user/control/commands.h"
#include "user/control/json_rpc.h"

namespace shunt {
namespace {

// What a parameter of text holds, by its name.
Json sample_text(std::string_view name) {
  static const std::map<std::string_view, std::string_view> samples{
      {"rule", "priority=7,tcp,nw_dst=10.0.0.0/8,actions=eth1"},
      {"rules", "# all\narp,actions=normal\nip,actions=drop\n"},
      {"group", "group_id=1,type=select,bucket=weight:2,actions=eth1"},
      {"groups", "group_id=1,type=all,bucket=actions=eth1\ngroup_id=2,type=indirect,bucket=actions=drop\n"},
      {"meter", "meter=1,kbps,burst,bands=type=drop,rate=1000,burst_size=100"},
      {"meters", "meter=1,pktps,bands=type=drop,rate=10\nmeter=2,kbps,bands=type=dscp_remark,rate=1,prec_level=1\n"},
      {"config", "[bridges.br0]\nfail-mode = \"secure\"\n[bridges.br0.ports.eth1]\ntag = 5\nqueues = 2\n"},
      {"filter", "ip6 and (tcp port 80 or udp[8:2] = 0xabcd) and not vlan 5 and greater 100"},
      {"target", "ssl:[2001:db8::1]:6653"},
      {"key", "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800)"},
      {"flow", "in_port=eth1,tcp,nw_src=10.0.0.1,tp_dst=80"},
      {"frame", "020000000001020000000002080045000014"},
      {"in_port", "eth1"},
      {"flood_vlans", "5,10-20"},
      {"datapath_id", "00000000000000aa"},
      {"name", "classify"},
  };
  const auto found = samples.find(name);
  return found == samples.end() ? "text" : found->second;
}

Json sample(const ParamSpec& param) {
  switch (param.type) {
    case ParamType::kInterface:
      return param.name == "bridge" ? "br0" : "eth1";
    case ParamType::kMac:
      return "02:00:00:00:00:07";
    case ParamType::kVlans:
      return "1,5-7";
    case ParamType::kChoice:
      return param.choices.substr(0, param.choices.find('|'));
    case ParamType::kText:
      return sample_text(param.name);
    case ParamType::kInteger:
      return std::min<std::uint64_t>(std::max<std::uint64_t>(param.min, 5), param.max);
    case ParamType::kFlag:
      return true;
  }
  return nullptr;
}

}  // namespace
}  // namespace shunt

// Every method: with all its parameters, and with those alone that it must have.
std::vector<std::string> shunt::test::fuzz_seeds() {
  FakeInstance instance;
  const Commands commands{instance, {"fuzz", "0", 1, Clock::now()}};
  std::vector<std::string> seeds;
  for (const Method* method : commands.methods()) {
    Json all = Json::object(), least = Json::object();
    for (const ParamSpec& param : method->params) {
      all[std::string{param.name}] = sample(param);
      if (param.required) least[std::string{param.name}] = sample(param);
    }
    for (const Json& params : {all, least})
      seeds.push_back("\x80" +
                      Json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", method->name}, {"params", params}}.dump() + "\n");
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shunt;
  if (size == 0) return 0;
  const std::string_view stream{reinterpret_cast<const char*>(data) + 1, size - 1};
  const std::size_t cut = stream.size() * data[0] / 255;

  test::FakeInstance instance;
  instance.add_bridge("br0");
  instance.attach_port("br0", {.interface = "eth1", .number = {}, .vlan = {}, .mode = {}, .queues = {}, .flags = {}});
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
