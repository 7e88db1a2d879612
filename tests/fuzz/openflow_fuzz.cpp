// SPDX-License-Identifier: Apache-2.0
// An OpenFlow connection's input: a stream of messages, of the version that the first byte names, cut in two, goes
// through framing, every decoder and the handlers over a switch without a kernel. Whatever is written back must be
// whole messages; and a flow-mod that is taken is encoded, and taken again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/openflow_seeds.h"
#include "tests/unit/control/fake_instance.h"
#include "user/openflow/codec/flow_codec.h"
#include "user/openflow/session.h"

using namespace shunt;
using namespace shunt::openflow;

namespace {

// Each message that comes back is whole, and of the session's version or a hello.
void check_output(const std::vector<std::uint8_t>& bytes) {
  for (Bytes left{bytes}; !left.empty();) {
    FUZZ_CHECK(left.size() >= kHeaderSize);
    const Header header = read_header(left);
    FUZZ_CHECK(header.length >= kHeaderSize && header.length <= left.size());
    left = left.subspan(header.length);
  }
}

}  // namespace

std::vector<std::string> shunt::test::fuzz_seeds() {
  std::vector<std::string> seeds;
  for (auto& [name, seed] : openflow_seeds()) seeds.push_back(seed);
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Version version = kVersions[data[0] % kVersions.size()];
  const Bytes stream{data + 2, size - 2};
  const std::size_t cut = stream.size() * data[1] / 255;

  test::FakeInstance instance;
  instance.add_bridge("br0");
  instance.attach_port("br0", {.interface = "eth1", .number = {}, .vlan = {}, .mode = {}, .queues = {}, .flags = {}});
  BridgeAgent agent{instance, BridgeId{1}, "br0"};
  Session session{agent, Session::Kind::kController};
  Writer hello;
  { const MessageScope message{hello, number_of(version), kHelloType, 1}; }
  session.feed(hello.bytes());
  for (const Bytes part : {stream.first(cut), stream.subspan(cut)}) {
    session.feed(part);
    for (int turns = 0; turns < 100 && session.process(); ++turns) check_output(session.take_output());
    check_output(session.take_output());
  }

  for (const FlowMod& mod : instance.last_mods) {
    FlowModMessage change;
    change.mod = mod;
    Writer out;
    encode_flow_mod(out, change, version, 1);
    if (out.size() > kMaxMessage) continue;
    const Header header = read_header(out.bytes());
    FUZZ_CHECK(header.length == out.size());
    try {
      const Bytes body = out.bytes().subspan(version == Version::k10 ? 2 * kHeaderSize : kHeaderSize);
      const FlowModMessage back =
          version == Version::k10 ? decode_nx_flow_mod(body, true) : decode_flow_mod(body, version, false);
      FUZZ_CHECK(back.mod.match == mod.match);
    } catch (const OfError&) {
      // What OpenFlow 1.0's actions do without a prerequisite, its extensions refuse.
      FUZZ_CHECK(version == Version::k10);
    }
  }
  return 0;
}
