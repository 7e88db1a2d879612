// SPDX-License-Identifier: Apache-2.0
// The same frames and actions through the XDP program and through the C++ build of bpf/datapath: equal verdicts, bytes
// and counters. SHUNT_SEED repeats a run, SHUNT_ROUNDS lengthens it.
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "bpf/datapath/act.h"
#include "bpf/datapath/hash.h"
#include "bpf/datapath/meter.h"
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
  Bytes frame;        // where it is redirected
  int drop = -1;      // enum shunt_drop_reason
  int upcall = -1;    // enum shunt_upcall_reason
  bool lost = false;  // dropped, though not by an action that says so
};

// Meters whose verdict no clock changes, by slot; 0 is none.
std::vector<shunt_meter> test_meters() {
  constexpr __u64 kNever = 1ull << 40;  // as a burst: some minutes ahead
  const auto band = [](__u64 cost, __u32 type, __u32 precedence) {
    return shunt_meter_band{cost, kNever, 0, 0, 0, type, precedence};
  };
  const auto meter = [](__u32 flags, std::vector<shunt_meter_band> bands) {
    shunt_meter m{};
    m.flags = SHUNT_METER_IN_USE | flags;
    m.band_count = static_cast<__u32>(bands.size());
    std::copy(bands.begin(), bands.end(), m.bands);
    return m;
  };
  const auto all = band(0, SHUNT_BAND_DROP, 0), remark = band(0, SHUNT_BAND_DSCP_REMARK, 1);
  const auto nothing = band(1, SHUNT_BAND_DROP, 0);
  return {shunt_meter{},
          meter(0, {all}),
          meter(SHUNT_METER_PACKETS, {remark}),
          meter(0, {nothing}),
          meter(0, {band(0, SHUNT_BAND_DSCP_REMARK, 2), nothing}),
          meter(SHUNT_METER_PACKETS, {remark, all})};
}

// What the kernel side has to do, written down plainly: what makes the packet go up is found first, and it goes up as
// it came, unmetered.
class Model {
 public:
  Model(const Bytes& frame, const shunt_config& config) : original_{frame}, config_{config} { begin(); }

  shunt_flow_key key{};

  // The kernel side sees the first buffer, and knows how long the frame is.
  [[nodiscard]] shunt_drop_reason parse() {
    shunt_frame visible = frame_;
    visible.len = std::min(visible.len, kFirstBuffer);
    const auto reason = shunt_parse(&visible, frame_.len, 1, SHUNT_FEATURE_ALL, &key, &headers_);
    key.dp_hash = shunt_dp_hash(&key, config_.hash_seed, config_.hash_multiplier);
    return reason;
  }
  [[nodiscard]] bool headers_cut() const { return (headers_.flags & SHUNT_HEADERS_CUT) != 0; }

  std::vector<shunt_meter> meters = test_meters();

  Outcome run(std::span<const shunt_action> actions) {
    if (headers_cut()) return up(SHUNT_UPCALL_DEEP_HEADER);
    foresees_ports_ = headers_.l4 != 0 && headers_.proto == SHUNT_IP_PROTO_SCTP &&
                      (headers_.flags & SHUNT_HEADERS_FRAG) != 0;
    const Outcome dry = run_through(actions, false);
    if (dry.upcall >= 0) return dry;
    begin();
    (void)parse();
    return run_through(actions, true);
  }

 private:
  void begin() {
    buffer_.assign(kHeadroom + original_.size() + kTailroom, std::byte{0});
    std::copy(original_.begin(), original_.end(), buffer_.begin() + kHeadroom);
    frame_ = {reinterpret_cast<__u8*>(buffer_.data()) + kHeadroom, static_cast<__u32>(original_.size()), kHeadroom,
              kTailroom};
  }

  Outcome run_through(std::span<const shunt_action> actions, bool metering) {
    for (const shunt_action& action : actions) {
      if (action.type == SHUNT_ACT_USERSPACE) return up(action.field);
      if (action.type == SHUNT_ACT_SAMPLE) return up(SHUNT_UPCALL_SAMPLE);  // in these lists all are picked
      if (action.type == SHUNT_ACT_OUTPUT_GROUP && several_buffers()) return up(SHUNT_UPCALL_JUMBO_FLOOD);
      if (action.type == SHUNT_ACT_DROP) return drop(action.field, false);
      if (action.type == SHUNT_ACT_OUTPUT || action.type == SHUNT_ACT_OUTPUT_GROUP) return output(action);
      if (action.type == SHUNT_ACT_METER) {
        if (metering && !pass_meter(action)) return drop(SHUNT_DROP_METER);
        continue;
      }
      // The kernel side looks ahead by the headers as they came: of edits that take the ports away it sees two.
      if (action.type == SHUNT_ACT_PUSH_MPLS) foresees_ports_ = false;
      if (foresees_ports_ && action.type == SHUNT_ACT_SET_FIELD) {
        if (action.field == SHUNT_FIELD_ETH_TYPE) foresees_ports_ = false;
        if (action.field == SHUNT_FIELD_TP_SRC || action.field == SHUNT_FIELD_TP_DST) return up(SHUNT_UPCALL_EDIT);
      }
      // A third tag is not followed: translation wants the packet where one may come to light.
      const auto verdict = action.type == SHUNT_ACT_POP_VLAN ? shunt_act_plain(&frame_, &headers_, &action)
                                                             : shunt_act(&frame_, &headers_, &action);
      if (verdict == SHUNT_VERDICT_TTL) return up(SHUNT_UPCALL_TTL);
      if (verdict != SHUNT_VERDICT_NEXT) return up(SHUNT_UPCALL_EDIT);
    }
    return drop(SHUNT_DROP_RULE);
  }

  bool pass_meter(const shunt_action& action) {
    const auto len = static_cast<__u32>(original_.size());
    const __u32 metered = shunt_meter_packet(&meters[action.arg], len, 1'000'000'000);
    shunt_action set;
    if (metered > SHUNT_METERED_REMARK && shunt_find_remark(&frame_, &headers_, metered - SHUNT_METERED_REMARK, &set))
      (void)shunt_act(&frame_, &headers_, &set);
    return metered != SHUNT_METERED_DROP;
  }

  static constexpr std::size_t kHeadroom = 256;
  static constexpr std::size_t kTailroom = 64;
  // A test run puts what does not fit into a page with headroom and skb_shared_info into further buffers.
  static constexpr __u32 kFirstBuffer = 4096 - 256 - 320;
  [[nodiscard]] bool several_buffers() const { return original_.size() > kFirstBuffer; }

  [[nodiscard]] Outcome drop(int reason, bool lost = true) const { return {XDP_DROP, {}, reason, -1, lost}; }
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

  const Bytes original_;
  const shunt_config& config_;
  Bytes buffer_;
  shunt_frame frame_{};
  shunt_headers headers_{};
  bool foresees_ports_ = false;  // of a fragment of SCTP, whose checksum an edit of its ports cannot follow
};

struct Bench {
  Switch& sw = shared_switch();
  UniqueFd socket{check(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), "AF_XDP socket")};
  shunt_port_stats before{};

  Bench() {
    sw.datapath.set_xsk(DpPort{1}, QueueId{0}, socket.get());
    const Ifindex members[]{sw.ifindex(2), sw.ifindex(3)};
    REQUIRE(sw.datapath.set_group(1, members) == 0);
  }
  ~Bench() {
    sw.datapath.set_xsk(DpPort{1}, QueueId{0}, -1);
    (void)sw.datapath.set_group(1, {});
  }
  Bench(const Bench&) = delete;

  // The frame under an exact flow of the model's key: that it hits says that the kernel parsed the same key. `kept`: a
  // packet was there before, so that the exact-match cache answers where it can.
  void compare(const Bytes& frame, const std::vector<shunt_action>& actions, bool single, bool kept = false) {
    sw.reset();
    sw.datapath.ports[1].flags = SHUNT_PORT_EXACT;
    Model model{frame, sw.datapath.config()};
    std::copy(model.meters.begin(), model.meters.end(), sw.datapath.meters.span().begin());
    REQUIRE(model.parse() == SHUNT_DROP_NONE);
    const auto slot = sw.publish(model.key, exact_mask(), actions);
    shunt_flow_head& head = sw.datapath.flows[slot].head;
    if (!single) {
      head.flags &= static_cast<__u8>(~SHUNT_FLOW_SINGLE_OUTPUT);
      head.action_count = static_cast<__u8>(actions.size());
    }
    if (kept) {
      const bool alike = std::ranges::none_of(
          actions, [](const auto& a) { return a.type == SHUNT_ACT_SAMPLE || a.type == SHUNT_ACT_USERSPACE; });
      if (alike && (head.flags & SHUNT_FLOW_SINGLE_OUTPUT) == 0) head.flags |= SHUNT_FLOW_LIST;
      head.fields = SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3;  // there is but this frame
      sw.use_microflows(1, SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3);
      (void)sw.run(frame);
      sw.forget_counts(1, slot);
      std::copy(model.meters.begin(), model.meters.end(), sw.datapath.meters.span().begin());
    }
    const bool cut = model.headers_cut();
    const Outcome expected = model.run(actions);

    const Result result = sw.run(frame);
    const auto stats = sw.datapath.port_stats(DpPort{1});
    REQUIRE_MESSAGE(stats.misses == 0, "the keys differ");
    CHECK(result.verdict == expected.verdict);
    CHECK((result.meta ? int{result.meta->reason} : -1) == expected.upcall);
    if (expected.verdict == XDP_REDIRECT) CHECK(result.frame == expected.frame);
    // What goes up is userspace's to count, but for flows that say nothing else.
    const bool up = expected.upcall >= 0;
    const bool counts = !cut && (!up || actions[0].type == SHUNT_ACT_USERSPACE);
    CHECK(sw.counted(slot).packets == counts);
    CHECK(sw.counted(slot).bytes == (counts ? frame.size() : 0));
    const std::size_t sent = expected.lost ? 0 : up || expected.drop >= 0 ? frame.size() : expected.frame.size();
    CHECK(sw.delta(slot).bytes == std::uint64_t{sent} - frame.size());
    CHECK(sw.delta(slot).lost == expected.lost);
    CHECK(stats.rx_packets == 1);
    CHECK(stats.rx_bytes == frame.size());
    for (int reason = 0; reason < SHUNT_DROP_COUNTERS; ++reason)
      CHECK(stats.drops[reason] == (reason == expected.drop));
    for (int reason = 0; reason < SHUNT_UPCALL_COUNTERS; ++reason)
      CHECK(stats.upcalls[reason] == (reason == expected.upcall));
    compare_meters(model.meters);
  }

  void compare_meters(const std::vector<shunt_meter>& expected) {
    for (std::size_t slot = 0; slot < expected.size(); ++slot) {
      const shunt_meter& kernel = sw.datapath.meters[slot];
      CHECK(kernel.packets == expected[slot].packets);
      CHECK(kernel.bytes == expected[slot].bytes);
      for (int band = 0; band < SHUNT_METER_BANDS; ++band) {
        CHECK(kernel.bands[band].packets == expected[slot].bands[band].packets);
        CHECK(kernel.bands[band].bytes == expected[slot].bands[band].bytes);
      }
    }
  }
};

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
        {push_mpls(0x8847, 0x00064140), output_to(2)},
        {push_mpls(0x8847, 0x00064140), push_mpls(0x8848, 0x00065040), push_mpls(0x8847, 0x00066040), output_to(2)},
        {simple_action(SHUNT_ACT_DEC_MPLS_TTL), output_to(2)},
        {simple_action(SHUNT_ACT_COPY_TTL_IN), output_to(2)},
        {simple_action(SHUNT_ACT_COPY_TTL_OUT), output_to(2)},
        {pop_mpls(0x8847), simple_action(SHUNT_ACT_COPY_TTL_OUT), output_to(2)},
        {push_mpls(0x8847, 0x00064140), simple_action(SHUNT_ACT_COPY_TTL_OUT), push_vlan(0x8100, 7), output_to(2)},
        {pop_mpls(0x0800), set_field(SHUNT_FIELD_ETH_SRC, mac), output_to(2)},
        {simple_action(SHUNT_ACT_METER, 1), output_to(2)},
        {simple_action(SHUNT_ACT_METER, 2), output_to(2)},
        {simple_action(SHUNT_ACT_METER, 4), simple_action(SHUNT_ACT_METER, 3), output_to(2)},
        {simple_action(SHUNT_ACT_METER, 5), simple_action(SHUNT_ACT_DEC_TTL), output_to(2)},
        {simple_action(SHUNT_ACT_SAMPLE), output_to(2)},
        {simple_action(SHUNT_ACT_METER, 3), drop_for(SHUNT_DROP_RULE)},
    };
    for (const NamedFrame& named : corner_frames()) {
      CAPTURE(named.name);
      for (std::size_t list = 0; list < lists.size(); ++list) {
        CAPTURE(list);
        for (const bool kept : {false, true}) bench.compare(named.frame, lists[list], true, kept);
      }
    }
  }

  TEST_CASE("random frames under random actions end alike in the kernel and in the daemon") {
    Bench bench;
    for_rounds(6000, [&](Random& random) {
      const Bytes frame = random_frame(random);
      const auto actions = random_actions(random);
      CAPTURE(frame.size());
      CAPTURE(actions.size());
      bench.sw.has_rewrites = random() % 4 != 0;
      bench.compare(frame, actions, random() % 2 == 0, random() % 2 == 0);
    });
  }
}

}  // namespace shunt::test
