// SPDX-License-Identifier: Apache-2.0
// Filters against libpcap: its compiler makes the programs, its interpreter says what they decide.
#include "user/capture/filter.h"

#include <doctest/doctest.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/packet_builder.h"
#include "user/base/error.h"

namespace shunt::test {
namespace {

using Frame = std::vector<std::uint8_t>;

Frame frame_of(const std::vector<std::byte>& bytes) {
  Frame frame(bytes.size());
  std::memcpy(frame.data(), bytes.data(), bytes.size());
  return frame;
}

FilterProgram compile(const std::string& expression) {
  const std::unique_ptr<pcap_t, void (*)(pcap_t*)> ethernet{::pcap_open_dead(DLT_EN10MB, 16384), ::pcap_close};
  bpf_program compiled{};
  REQUIRE_MESSAGE(::pcap_compile(ethernet.get(), &compiled, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) == 0,
                  expression);
  FilterProgram program;
  for (u_int i = 0; i < compiled.bf_len; ++i)
    program.push_back(
        {compiled.bf_insns[i].code, compiled.bf_insns[i].jt, compiled.bf_insns[i].jf, compiled.bf_insns[i].k});
  ::pcap_freecode(&compiled);
  return program;
}

// Its interpreter ends the process where a bit is set that an instruction does not look at, though its check lets that
// pass.
bool runs_in_libpcap(unsigned code) {
  constexpr std::array<unsigned, 30> kOthers{0x06, 0x16, 0x20, 0x28, 0x30, 0x80, 0x81, 0x40, 0x48, 0x50,
                                             0xb1, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x05, 0x25, 0x35,
                                             0x15, 0x45, 0x2d, 0x3d, 0x1d, 0x4d, 0x84, 0x07, 0x87, 0x16};
  constexpr unsigned kAlu = 0x04, kNegate = 0x80;
  if ((code & 0x07) == kAlu && (code & 0xf0) != kNegate) return true;
  return std::find(kOthers.begin(), kOthers.end(), code) != kOthers.end();
}

bool libpcap_accepts(const FilterProgram& program, const Frame& frame) {
  std::vector<bpf_insn> instructions;
  for (const shunt_filter_insn& insn : program) instructions.push_back({insn.code, insn.jt, insn.jf, insn.k});
  const auto size = static_cast<u_int>(frame.size());
  return ::bpf_filter(instructions.data(), frame.data(), size, size) != 0;
}

std::vector<Frame> frames() {
  const auto eth = [] { return packet().eth("02:00:00:00:00:01", "02:00:00:00:00:02"); };
  std::vector<Frame> all{
      frame_of(eth().arp_request().build()),
      frame_of(eth().ipv4("10.0.0.1", "10.0.0.2").icmp(8, 0).payload(40).build()),
      frame_of(eth().ipv4("10.0.0.1", "10.0.0.2").udp(53, 4000).payload(100).build()),
      frame_of(eth().ipv4("10.0.0.2", "10.1.0.9").tcp(80, 4000).payload(10).build()),
      frame_of(eth().ipv6("fd00::1", "fd00::2").tcp(443, 50000).payload(10).build()),
      frame_of(eth().vlan(10).ipv4("10.0.0.1", "10.0.0.2").udp(53, 1).payload(5).build()),
      {},
      Frame(13, 0xff),
      Frame(60, 0),
  };
  std::mt19937 random{7};
  for (int i = 0; i < 40; ++i) {  // cut anywhere, and bytes that are not as any protocol has them
    Frame cut = all[random() % 6];
    cut.resize(random() % (cut.size() + 1));
    if (!cut.empty()) cut[random() % cut.size()] = static_cast<std::uint8_t>(random());
    all.push_back(std::move(cut));
  }
  return all;
}

TEST_SUITE("filter") {
  TEST_CASE("a filter decides as libpcap's own interpreter does") {
    const std::vector<Frame> all = frames();
    for (const char* expression :
         {"icmp", "arp or rarp", "tcp port 80", "host 10.0.0.1 and not udp", "net 10.1.0.0/16",
          "ip6 and tcp dst port 50000", "vlan 10 and udp", "ether src 02:00:00:00:00:02", "less 60", "greater 100",
          "ip[8] > 60", "tcp[tcpflags] & tcp-syn != 0", "udp[8:4] == 0", "portrange 50-60",
          "(ip[2:2] - ((ip[0]&0xf)<<2)) != 0", "ip[0] / 16 * 3 % 7 = 5", "len = 60 or multicast",
          "ether[0] >> 1 << 2 | 1 ^ 5 = 1", "host 10.0.0.1 or host 10.0.0.3 or host 10.0.0.5"}) {
      CAPTURE(expression);
      const FilterProgram program = compile(expression);
      CHECK_NOTHROW(check_filter(program));
      std::size_t wanted = 0;
      for (const Frame& frame : all) {
        const bool accepted = accepts(program, frame, static_cast<std::uint32_t>(frame.size()));
        CHECK(accepted == libpcap_accepts(program, frame));
        wanted += accepted ? 1 : 0;
      }
      CHECK(wanted < all.size());
    }
  }

  TEST_CASE("random programs: what passes the check ends, and decides as libpcap's does") {
    std::mt19937 random{11};
    const std::vector<Frame> all = frames();
    std::size_t good = 0;
    for (int i = 0; i < 200'000; ++i) {
      FilterProgram program(2 + random() % 6);
      for (shunt_filter_insn& insn : program)
        insn = {static_cast<__u16>(random() % 0xc0), static_cast<__u8>(random() % 4), static_cast<__u8>(random() % 4),
                static_cast<__u32>(random() % 20)};
      program.back() = {0x06, 0, 0, static_cast<__u32>(random() % 2)};
      try {
        check_filter(program);
      } catch (const Error&) {
        continue;
      }
      std::vector<bpf_insn> instructions;
      bool unlike = false;  // shifts by 32 and more: libpcap's interpreter has no answer to those; nor to what it loads
                            // from memory that nothing was stored to
      for (const shunt_filter_insn& insn : program) {
        instructions.push_back({insn.code, insn.jt, insn.jf, insn.k});
        unlike = unlike || (insn.code & 0xe7) == 0x64 || !runs_in_libpcap(insn.code) || (insn.code & 0xe6) == 0x60;
      }
      if (unlike) continue;
      REQUIRE(::bpf_validate(instructions.data(), static_cast<int>(instructions.size())) != 0);
      ++good;
      for (const Frame& frame : all)
        CHECK(accepts(program, frame, static_cast<std::uint32_t>(frame.size())) == libpcap_accepts(program, frame));
    }
    CHECK(good > 300);
  }

  TEST_CASE("the text of tcpdump -ddd is read as it was written") {
    const FilterProgram program = compile("tcp port 80");
    const FilterProgram again = parse_filter(format_filter(program));
    REQUIRE(again.size() == program.size());
    CHECK(std::memcmp(again.data(), program.data(), program.size() * sizeof program[0]) == 0);
  }

  TEST_CASE("what is no good program is refused, and it is said why") {
    const auto refusal = [](const std::string& text) {
      try {
        (void)parse_filter(text);
      } catch (const Error& error) {
        return std::string{error.what()};
      }
      return std::string{"taken"};
    };
    CHECK(refusal("1\n6 0 0 1\n") == "taken");
    CHECK(refusal("").find("tcpdump -ddd") != std::string::npos);
    CHECK(refusal("1\n6 0 0 x\n").find("tcpdump -ddd") != std::string::npos);
    CHECK(refusal("1\n6 0 300 1\n").find("255") != std::string::npos);
    CHECK(refusal("2\n6 0 0 1\n").find("tcpdump -ddd") != std::string::npos);  // cut short
    CHECK(refusal("1\n6 0 0 1\n6 0 0 1\n").find("more than") != std::string::npos);
    CHECK(refusal("513\n").find("at most 512") != std::string::npos);
    CHECK(refusal("0\n").find("at most 512") != std::string::npos);
    CHECK(refusal("1\n0 0 0 5\n").find("does not return") != std::string::npos);
    CHECK(refusal("2\n5 0 0 1\n6 0 0 1\n").find("leads out") != std::string::npos);           // ja behind the end
    CHECK(refusal("2\n5 0 0 4294967295\n6 0 0 1\n").find("leads out") != std::string::npos);  // ja back
    CHECK(refusal("2\n21 1 0 0\n6 0 0 1\n").find("leads out") != std::string::npos);          // jeq
    CHECK(refusal("2\n2 0 0 16\n6 0 0 1\n").find("leads out") != std::string::npos);          // st M[16]
    CHECK(refusal("2\n52 0 0 0\n6 0 0 1\n").find("leads out") != std::string::npos);          // div #0
    CHECK(refusal("2\n65535 0 0 0\n6 0 0 1\n").find("leads out") != std::string::npos);
  }
}

}  // namespace
}  // namespace shunt::test
