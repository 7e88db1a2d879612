// SPDX-License-Identifier: Apache-2.0
// The file as libpcap reads it, and its blocks one by one; tshark reads it in tests/net/capture.sh.
#include "user/capture/pcapng.h"

#include <doctest/doctest.h>
#include <pcap/pcap.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace shunt::test {
namespace {

struct File {
  std::vector<std::vector<std::uint8_t>> blocks;
  PcapngWriter writer{[this](std::span<const std::uint8_t> block) { blocks.emplace_back(block.begin(), block.end()); },
                      "test"};
  [[nodiscard]] std::uint32_t word(std::size_t block, std::size_t at) const {
    std::uint32_t value = 0;
    REQUIRE(at + 4 <= blocks.at(block).size());
    std::memcpy(&value, blocks[block].data() + at, sizeof value);
    return value;
  }
};

TEST_SUITE("pcapng") {
  TEST_CASE("blocks are padded, and say their length at both ends") {
    File file;
    CHECK(file.writer.add_interface("eth0", "", 0) == 0);
    CHECK(file.writer.add_interface("a-longer-name", "described", 96) == 1);
    const std::vector<std::uint8_t> bytes(61, 0xab);
    file.writer.write({.interface = 1, .time = 1, .length = 1500, .bytes = bytes, .lost = 7, .comment = "why"});
    file.writer.write_statistics(1, 1, 2, 1, 7);
    REQUIRE(file.blocks.size() == 5);
    for (std::size_t i = 0; i < file.blocks.size(); ++i) {
      CHECK(file.blocks[i].size() % 4 == 0);
      CHECK(file.word(i, 4) == file.blocks[i].size());
      CHECK(file.word(i, file.blocks[i].size() - 4) == file.blocks[i].size());
    }
    CHECK(file.word(3, 0) == 6);
    CHECK(file.word(3, 20) == 61);
    CHECK(file.word(3, 24) == 1500);
  }

  TEST_CASE("libpcap reads times, lengths and bytes") {
    File file;
    file.writer.add_interface("eth0", "", 0);
    std::vector<std::uint8_t> bytes(77);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
    constexpr std::uint64_t kTime = 1'700'000'000'123'456'789;
    file.writer.write({.interface = 0, .time = kTime, .length = 100, .bytes = bytes, .outbound = true});
    std::FILE* whole = std::tmpfile();
    for (const auto& block : file.blocks) std::fwrite(block.data(), 1, block.size(), whole);
    std::rewind(whole);
    char reason[PCAP_ERRBUF_SIZE] = "";
    pcap_t* capture = ::pcap_fopen_offline_with_tstamp_precision(whole, PCAP_TSTAMP_PRECISION_NANO, reason);
    REQUIRE_MESSAGE(capture != nullptr, reason);
    CHECK(::pcap_datalink(capture) == DLT_EN10MB);
    pcap_pkthdr* header = nullptr;
    const u_char* data = nullptr;
    REQUIRE(::pcap_next_ex(capture, &header, &data) == 1);
    CHECK(header->len == 100);
    REQUIRE(header->caplen == bytes.size());
    CHECK(std::memcmp(data, bytes.data(), bytes.size()) == 0);
    CHECK(static_cast<std::uint64_t>(header->ts.tv_sec) == kTime / 1'000'000'000);
    CHECK(static_cast<std::uint64_t>(header->ts.tv_usec) == kTime % 1'000'000'000);
    CHECK(::pcap_next_ex(capture, &header, &data) == PCAP_ERROR_BREAK);
    ::pcap_close(capture);
  }
}

}  // namespace
}  // namespace shunt::test
