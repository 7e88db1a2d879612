// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/match_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace shunt::test {
namespace {

using L3 = FrameSpec::L3;
using L4 = FrameSpec::L4;

enum class Format { kDecimal, kHex, kMac, kIpv4 };

class MatchBuilder {
 public:
  MatchBuilder(Random& random, const FrameSpec& spec) : random_{random}, spec_{spec} {}
  MatchText build(bool pipeline);

 private:
  Random& random_;
  const FrameSpec& spec_;
  MatchText match_;
  bool no_transport_ = false;  // of later fragments no rule may match or write L4 fields

  void add(const std::string& word) {
    if (!match_.text.empty()) match_.text += ',';
    match_.text += word;
  }
  void number(const std::string& name, std::uint64_t value, unsigned width, Format format, unsigned mask_percent = 0);
  void ipv6(const std::string& name, const Ipv6& value);
  bool some(unsigned percent) { return random_.percent(percent); }

  void ethernet();
  void vlan();
  void pipeline_fields();
  void protocol();
  void ip();
  void transport();
  void icmp();
  void discovery();
  void arp();
  void mpls();
};

std::string format_value(std::uint64_t value, Format format) {
  switch (format) {
    case Format::kMac:
      return mac_text(value);
    case Format::kIpv4:
      return ipv4_text(static_cast<std::uint32_t>(value));
    case Format::kHex:
      return fmt::format("{:#x}", value);
    case Format::kDecimal:
      break;
  }
  return fmt::format("{}", value);
}

void MatchBuilder::number(const std::string& name, std::uint64_t value, unsigned width, Format format,
                          unsigned mask_percent) {
  const std::uint64_t all = width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
  const std::uint64_t mask = some(mask_percent) ? random_mask(random_, width) : all;
  if (mask == 0) return;
  if (mask == all) return add(name + "=" + format_value(value & all, format));
  const Format masked = format == Format::kDecimal ? Format::kHex : format;
  add(name + "=" + format_value(value & mask, masked) + "/" + format_value(mask, masked));
}

void MatchBuilder::ipv6(const std::string& name, const Ipv6& value) {
  if (!some(50)) return add(name + "=" + ipv6_text(value));
  Ipv6 mask{};
  if (some(70)) {
    const auto length = static_cast<unsigned>(8 + random_.below(121));
    for (unsigned i = 0; i < length; ++i) mask[i / 8] |= static_cast<std::uint8_t>(0x80 >> i % 8);
  } else {
    for (std::uint8_t& byte : mask) byte = static_cast<std::uint8_t>(random_.one_in(2) ? 0xff : random_.bits());
    mask[0] |= 0xa0;  // ovs-ofctl takes a mask that begins with a decimal digit for a prefix length
  }
  Ipv6 masked = value;
  for (std::size_t i = 0; i < masked.size(); ++i) masked[i] &= mask[i];
  add(name + "=" + ipv6_text(masked) + "/" + ipv6_text(mask));
}

void MatchBuilder::ethernet() {
  if (some(20)) add("in_port=" + std::to_string(spec_.in_port));
  if (some(20)) number("dl_src", spec_.src, 48, Format::kMac, 30);
  if (some(25)) number("dl_dst", spec_.dst, 48, Format::kMac, 30);
}

void MatchBuilder::vlan() {
  if (!some(35)) return;
  match_.promise.no_tag = spec_.tags.empty();
  if (spec_.tags.empty()) return add(some(50) ? "vlan_tci=0x0000/0x1fff" : "dl_vlan=0xffff");
  const FrameSpec::Tag& tag = spec_.tags.front();
  match_.promise.tags = 1;
  switch (random_.below(4)) {
    case 0:
      return add(fmt::format("vlan_tci={:#x}/{:#x}", 0x1000 | tag.vid, 0x1fff));
    case 1:
      return add("vlan_vid=0x1000/0x1000");
    case 2:
      add(fmt::format("dl_vlan={}", tag.vid));
      if (some(50)) add(fmt::format("dl_vlan_pcp={}", tag.pcp));
      return;
    default: {
      const std::uint64_t mask = random_mask(random_, 12);
      return add(fmt::format("vlan_vid={:#x}/{:#x}", 0x1000 | (tag.vid & mask), 0x1000 | mask));
    }
  }
}

void MatchBuilder::pipeline_fields() {
  if (some(25)) number("metadata", random_.below(4), 64, Format::kHex, 70);
  if (some(25))
    number("reg" + std::to_string(random_.below(4)), random_.below(4), 32, Format::kHex, 70);
  else if (some(10))  // one of the two: they may contradict each other
    number("xreg" + std::to_string(random_.below(2)), random_.below(4) << 32, 64, Format::kHex, 90);
  if (some(8)) number("tun_id", random_.below(3), 64, Format::kHex, 50);
  if (some(10)) add("actset_output=" + (some(40) ? "unset" : std::to_string(1 + random_.below(6))));
}

void MatchBuilder::ip() {
  match_.promise.l3 = spec_.l3;
  if (spec_.l3 == L3::kIpv4) {
    if (some(40)) number("nw_src", spec_.src4, 32, Format::kIpv4, 60);
    if (some(50)) number("nw_dst", spec_.dst4, 32, Format::kIpv4, 60);
  } else {
    if (some(40)) ipv6("ipv6_src", spec_.src6);
    if (some(50)) ipv6("ipv6_dst", spec_.dst6);
    if (some(10)) number("ipv6_label", spec_.flow_label, 20, Format::kHex, 40);
  }
  if (some(10)) number("nw_tos", spec_.tos & 0xfc, 8, Format::kDecimal);
  if (some(8)) number("nw_ecn", spec_.tos & 3, 2, Format::kDecimal);
  if (some(8)) number("nw_ttl", spec_.ttl, 8, Format::kDecimal);
  if (some(12)) {
    static const std::vector<std::string> kFragments{"no", "yes", "first", "later", "not_later"};
    const std::string now = spec_.fragment_offset != 0 ? "later" : spec_.is_fragment() ? "first" : "no";
    const std::string fragments = some(70) ? now : random_.of(kFragments);
    no_transport_ = fragments == "later";
    add("ip_frag=" + fragments);
  }
}

void MatchBuilder::transport() {
  static constexpr const char* kNames[] = {"", "tcp", "udp", "sctp"};
  const std::string name = kNames[static_cast<int>(spec_.l4)];
  match_.promise.l4 = spec_.l4;
  if (some(40)) number(name + "_src", spec_.tp_src, 16, Format::kDecimal, 40);
  if (some(50)) number(name + "_dst", spec_.tp_dst, 16, Format::kDecimal, 40);
  if (spec_.l4 == L4::kTcp && some(20)) number("tcp_flags", spec_.tcp_flags, 12, Format::kHex, 70);
}

void MatchBuilder::icmp() {
  match_.promise.l4 = L4::kIcmp;
  if (some(60)) number("icmp_type", spec_.icmp_type, 8, Format::kDecimal);
  if (some(40)) number("icmp_code", spec_.icmp_code, 8, Format::kDecimal);
}

void MatchBuilder::discovery() {
  match_.promise.l4 = spec_.l4;
  add(spec_.l4 == L4::kSolicit ? "icmp_type=135" : "icmp_type=136");
  add("icmp_code=0");
  if (some(50)) ipv6("nd_target", spec_.target);
  if (spec_.nd_option && some(50))
    number(spec_.l4 == L4::kSolicit ? "nd_sll" : "nd_tll", *spec_.nd_option, 48, Format::kMac, 40);
}

void MatchBuilder::arp() {
  add("arp");
  match_.promise.l3 = L3::kArp;
  if (some(40)) number("arp_op", spec_.arp_op, 16, Format::kDecimal);
  if (some(30)) number("arp_spa", spec_.src4, 32, Format::kIpv4, 50);
  if (some(30)) number("arp_tpa", spec_.dst4, 32, Format::kIpv4, 50);
  if (some(20)) number("arp_sha", spec_.sha, 48, Format::kMac, 30);
  if (some(20)) number("arp_tha", spec_.tha, 48, Format::kMac, 30);
}

void MatchBuilder::mpls() {
  add("mpls");
  match_.promise.l3 = L3::kMpls;
  const FrameSpec::Label& top = spec_.labels.front();
  if (some(40)) number("mpls_label", top.label, 20, Format::kDecimal);
  if (some(20)) number("mpls_tc", top.tc, 3, Format::kDecimal);
  if (some(50)) {
    match_.promise.last_label = spec_.labels.size() == 1;
    number("mpls_bos", match_.promise.last_label ? 1 : 0, 1, Format::kDecimal);
  }
  if (some(15)) number("mpls_ttl", top.ttl, 8, Format::kDecimal);
}

void MatchBuilder::protocol() {
  switch (spec_.l3) {
    case L3::kArp:
      return arp();
    case L3::kMpls:
      return mpls();
    case L3::kLlc:
      return add("dl_type=0x5ff");
    case L3::kOther:
      return add(fmt::format("dl_type={:#x}", spec_.eth_type));
    default:
      break;
  }
  const bool v4 = spec_.l3 == L3::kIpv4;
  if (some(25) || spec_.l4 == L4::kNone || spec_.l4 == L4::kIgmp) {
    add(v4 ? "ip" : "ipv6");
    if (spec_.l4 == L4::kIgmp && some(50)) add("nw_proto=2");
    return ip();
  }
  static constexpr const char* kV4[] = {"", "tcp", "udp", "sctp", "icmp"};
  static constexpr const char* kV6[] = {"", "tcp6", "udp6", "sctp6", "icmp6", "icmp6", "icmp6"};
  add(v4 ? kV4[static_cast<int>(spec_.l4)] : kV6[static_cast<int>(spec_.l4)]);
  ip();
  if (no_transport_) return;
  if (spec_.l4 == L4::kIcmp) return icmp();
  if (spec_.l4 == L4::kSolicit || spec_.l4 == L4::kAdvert) return discovery();
  transport();
}

MatchText MatchBuilder::build(bool pipeline) {
  if (pipeline) pipeline_fields();
  ethernet();
  vlan();
  if (some(80)) protocol();
  return match_;
}

}  // namespace

std::uint64_t random_mask(Random& random, unsigned width) {
  const std::uint64_t all = width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
  if (random.percent(60)) return all & ~((std::uint64_t{1} << random.below(width)) - 1);
  const std::uint64_t mask = random.bits() & all;
  return random.one_in(2) ? mask : mask | (random.bits() & all);
}

MatchText random_match(Random& random, const FrameSpec& spec, bool pipeline) {
  return MatchBuilder{random, spec}.build(pipeline);
}

}  // namespace shunt::test
