// SPDX-License-Identifier: Apache-2.0
// What a hit costs, in ns a packet by BPF_PROG_TEST_RUN: 64-byte UDP frame, one output, by the number of masks that are
// asked before the one that answers, with hints, by the FDB, by a router's list of actions, and with a program for L2
// only. Needs root. `--instructions`: for a machine whose clock goes one ns an instruction (scripts/test-kernel).
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <string_view>

#include "tests/bpf/switch_fixture.h"
#include "tests/support/packet_builder.h"

namespace shunt::test {
namespace {

// Many short windows, of which the best counts: others use the machine.
struct Windows {
  std::uint32_t repeat = 10'000;
  int rounds = 150;
  const char* unit = "ns";
} windows;

void report(Switch& sw, const char* what, const Bytes& frame) {
  std::uint32_t best = ~0U;
  for (int round = 0; round < windows.rounds; ++round) best = std::min(best, sw.measure(frame, 1, windows.repeat));
  const auto result = sw.run(frame, 1);
  fmt::print("{:44} {:5} {}{}\n", what, best, windows.unit, result.verdict == 4 ? "" : "  (NOT redirected)");
}

// What the test run itself takes of each figure.
void report_empty_program() {
  const bpf_insn program[]{{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  const UniqueFd fd{
      check_libbpf(bpf_prog_load(BPF_PROG_TYPE_XDP, "empty", "GPL", program, std::size(program), nullptr), "load")};
  const Bytes frame(64);
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.repeat = static_cast<int>(windows.repeat);
  std::uint32_t best = ~0U;
  for (int round = 0; round < windows.rounds; ++round) {
    check_libbpf(bpf_prog_test_run_opts(fd.get(), &options), "BPF_PROG_TEST_RUN");
    best = std::min(best, options.duration);
  }
  fmt::print("{:44} {:5} {}\n", "an empty program", best, windows.unit);
}

// `others` masks in front of the one that answers; each differs in the bits of the hop limit that it keeps.
void with_masks(Switch& sw, const Bytes& frame, unsigned others, const shunt_flow_key& answers = l2_mask()) {
  sw.reset();
  for (unsigned i = 0; i < others; ++i) {
    shunt_flow_key mask = answers;
    mask.eth_src[5] = static_cast<std::uint8_t>(i + 1);
    shunt_flow_key key = sw.whole_key(frame);
    key.eth_dst[5] ^= 0x55;
    const shunt_action drop = drop_for(SHUNT_DROP_RULE);
    sw.publish(key, mask, std::span{&drop, 1});
  }
  const shunt_action out = output_to(2);
  sw.publish(sw.whole_key(frame), answers, std::span{&out, 1});
}

// A mask up to ports, as rules of an access list make it.
shunt_flow_key l4_mask() {
  shunt_flow_key mask = l2_mask();
  std::fill_n(mask.ip_src, 16, std::uint8_t{0xff});
  std::fill_n(mask.ip_dst, 16, std::uint8_t{0xff});
  mask.nw_proto = mask.nw_frag = 0xff;
  mask.tp_src = mask.tp_dst = shunt_be16{0xffff};
  return mask;
}

// As a router's rule: both MACs set, the TTL decremented. A test run gives the program the frame as it left it, which
// has to be the flow's still: the MACs are set to what they are, and the TTL is set before it is decremented.
void routed(Switch& sw, const Bytes& frame) {
  constexpr std::uint8_t kFrom[6] = {2, 0, 0, 0, 0, 1}, kTo[6] = {2, 0, 0, 0, 0, 2}, kTtl[1] = {64};
  constexpr std::uint8_t kAll[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const shunt_action list[]{set_field(SHUNT_FIELD_ETH_SRC, kFrom, kAll), set_field(SHUNT_FIELD_ETH_DST, kTo, kAll),
                            set_field(SHUNT_FIELD_IP_TTL, kTtl, std::span{kAll}.first(1)),
                            simple_action(SHUNT_ACT_DEC_TTL), output_to(2)};
  sw.reset();
  sw.publish(sw.whole_key(frame), l4_mask(), list, SHUNT_FLOW_EDITS | SHUNT_FLOW_LIST);
}

// Between VLANs: a tag takes another one's place, which is its like, for the same reason.
void retagged(Switch& sw, const Bytes& frame, std::uint16_t vid) {
  const shunt_action list[]{simple_action(SHUNT_ACT_POP_VLAN), push_vlan(0x8100, vid), output_to(2)};
  sw.reset();
  sw.publish(sw.whole_key(frame), l4_mask(), list, SHUNT_FLOW_EDITS | SHUNT_FLOW_LIST);
  report(sw, "  one tag, 1 mask, the tag replaced", frame);
  sw.use_microflows(1, SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3);
  report(sw, "  likewise, exact-match cache", frame);
}

// By the entries of the frame's two MACs.
void bridged(Switch& sw, const Bytes& frame) {
  constexpr std::uint16_t kNumber = 1, kBoth = SHUNT_FDB_UNTAGGED | SHUNT_FDB_TAGGED;
  constexpr std::uint8_t kFrom[6] = {2, 0, 0, 0, 0, 1}, kTo[6] = {2, 0, 0, 0, 0, 2};
  sw.reset();
  (void)sw.publish_bridged(1, frame, kNumber);
  sw.set_mac(kNumber, kFrom, 1, kBoth);
  sw.set_mac(kNumber, kTo, 2, kBoth);
}

// Under rules that look at addresses and ports.
void measure_by_l4(Switch& sw, const char* name, const Bytes& frame) {
  constexpr std::uint32_t kFields = SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3;
  with_masks(sw, frame, 0, l4_mask());
  report(sw, fmt::format("  {}, 1 mask up to ports", name).c_str(), frame);
  sw.use_microflows(1, kFields);
  report(sw, fmt::format("  {}, exact-match cache, to ports", name).c_str(), frame);
  sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
  report(sw, "  likewise, local stack behind the port", frame);
  with_masks(sw, frame, 15, l4_mask());
  report(sw, fmt::format("  {}, 16 masks up to ports", name).c_str(), frame);
  sw.datapath.ports[1].flags = SHUNT_PORT_HINTS;
  sw.set_union_mask(l4_mask());
  report(sw, fmt::format("  {}, 16 masks up to ports, hint", name).c_str(), frame);
  routed(sw, frame);
  report(sw, fmt::format("  {}, 1 mask, MACs and TTL set, TTL less one", name).c_str(), frame);
  sw.use_microflows(1, kFields);
  report(sw, fmt::format("  {}, likewise, exact-match cache", name).c_str(), frame);
  with_masks(sw, frame, 0, five_tuple_mask());
  sw.use_microflows(1, kFields & ~(SHUNT_PLAIN_DST | SHUNT_PLAIN_SRC));
  report(sw, fmt::format("  {}, exact-match cache, to ports, but for MACs", name).c_str(), frame);
}

void measure_all(std::uint32_t features, const char* name) {
  const auto start = std::chrono::steady_clock::now();
  Switch sw{features};
  fmt::print("{}: loaded in {} ms\n", name,
             std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count());
  const Bytes frame =
      packet().eth("02:00:00:00:00:01", "02:00:00:00:00:02").ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(22).build();
  for (unsigned masks : {1U, 2U, 4U, 16U}) {
    with_masks(sw, frame, masks - 1);
    report(sw, fmt::format("  {} mask(s), the last answers", masks).c_str(), frame);
  }
  sw.datapath.ports[1].flags = SHUNT_PORT_HINTS;
  sw.set_union_mask(l2_mask());
  report(sw, "  16 masks, hint", frame);
  with_masks(sw, frame, 15);
  sw.use_microflows(1, SHUNT_PLAIN_L2);
  report(sw, "  16 masks, exact-match cache", frame);
  sw.use_microflows(1, SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3);
  report(sw, "  16 masks, exact-match cache, keys to L4", frame);
  sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
  report(sw, "  likewise, local stack behind the port", frame);
  with_masks(sw, frame, 0);
  sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
  report(sw, "  1 mask, local stack behind the port", frame);
  bridged(sw, frame);
  report(sw, "  bridged, 1 mask", frame);
  sw.use_microflows(1, SHUNT_PLAIN_L2);
  report(sw, "  bridged, exact-match cache", frame);
  sw.use_microflows(1, SHUNT_PLAIN_L2 | SHUNT_PLAIN_BRIDGE);
  report(sw, "  bridged, exact-match cache and FDB", frame);
  if ((features & SHUNT_FEATURE_L4) == 0) return;
  const auto under = [] { return packet().eth("02:00:00:00:00:01", "02:00:00:00:00:02"); };
  measure_by_l4(sw, "IPv4", under().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(22).build());
  measure_by_l4(sw, "IPv6", under().ipv6("fd00::1", "fd00::2").udp(1, 2).payload(22).build());
  measure_by_l4(sw, "two tags",
                under().vlan(7, 0x88a8).vlan(9).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(22).build());
  retagged(sw, under().vlan(5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(22).build(), 5);
}

}  // namespace
}  // namespace shunt::test

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view{argv[1]} == "--instructions") {
    shunt::test::windows = {.repeat = 1'000, .rounds = 5, .unit = "instructions"};
  } else if (argc > 1) {
    fmt::print(stderr, "usage: bpf_hit_cost [--instructions]\n");
    return 2;
  }
  spdlog::set_level(spdlog::level::warn);
  try {
    shunt::test::report_empty_program();
    shunt::test::measure_all(SHUNT_FEATURE_HINTS | SHUNT_FEATURE_BRIDGE, "L2 only");
    shunt::test::measure_all(SHUNT_FEATURE_ALL & ~SHUNT_FEATURE_HASH, "all features but select groups' hash");
    shunt::test::measure_all(SHUNT_FEATURE_ALL, "all features");
    shunt::test::measure_all(SHUNT_FEATURE_ALL | SHUNT_FEATURE_CAPTURE, "all features, and the tap of captures");
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
