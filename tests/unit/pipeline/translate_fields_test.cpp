// SPDX-License-Identifier: Apache-2.0
// Fields, registers, the stack, queues: what is written, and what of the packet an answer depends on by that.
#include <doctest/doctest.h>

#include "tests/support/pipeline_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

const Match kAny{};
constexpr auto kXreg0 = FieldId::kXreg0;
constexpr auto kXxreg0 = FieldId::kXxreg0;

ResubmitAction resubmit(unsigned table) { return {std::nullopt, static_cast<std::uint8_t>(table)}; }

FlowMask only(std::initializer_list<FieldId> ids) {
  FlowMask mask{};
  mask.in_port = ~std::uint32_t{0};
  for (const FieldId id : ids) add_mask(mask, flow_part(field_mask(field(id))));
  return mask;
}

}  // namespace

TEST_SUITE("translate: fields") {
  TEST_CASE("a register that holds bits of the packet depends on these bits, when they are taken") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {move_bits(bits_of(FieldId::kEthSrc, 0, 8), bits_of(kReg0, 8, 8)), dst(1), resubmit(1)});
    sw.rule(1, 1, match_on(kReg0, 0x0a00, 0xff00), {to_port(2)});
    sw.rule(1, 2, match_on(kReg0, 0x0b00, 0xff00), {to_port(3)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == dst_text(1) + " 2");
    FlowMask wanted = only({});
    wanted.eth_src[5] = 0xff;
    CHECK(equal(result.mask, wanted));
    CHECK(text(sw.run(eth_key(1, kB))) == dst_text(1) + " 3");
  }

  TEST_CASE("registers have views of 64 and 128 bits") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {set_field(kXreg0, 0x1122334455667788), resubmit(1)});
    sw.rule(1, 1, match_on(kReg0, 0x11223344) && match_on(kReg1, 0x55667788), {to_port(2)});
    CHECK(text(sw.run(eth_key())) == "2");
    sw.rule(0, 2, kAny,
            {set_field(kXxreg0, FieldBits{3} << 96 | 2), OutputFieldAction{whole(kReg0)},
             OutputFieldAction{bits_of(kXxreg0, 0, 16)}});
    CHECK(text(sw.run(eth_key())) == "3 2");
  }

  TEST_CASE("set_field under a mask leaves the other bits, of registers as of headers") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny,
            {set_field(kReg0, 0xff), set_field(kReg0, 0x10, 0x3f), set_field(FieldId::kIpDst, 0x0900, 0xff00),
             resubmit(1)});
    sw.rule(1, 1, match_on(kReg0, 0xd0), {to_port(2)});
    CHECK(text(sw.run(tcp_key())) == set_text(SHUNT_FIELD_IP_DST, "00000900", "0000ff00") + " 2");
  }

  TEST_CASE("metadata is written under its mask, and starts as zero") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, match_on(FieldId::kMetadata, 0), {WriteMetadataAction{0xab00, 0xff00}, resubmit(1)});
    sw.rule(1, 1, match_on(FieldId::kMetadata, 0xab00), {WriteMetadataAction{0x0b, 0x0f}, resubmit(2)});
    sw.rule(2, 1, match_on(FieldId::kMetadata, 0xab0b), {to_port(2)});
    CHECK(text(sw.run(eth_key())) == "2");
  }

  TEST_CASE("edits of one field that no output parts are one edit, and what is so already is none") {
    HandmadeBridge sw{4};
    const auto with = [&](ActionList actions) {
      static std::uint16_t priority = 1;
      sw.rule(0, priority++, kAny, std::move(actions));
      return text(sw.run(tcp_key()));
    };
    CHECK(with({dst(1), set_field(FieldId::kEthSrc, 7), dst(2), to_port(2)}) ==
          dst_text(2) + " " + set_text(SHUNT_FIELD_ETH_SRC, "000000000007", "ffffffffffff") + " 2");
    CHECK(with({dst(1), to_port(3), dst(1), to_port(2)}) == dst_text(1) + " 3 2");
    CHECK(with({dst(1), to_port(3), dst(2), to_port(2)}) == dst_text(1) + " 3 " + dst_text(2) + " 2");
    // A bit that was looked at is the same in each packet of the flow; one that was not may differ.
    CHECK(with({move_bits(whole(FieldId::kIpSrc), whole(kReg0)), set_field(FieldId::kIpSrc, 0x0a000001), to_port(2)}) ==
          "2");
    CHECK(with({set_field(FieldId::kIpSrc, 0x0a000001), to_port(2)}) ==
          set_text(SHUNT_FIELD_IP_SRC, "0a000001", "ffffffff") + " 2");
    CHECK(with({set_field(FieldId::kIpSrc, 0x05, 0x0f), set_field(FieldId::kIpSrc, 0x60, 0xf0), to_port(2)}) ==
          set_text(SHUNT_FIELD_IP_SRC, "00000065", "000000ff") + " 2");
  }

  TEST_CASE("the stack keeps bits in the order of a stack, over resubmits") {
    HandmadeBridge sw{4};
    sw.rule(
        0, 1, kAny,
        {set_field(kReg0, 0x12345678), StackPushAction{bits_of(kReg0, 0, 16)}, StackPushAction{bits_of(kReg0, 28, 4)},
         StackPushAction{bits_of(FieldId::kEthSrc, 0, 4)}, set_field(kReg0, 0xffffffff), resubmit(1), resubmit(2)});
    sw.rule(1, 1, kAny,
            {StackPopAction{bits_of(kReg0, 4, 8)}, StackPopAction{bits_of(kReg0, 0, 4)},
             StackPopAction{bits_of(kReg0, 16, 8)}});
    sw.rule(2, 1, match_on(kReg0, 0xff78f0a1), {to_port(2)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "2");
    FlowMask wanted = only({});
    wanted.eth_src[5] = 0x0f;
    CHECK(equal(result.mask, wanted));
  }

  TEST_CASE("pop from an empty stack does nothing; a stack that grows without end drops the packet") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {set_field(kReg0, 3), StackPopAction{whole(kReg0)}, OutputFieldAction{whole(kReg0)}});
    CHECK(text(sw.run(eth_key())) == "3");
    sw.rule(0, 2, kAny, {StackPopAction{whole(kReg0)}});
    CHECK(text(sw.run(eth_key())) == "drop:stack");

    ActionList pushes;
    for (int i = 0; i < 64; ++i) pushes.push_back(StackPushAction{whole(kXxreg0)});
    sw.rule(1, 1, kAny, pushes);
    const auto times = [&](unsigned count) {
      ActionList rule;
      for (unsigned i = 0; i < count; ++i) rule.push_back(resubmit(1));
      rule.push_back(to_port(2));
      sw.rule(0, static_cast<std::uint16_t>(count), kAny, rule);
      return text(sw.run(eth_key()));
    };
    CHECK(times(64) == "2");  // 64 * 64 * 16 bytes
    CHECK(times(65) == "drop:stack");
  }

  TEST_CASE("a field that the packet has not got is neither read nor written") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny,
            {set_field(FieldId::kIpSrc, 1), move_bits(whole(FieldId::kTcpSrc), bits_of(kReg0, 0, 16)),
             set_field(kReg1, 9), move_bits(bits_of(kReg1, 0, 16), whole(FieldId::kTcpDst)), to_port(2)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "2");
    FlowMask wanted = only({FieldId::kEthType});
    wanted.nw_proto = 0xff;
    wanted.nw_frag = SHUNT_FRAG_LATER;
    CHECK(equal(result.mask, wanted));
  }

  TEST_CASE("output to a register's port: numbers of OpenFlow 1.0's 16 bits are taken, too") {
    HandmadeBridge sw{4};
    const auto to = [&](FieldBits value, unsigned bits = 32) {
      static std::uint16_t priority = 1;
      sw.rule(0, priority++, kAny, {set_field(kReg0, value), OutputFieldAction{bits_of(kReg0, 0, bits)}});
      return text(sw.run(eth_key()));
    };
    CHECK(to(2) == "2");
    CHECK(to(1) == "drop:same-port");
    CHECK(to(77) == "drop:no-output-port");
    CHECK(to(0xfff8, 16) == "back:1");
    CHECK(to(0xfffffffb) == "2 3 4");
    CHECK(to(0xfffc) == "2 3 4");
    sw.rule(0, 100, kAny, {OutputFieldAction{bits_of(FieldId::kEthSrc, 0, 2)}});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "2");  // 0x0a & 3
    CHECK(result.mask.eth_src[5] == 3);
  }

  TEST_CASE("a DSCP is written behind a meter that remarks, also where the packet came with it") {
    HandmadeBridge sw{2};
    const Match ten = match_on(FieldId::kIpDscp, 10);
    sw.rule(0, 1, ten, {MeterAction{1}, set_field(FieldId::kIpDscp, 10), to_port(2)});
    FlowKey key = tcp_key();
    key.nw_tos = 10 << 2;
    sw.meter(1, 3);
    CHECK(text(sw.run(key)) == "meter:3 2");
    auto remarking = std::make_shared<Meter>(*sw.meters[1]);
    remarking->config.bands.push_back({.type = SHUNT_BAND_DSCP_REMARK, .rate = 1, .precedence = 1});
    sw.meters[1] = remarking;
    CHECK(text(sw.run(key)) == "meter:3 " + set_text(SHUNT_FIELD_IP_TOS, "28", "fc") + " 2");
  }

  TEST_CASE("queues are said before the outputs that they hold for, once") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {SetQueueAction{5}, to_port(2), dst(1), to_port(3), SetQueueAction{0xffffffff}, to_port(4)});
    CHECK(text(sw.run(eth_key())) == "queue:5 2 " + dst_text(1) + " 3 queue:0 4");
    sw.rule(0, 2, kAny, {EnqueueAction{PortNo{2}, 7}, to_port(3)});
    CHECK(text(sw.run(eth_key())) == "queue:7 2 queue:0 3");
    sw.rule(0, 3, kAny, {SetQueueAction{5}, resubmit(1)});
    sw.rule(1, 1, match_on(FieldId::kSkbPriority, 5), {to_port(2)});
    CHECK(text(sw.run(eth_key())) == "queue:5 2");
    // What a scope that a meter may end has set, is said again after it.
    sw.meter(1, 3);
    sw.rule(0, 4, kAny, {SetQueueAction{5}, CloneAction{{MeterAction{1}, SetQueueAction{6}, to_port(2)}}, to_port(3)});
    CHECK(text(sw.run(eth_key())) == "[ meter:3 queue:6 2 ] queue:5 3");
  }
}
