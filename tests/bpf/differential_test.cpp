// SPDX-License-Identifier: Apache-2.0
// The same frames and actions through the XDP program and through the C++ build of bpf/datapath: equal verdicts, bytes
// and counters. SHUNT_SEED repeats a run, SHUNT_ROUNDS lengthens it.
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "bpf/datapath/act.h"
#include "tests/bpf/random_frames.h"
#include "tests/bpf/shared_switch.h"
#include "user/base/error.h"

namespace shunt::test {
namespace {

constexpr std::uint32_t kMtu = 1500;
constexpr unsigned kPorts = 3;

// How a packet ends: in the kernel as seen by a test run, in the model as it should.
struct Outcome {
  std::uint32_t verdict = XDP_DROP;
  Bytes frame;      // where it is redirected
  int drop = -1;    // enum shunt_drop_reason
  int upcall = -1;  // enum shunt_upcall_reason
};

// What the kernel side has to do, written down plainly: edits are made on a copy, so that what goes up is as it came.
class Model {
 public:
  explicit Model(const Bytes& frame) : original_{frame}, buffer_(kHeadroom + frame.size() + kTailroom) {
    std::copy(frame.begin(), frame.end(), buffer_.begin() + kHeadroom);
    frame_ = {reinterpret_cast<__u8*>(buffer_.data()) + kHeadroom, static_cast<__u32>(frame.size()), kHeadroom,
              kTailroom};
  }

  shunt_flow_key key{};

  // The kernel side sees the first buffer, and knows how long the frame is.
  [[nodiscard]] shunt_drop_reason parse() {
    shunt_frame visible = frame_;
    visible.len = std::min(visible.len, kFirstBuffer);
    return shunt_parse(&visible, frame_.len, 1, SHUNT_FEATURE_ALL, &key, &headers_);
  }
  [[nodiscard]] bool headers_cut() const { return (headers_.flags & SHUNT_HEADERS_CUT) != 0; }

  Outcome run(std::span<const shunt_action> actions) {
    if (headers_cut()) return up(SHUNT_UPCALL_DEEP_HEADER);
    for (const shunt_action& action : actions) {
      if (action.type == SHUNT_ACT_USERSPACE) return up(action.field);
      if (action.type == SHUNT_ACT_OUTPUT_GROUP && several_buffers()) return up(SHUNT_UPCALL_JUMBO_FLOOD);
      if (action.type == SHUNT_ACT_DROP) return drop(action.field);
      if (action.type == SHUNT_ACT_OUTPUT || action.type == SHUNT_ACT_OUTPUT_GROUP) return output(action);
      const auto verdict = shunt_act(&frame_, &headers_, &action);
      if (verdict == SHUNT_VERDICT_TTL) return up(SHUNT_UPCALL_TTL);
      if (verdict != SHUNT_VERDICT_NEXT) return up(SHUNT_UPCALL_EDIT);
    }
    return drop(SHUNT_DROP_RULE);
  }

 private:
  static constexpr std::size_t kHeadroom = 256;
  static constexpr std::size_t kTailroom = 64;
  // A test run puts what does not fit into a page with headroom and skb_shared_info into further buffers.
  static constexpr __u32 kFirstBuffer = 4096 - 256 - 320;
  [[nodiscard]] bool several_buffers() const { return original_.size() > kFirstBuffer; }

  [[nodiscard]] Outcome drop(int reason) const { return {XDP_DROP, {}, reason, -1}; }
  [[nodiscard]] Outcome up(int reason) const { return {XDP_REDIRECT, original_, -1, reason}; }

  Outcome output(const shunt_action& action) {
    const bool group = action.type == SHUNT_ACT_OUTPUT_GROUP;
    if (!group && action.arg == 1 && action.field != 1) return drop(SHUNT_DROP_SAME_PORT);
    if (shunt_finish(&frame_, &headers_) != SHUNT_VERDICT_NEXT) return drop(SHUNT_DROP_BAD_ACTION);
    if (!group && action.arg > kPorts) return drop(SHUNT_DROP_NO_OUTPUT_PORT);
    if (!group && frame_.len > kMtu + 14 + (headers_.vlan_count ? 4 : 0)) return drop(SHUNT_DROP_FRAME_TOO_LONG);
    const auto* data = reinterpret_cast<const std::byte*>(frame_.data);
    return {XDP_REDIRECT, Bytes{data, data + frame_.len}, -1, -1};
  }

  Bytes original_;
  Bytes buffer_;
  shunt_frame frame_{};
  shunt_headers headers_{};
};

struct Bench {
  Switch& sw = shared_switch();
  UniqueFd socket{check(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), "AF_XDP socket")};
  shunt_port_stats before{};

  Bench() {
    sw.datapath.set_xsk(DpPort{1}, QueueId{0}, socket.get());
    const GroupMember members[]{{sw.ifindex(2)}, {sw.ifindex(3)}};
    REQUIRE(sw.datapath.set_group(1, members) == 0);
  }
  ~Bench() {
    sw.datapath.set_xsk(DpPort{1}, QueueId{0}, -1);
    (void)sw.datapath.set_group(1, {});
  }
  Bench(const Bench&) = delete;

  // The frame under an exact flow of the model's key: that it hits says that the kernel parsed the same key.
  void compare(const Bytes& frame, const std::vector<shunt_action>& actions, bool single) {
    sw.reset();
    sw.datapath.ports[1].flags = SHUNT_PORT_EXACT;
    Model model{frame};
    REQUIRE(model.parse() == SHUNT_DROP_NONE);
    const auto slot = sw.publish(model.key, exact_mask(), actions);
    if (!single) sw.datapath.flows[slot].head.flags &= static_cast<__u8>(~SHUNT_FLOW_SINGLE_OUTPUT);
    const Outcome expected = model.run(actions);

    const Result result = sw.run(frame);
    const auto stats = sw.datapath.port_stats(DpPort{1});
    REQUIRE_MESSAGE(stats.misses == 0, "the keys differ");
    CHECK(result.verdict == expected.verdict);
    CHECK((result.meta ? int{result.meta->reason} : -1) == expected.upcall);
    if (expected.verdict == XDP_REDIRECT) CHECK(result.frame == expected.frame);
    const bool hit = !model.headers_cut();
    CHECK(sw.counted(slot).packets == hit);
    CHECK(sw.counted(slot).bytes == (hit ? frame.size() : 0));
    CHECK(stats.rx_packets == 1);
    CHECK(stats.rx_bytes == frame.size());
    for (int reason = 0; reason < SHUNT_DROP_COUNTERS; ++reason)
      CHECK(stats.drops[reason] == (reason == expected.drop));
    for (int reason = 0; reason < SHUNT_UPCALL_COUNTERS; ++reason)
      CHECK(stats.upcalls[reason] == (reason == expected.upcall));
  }
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

}  // namespace

TEST_SUITE("differential") {
  TEST_CASE("corner frames end alike in the kernel and in the daemon") {
    Bench bench;
    const std::uint8_t mac[]{2, 0, 0, 0, 0, 9}, ip[]{10, 9, 8, 7}, port[]{0, 7}, byte[]{0x11};
    const std::vector<std::vector<shunt_action>> lists{
        {output_to(2)},
        {simple_action(SHUNT_ACT_DEC_TTL), output_to(2)},
        {push_vlan(0x8100, 7), output_to(2)},
        {simple_action(SHUNT_ACT_POP_VLAN), simple_action(SHUNT_ACT_POP_VLAN), output_to(2)},
        {set_field(SHUNT_FIELD_ETH_SRC, mac), set_field(SHUNT_FIELD_IP_SRC, ip), set_field(SHUNT_FIELD_IPV6_DST3, ip),
         set_field(SHUNT_FIELD_TP_SRC, port), set_field(SHUNT_FIELD_IP_TOS, byte), set_field(SHUNT_FIELD_ND_SLL, mac),
         set_field(SHUNT_FIELD_ICMP_TYPE, byte), output_to(3)},
        {group_output(1)},
        {simple_action(SHUNT_ACT_TRUNCATE, 20), output_to(2)},
    };
    for (const NamedFrame& named : corner_frames()) {
      CAPTURE(named.name);
      for (std::size_t list = 0; list < lists.size(); ++list) {
        CAPTURE(list);
        bench.compare(named.frame, lists[list], true);
      }
    }
  }

  TEST_CASE("random frames under random actions end alike in the kernel and in the daemon") {
    Bench bench;
    const auto seed = from_environment("SHUNT_SEED", std::random_device{}());
    const auto rounds = from_environment("SHUNT_ROUNDS", 6000);
    CAPTURE(seed);
    Random random{seed};
    for (std::uint64_t round = 0; round < rounds; ++round) {
      CAPTURE(round);
      const Bytes frame = random_frame(random);
      const auto actions = random_actions(random);
      CAPTURE(frame.size());
      CAPTURE(actions.size());
      bench.compare(frame, actions, random() % 2 == 0);
    }
  }
}

}  // namespace shunt::test
