// SPDX-License-Identifier: Apache-2.0
// The tap of captures in the XDP program: what it records, what it cuts, what it loses.
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <poll.h>

#include <cstring>
#include <memory>
#include <vector>

#include "tests/bpf/switch_fixture.h"
#include "tests/support/packet_builder.h"
#include "user/bpf/capture_maps.h"

namespace shunt::test {
namespace {

constexpr unsigned kBefore = 1 << SHUNT_STAGE_BEFORE, kAfter = 1 << SHUNT_STAGE_AFTER, kDrop = 1 << SHUNT_STAGE_DROP;
constexpr std::uint32_t kXdpRedirect = 4, kXdpDrop = 1;

struct Record {
  shunt_capture_record head;
  Bytes bytes;
};

// A capture at an index, and its reader.
struct Capture {
  Capture(Switch& sw, unsigned at,
          shunt_capture capture = {.snaplen = SHUNT_CAPTURE_BYTES, .filter_count = 0, .rate = 1'000'000, .zero = 0},
          std::span<const shunt_filter_insn> filter = {}, std::size_t ring_bytes = 1 << 20)
      : index{at}, maps{sw.datapath} {
    capture.filter_count = static_cast<__u32>(filter.size());
    ring = maps.start(index, capture, filter, ring_bytes);
    reader.reset(::ring_buffer__new(ring.get(), take, this, nullptr));
    REQUIRE(reader != nullptr);
  }
  ~Capture() { maps.stop(index); }
  static int take(void* self, void* data, std::size_t size) {
    Record record;
    std::memcpy(&record.head, data, sizeof record.head);
    const auto* bytes = static_cast<const std::byte*>(data) + sizeof record.head;
    record.bytes.assign(bytes, bytes + record.head.captured);
    CHECK(size == sizeof record.head + record.head.captured);
    static_cast<Capture*>(self)->records.push_back(std::move(record));
    return 0;
  }
  std::vector<Record> read() {
    records.clear();
    ::ring_buffer__consume(reader.get());
    return records;
  }
  struct Free {
    void operator()(ring_buffer* buffer) const { ::ring_buffer__free(buffer); }
  };
  unsigned index;
  CaptureMaps maps;
  UniqueFd ring;
  std::unique_ptr<ring_buffer, Free> reader;
  std::vector<Record> records;
};

Bytes udp(unsigned payload = 100) {
  return packet()
      .eth("02:00:00:00:00:01", "02:00:00:00:00:02")
      .ipv4("10.0.0.1", "10.0.0.2")
      .udp(1, 2)
      .payload(payload)
      .build();
}
Bytes arp() { return packet().eth("ff:ff:ff:ff:ff:ff", "02:00:00:00:00:02").arp_request().build(); }

Switch& capturing_switch() {
  static Switch sw{SHUNT_FEATURE_ALL | SHUNT_FEATURE_CAPTURE};
  sw.reset();
  return sw;
}

TEST_SUITE("capture") {
  TEST_CASE("a hit is seen as it came in and as it goes out") {
    Switch& sw = capturing_switch();
    const Bytes frame = udp();
    const std::uint8_t ttl = 9;
    const shunt_action actions[] = {set_field(SHUNT_FIELD_IP_TTL, std::span{&ttl, 1}), output_to(2)};
    sw.publish(key_of(frame), port_mask(), actions);
    Capture capture{sw, 3};
    capture.maps.set_port(3, DpPort{1}, kBefore);
    capture.maps.set_port(3, DpPort{2}, kAfter);
    REQUIRE(sw.run(frame).verdict == kXdpRedirect);
    const auto records = capture.read();
    REQUIRE(records.size() == 2);
    CHECK(records[0].head.stage == SHUNT_STAGE_BEFORE);
    CHECK(records[0].head.port == 1);
    CHECK(records[0].head.length == frame.size());
    CHECK(records[0].bytes == frame);
    CHECK(records[1].head.stage == SHUNT_STAGE_AFTER);
    CHECK(records[1].head.port == 2);
    CHECK(records[1].bytes.size() == frame.size());
    CHECK(records[1].bytes[14 + 8] == std::byte{9});
    CHECK(records[0].head.time <= records[1].head.time);
    CHECK(capture.maps.counts(3).captured == 2);
  }

  TEST_CASE("ports that it was not asked for are not seen, nor other stages") {
    Switch& sw = capturing_switch();
    const shunt_action out = output_to(2);
    sw.publish(key_of(udp()), port_mask(), std::span{&out, 1});
    Capture capture{sw, 0};
    capture.maps.set_port(0, DpPort{2}, kBefore);
    capture.maps.set_port(0, DpPort{1}, kAfter | kDrop);
    REQUIRE(sw.run(udp()).verdict == kXdpRedirect);
    CHECK(capture.read().empty());
    capture.maps.set_port(0, DpPort{1}, kBefore);
    (void)sw.run(udp());
    CHECK(capture.read().size() == 1);
    capture.maps.set_port(0, DpPort{1}, 0);
    (void)sw.run(udp());
    CHECK(capture.read().empty());
  }

  TEST_CASE("a drop is seen with its reason") {
    Switch& sw = capturing_switch();
    const shunt_action drop = drop_for(SHUNT_DROP_TABLE_MISS);
    sw.publish(key_of(udp()), port_mask(), std::span{&drop, 1});
    Capture capture{sw, 1};
    capture.maps.set_port(1, DpPort{1}, kDrop);
    REQUIRE(sw.run(udp()).verdict == kXdpDrop);
    const auto records = capture.read();
    REQUIRE(records.size() == 1);
    CHECK(records[0].head.stage == SHUNT_STAGE_DROP);
    CHECK(records[0].head.reason == SHUNT_DROP_TABLE_MISS);
    CHECK(records[0].head.port == 1);
    CHECK(records[0].bytes == udp());
  }

  TEST_CASE("a packet that goes up is seen before, and its end is userspace's to show") {
    Switch& sw = capturing_switch();
    Capture capture{sw, 0};
    for (unsigned port = 1; port <= 3; ++port) capture.maps.set_port(0, DpPort{port}, kBefore | kAfter);
    sw.datapath.ports[1].upcall_rate = 0;  // no socket here: it ends by the budget
    REQUIRE(sw.run(udp()).verdict == kXdpDrop);
    const auto records = capture.read();
    REQUIRE(records.size() == 1);
    CHECK(records[0].head.stage == SHUNT_STAGE_BEFORE);
  }

  TEST_CASE("a flood is seen once for each port that it goes out by") {
    Switch& sw = capturing_switch();
    const Ifindex members[] = {sw.ifindex(1), sw.ifindex(2), sw.ifindex(3)};
    REQUIRE(sw.datapath.set_group(7, members) == 0);
    const Bytes tagged = packet()
                             .eth("ff:ff:ff:ff:ff:ff", "02:00:00:00:00:02")
                             .vlan(10)
                             .ipv4("10.0.0.1", "10.0.0.2")
                             .udp(1, 2)
                             .payload(100)
                             .build();
    const shunt_action flood = group_output(7);
    sw.publish(key_of(tagged), port_mask(), std::span{&flood, 1});
    Capture capture{sw, 5};
    for (unsigned port = 1; port <= 3; ++port) capture.maps.set_port(5, DpPort{port}, kAfter);
    REQUIRE(sw.run(tagged).verdict == kXdpRedirect);
    const auto records = capture.read();
    REQUIRE(records.size() == 2);
    CHECK(records[0].head.port == 2);
    CHECK(records[0].bytes == tagged);
    CHECK(records[1].head.port == 3);
    CHECK(records[1].bytes == tagged);
    CHECK(sw.datapath.set_group(7, {}) == 0);
  }

  TEST_CASE("of a packet are kept as many bytes as asked, and its length is told") {
    Switch& sw = capturing_switch();
    const shunt_action out = output_to(2);
    sw.publish(key_of(udp()), port_mask(), std::span{&out, 1});
    for (const std::uint32_t snaplen : {1u, 60u, 141u, 142u, 143u, 9000u}) {
      Capture capture{sw, 0, {.snaplen = snaplen, .filter_count = 0, .rate = 1'000'000, .zero = 0}};
      capture.maps.set_port(0, DpPort{1}, kBefore);
      (void)sw.run(udp());
      const auto records = capture.read();
      REQUIRE(records.size() == 1);
      CHECK(records[0].head.length == 142);
      CHECK(records[0].bytes.size() == std::min(snaplen, 142u));
    }
  }

  TEST_CASE("a filter looks at the whole packet, and costs nobody else's capture anything") {
    Switch& sw = capturing_switch();
    const shunt_action out = output_to(2);
    sw.publish(key_of(udp()), port_mask(), std::span{&out, 1});
    // arp: ldh [12]; jeq #0x806; ret
    const shunt_filter_insn only_arp[] = {{0x28, 0, 0, 12}, {0x15, 0, 1, 0x806}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}};
    const shunt_filter_insn last_byte[] = {{0x30, 0, 0, 141}, {0x06, 0, 0, 1}};  // only where there are 142 bytes
    const shunt_filter_insn behind[] = {{0x20, 0, 0, 139}, {0x06, 0, 0, 1}};     // one too far
    Capture arps{sw, 0, {.snaplen = 64, .filter_count = 0, .rate = 1'000'000, .zero = 0}, only_arp};
    Capture all{sw, 1, {.snaplen = 64, .filter_count = 0, .rate = 1'000'000, .zero = 0}};
    Capture long_ones{sw, 2, {.snaplen = 64, .filter_count = 0, .rate = 1'000'000, .zero = 0}, last_byte};
    Capture none{sw, 7, {.snaplen = 64, .filter_count = 0, .rate = 1'000'000, .zero = 0}, behind};
    for (Capture* capture : {&arps, &all, &long_ones, &none})
      capture->maps.set_port(capture->index, DpPort{1}, kBefore);
    (void)sw.run(udp());
    (void)sw.run(arp());
    (void)sw.run(udp());
    REQUIRE(arps.read().size() == 1);
    CHECK(arps.records[0].head.length == arp().size());
    CHECK(all.read().size() == 3);
    CHECK(long_ones.read().size() == 2);
    CHECK(none.read().empty());
  }

  TEST_CASE("the longest filter runs to its end") {
    Switch& sw = capturing_switch();
    std::vector<shunt_filter_insn> filter(SHUNT_FILTER_INSNS, {0x04, 0, 0, 1});  // add #1
    filter[0] = {0x00, 0, 0, 0};
    filter[SHUNT_FILTER_INSNS - 3] = {0x15, 0, 1, SHUNT_FILTER_INSNS - 4};
    filter[SHUNT_FILTER_INSNS - 2] = {0x06, 0, 0, 1};
    filter[SHUNT_FILTER_INSNS - 1] = {0x06, 0, 0, 0};
    Capture capture{sw, 6, {.snaplen = 64, .filter_count = 0, .rate = 1'000'000, .zero = 0}, filter};
    capture.maps.set_port(6, DpPort{1}, kBefore);
    (void)sw.run(udp());
    CHECK(capture.read().size() == 1);
  }

  TEST_CASE("a full ring loses and counts, and the next record tells how many") {
    Switch& sw = capturing_switch();
    Capture capture{sw, 0, {.snaplen = 2000, .filter_count = 0, .rate = 1'000'000, .zero = 0}, {}, 4096};
    capture.maps.set_port(0, DpPort{1}, kBefore);
    for (int i = 0; i < 20; ++i) (void)sw.run(udp(1000));
    const auto first = capture.read();
    const shunt_capture_counts counts = capture.maps.counts(0);
    CHECK(first.size() == 3);
    CHECK(counts.captured == first.size());
    CHECK(counts.captured + counts.lost_ring == 20);
    CHECK(counts.lost_rate == 0);
    std::uint64_t told = 0;
    for (int i = 0; i < 20; ++i) {  // test runs may move between CPUs: each tells its own
      (void)sw.run(udp(1000));
      for (const Record& record : capture.read()) told += record.head.lost;
    }
    CHECK(told == capture.maps.counts(0).told);
    CHECK(told > 0);
  }

  TEST_CASE("over the rate packets are lost, and counted apart") {
    Switch& sw = capturing_switch();
    Capture capture{sw, 0, {.snaplen = 64, .filter_count = 0, .rate = 5, .zero = 0}};
    capture.maps.set_port(0, DpPort{1}, kBefore);
    for (int i = 0; i < 50; ++i) (void)sw.run(udp());
    const shunt_capture_counts counts = capture.maps.counts(0);
    CHECK(capture.read().size() == counts.captured);
    CHECK(counts.captured >= 5);
    CHECK(counts.captured < 20);
    CHECK(counts.captured + counts.lost_rate == 50);
  }

  TEST_CASE("the tap comes with the first capture and goes with the last") {
    Switch sw{SHUNT_FEATURE_HINTS};
    sw.datapath.require_features(SHUNT_FEATURE_CAPTURE | SHUNT_FEATURE_L3);
    CHECK(sw.datapath.features() == (SHUNT_FEATURE_HINTS | SHUNT_FEATURE_L3 | SHUNT_FEATURE_CAPTURE));
    sw.datapath.release_features(SHUNT_FEATURE_CAPTURE);
    while (sw.datapath.features() & SHUNT_FEATURE_CAPTURE) {  // as control's loop does
      pollfd loading{sw.datapath.loading_fd(), POLLIN, 0};
      REQUIRE(::poll(&loading, 1, 60'000) == 1);
      sw.datapath.go_on_loading();
    }
    CHECK(sw.datapath.features() == (SHUNT_FEATURE_HINTS | SHUNT_FEATURE_L3));
    Capture capture{sw, 0};
    capture.maps.set_port(0, DpPort{1}, kBefore);
    (void)sw.run(udp());
    CHECK(capture.read().empty());
  }
}

}  // namespace
}  // namespace shunt::test
