// SPDX-License-Identifier: Apache-2.0
#include "user/flow/fields.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "user/base/error.h"
#include "user/flow/field_text.h"
#include "user/flow/key_text.h"

using namespace shunt;

namespace {

FlowKey ipv4_packet(std::uint8_t protocol) {
  FlowKey key{};
  key.eth_type = be16{0x0800};
  key.nw_proto = protocol;
  key.ip_src[10] = key.ip_src[11] = key.ip_dst[10] = key.ip_dst[11] = 0xff;
  return key;
}

FlowKey ipv6_packet(std::uint8_t protocol) {
  FlowKey key{};
  key.eth_type = be16{0x86dd};
  key.nw_proto = protocol;
  return key;
}

FlowKey nd_packet(std::uint16_t type) {
  FlowKey key = ipv6_packet(58);
  key.tp_src = be16{type};
  return key;
}

FieldBits random_bits(std::mt19937_64& random) { return static_cast<FieldBits>(random()) << 64 | random(); }

std::string formatted(FieldId id, FieldBits value, FieldBits mask) {
  std::string out;
  format_field(out, field(id), value, mask);
  return out;
}

std::string reason_of(FieldId id, std::string_view text) {
  try {
    (void)parse_field(field(id), text, 1);
  } catch (const TextError& error) {
    return error.what();
  }
  return "accepted";
}

Match set_of(FieldId id, FieldBits value, FieldBits mask) {
  Match set;
  write_field(field(id), set.value, value & mask);
  write_field(field(id), set.mask, mask);
  return set;
}

}  // namespace

TEST_SUITE("fields") {
  TEST_CASE("every name finds its field") {
    for (const Field& f : fields()) {
      CAPTURE(std::string{f.name});
      CHECK(find_field(f.name) == &f);
      CHECK(find_field(oxm_name(f)) == &f);
      if (!f.alias.empty()) CHECK(find_field(f.alias) == &f);
    }
    CHECK(find_field("dl_src") == &field(FieldId::kEthSrc));
    CHECK(find_field("OXM_OF_IPV4_DST") == &field(FieldId::kIpDst));
    CHECK(find_field("") == nullptr);
    CHECK(find_field("nonsense") == nullptr);
  }

  TEST_CASE("what is written to a field is read back, and no other bit of the key changes") {
    std::mt19937_64 random{1};
    for (const Field& f : fields()) {
      CAPTURE(std::string{f.name});
      for (int i = 0; i < 50; ++i) {
        PipelineWords words{};
        for (auto& word : words) word = random();
        const PipelineKey before = from_words(words);
        const FieldBits value = random_bits(random);
        PipelineKey after = before;
        write_field(f, after, value);
        CHECK(read_field(f, after) == (value & value_bits(f)));
        const PipelineWords a = to_words(before), b = to_words(after), m = to_words(field_mask(f));
        for (std::size_t w = 0; w < kPipelineWords; ++w) CHECK(((a[w] ^ b[w]) & ~m[w]) == 0);
      }
    }
  }

  TEST_CASE("fields lie where the parser puts them") {
    PipelineKey key{};
    key.vlan[0].tci = be16{0xb00a};
    key.ip_src[12] = 10;
    key.ip_src[15] = 1;
    key.tp_src = be16{8};
    key.nw_tos = 0xb9;
    key.mpls_lse[0] = be32{0x12345'b'ff};
    key.ipv6_label = be32{0xabcde};
    key.in_port = 7;
    CHECK(read_field(field(FieldId::kVlanVid), key) == 10);
    CHECK(read_field(field(FieldId::kVlanPcp), key) == 5);
    CHECK(read_field(field(FieldId::kVlanTci), key) == 0xb00a);
    CHECK(read_field(field(FieldId::kIpSrc), key) == 0x0a000001);
    CHECK(read_field(field(FieldId::kIcmpType), key) == 8);
    CHECK(read_field(field(FieldId::kNwTos), key) == 0xb8);
    CHECK(read_field(field(FieldId::kIpDscp), key) == 0x2e);
    CHECK(read_field(field(FieldId::kNwEcn), key) == 1);
    CHECK(read_field(field(FieldId::kMplsLabel), key) == 0x12345);
    CHECK(read_field(field(FieldId::kMplsTc), key) == 5);
    CHECK(read_field(field(FieldId::kMplsBos), key) == 1);
    CHECK(read_field(field(FieldId::kMplsTtl), key) == 0xff);
    CHECK(read_field(field(FieldId::kIpv6Label), key) == 0xabcde);
    CHECK(read_field(field(FieldId::kInPort), key) == 7);
  }

  TEST_CASE("registers are the same bits in ones, twos and fours") {
    PipelineKey key{};
    write_field(field(FieldId::kXxreg0), key, FieldBits{0x0123456789abcdef} << 64 | 0xfedcba9876543210);
    const auto reg = [&key](unsigned n) {
      return read_field(field(static_cast<FieldId>(static_cast<unsigned>(FieldId::kReg0) + n)), key);
    };
    CHECK(reg(0) == 0x01234567);
    CHECK(reg(1) == 0x89abcdef);
    CHECK(reg(3) == 0x76543210);
    CHECK(reg(4) == 0);
    CHECK(read_field(field(FieldId::kXreg0), key) == 0x0123456789abcdef);
    CHECK(is_pipeline_field(field(FieldId::kReg0)));
    CHECK(is_pipeline_field(field(FieldId::kInPort)));
    CHECK_FALSE(is_pipeline_field(field(FieldId::kPbbIsid)));
  }

  TEST_CASE("PBB's and IPv6's new fields lie where the parser puts them") {
    PipelineKey key{};
    key.pbb_itag = be32{0x68123456};
    key.ipv6_exthdr = be16{SHUNT_EXTHDR_FRAG | SHUNT_EXTHDR_UNSEQ};
    CHECK(read_field(field(FieldId::kPbbIsid), key) == 0x123456);
    CHECK(read_field(field(FieldId::kPbbUca), key) == 1);
    CHECK(read_field(field(FieldId::kIpv6Exthdr), key) == 0x110);
  }

  TEST_CASE("the low 16 bits of in_port are written as OpenFlow 1.0's port number") {
    PipelineKey key{};
    const Subfield low{&field(FieldId::kInPort), 0, 16};
    key.in_port = kPortLocal.value;
    CHECK(read_subfield(low, key) == 0xfffe);
    write_subfield(low, key, 5);
    CHECK(key.in_port == 5);
    write_subfield(low, key, 0xfffd);
    CHECK(key.in_port == kPortController.value);
    CHECK(port_from_16(0xff00) == PortNo{0xff00});
    CHECK(port_from_16(0xfff7) == kPortUnset);
    CHECK(port_from_16(0xffff) == kPortNone);
  }

  TEST_CASE("bits of fields are read and written, and no bit beside them") {
    std::mt19937_64 random{8};
    for (const Field& f : fields()) {
      if (f.id == FieldId::kInPort) continue;
      CAPTURE(std::string{f.name});
      for (int i = 0; i < 20; ++i) {
        const auto first = static_cast<std::uint16_t>(random() % f.width);
        const auto count = static_cast<std::uint16_t>(random() % (f.width - first) + 1u);
        const FieldBits ones = count == 128 ? ~FieldBits{0} : (FieldBits{1} << count) - 1;
        PipelineKey key{};
        write_field(f, key, random_bits(random));
        const FieldBits before = read_field(f, key), value = random_bits(random) & ones;
        write_subfield({&f, first, count}, key, value);
        CHECK(read_subfield({&f, first, count}, key) == (value & (value_bits(f) >> first)));
        CHECK((read_field(f, key) & ~(ones << first)) == (before & ~(ones << first)));
      }
    }
  }

  TEST_CASE("writing the ToS leaves ECN alone") {
    PipelineKey key{};
    key.nw_tos = 0x03;
    write_field(field(FieldId::kNwTos), key, 0xff);
    CHECK(key.nw_tos == 0xff);
    write_field(field(FieldId::kNwTos), key, 0);
    CHECK(key.nw_tos == 0x03);
  }

  TEST_CASE("prerequisites follow the packet's protocols") {
    CHECK(holds(Prerequisite::kTcp, ipv4_packet(6)));
    CHECK(holds(Prerequisite::kTcp, ipv6_packet(6)));
    CHECK(holds(Prerequisite::kTransport, ipv6_packet(132)));
    CHECK_FALSE(holds(Prerequisite::kUdp, ipv4_packet(6)));
    CHECK_FALSE(holds(Prerequisite::kIcmpv6, ipv4_packet(58)));
    CHECK_FALSE(holds(Prerequisite::kAnyIcmp, ipv6_packet(1)));
    CHECK(holds(Prerequisite::kAnyIcmp, ipv4_packet(1)));
    CHECK(holds(Prerequisite::kNdSolicit, nd_packet(135)));
    CHECK(holds(Prerequisite::kNd, nd_packet(136)));
    CHECK_FALSE(holds(Prerequisite::kNdSolicit, nd_packet(136)));
    CHECK_FALSE(holds(Prerequisite::kVlan, FlowKey{}));
    FlowKey rarp{};
    rarp.eth_type = be16{0x8035};
    CHECK(holds(Prerequisite::kArp, rarp));
  }

  TEST_CASE("a later fragment has no ports") {
    FlowKey key = ipv4_packet(6);
    key.nw_frag = SHUNT_FRAG_ANY;
    CHECK(holds(Prerequisite::kTcp, key));
    key.nw_frag = SHUNT_FRAG_ANY | SHUNT_FRAG_LATER;
    CHECK_FALSE(holds(Prerequisite::kTcp, key));
  }

  TEST_CASE("bits outside prerequisite_mask() never change whether a prerequisite holds") {
    std::mt19937_64 random{2};
    const std::vector<FlowKey> packets{FlowKey{},      ipv4_packet(6), ipv4_packet(1),   ipv6_packet(17),
                                       nd_packet(135), nd_packet(136), ipv4_packet(132), ipv6_packet(58)};
    for (int p = 0; p <= static_cast<int>(Prerequisite::kPbb); ++p) {
      const auto prerequisite = static_cast<Prerequisite>(p);
      const KeyWords mask = to_words(prerequisite_mask(prerequisite));
      for (const FlowKey& packet : packets)
        for (int i = 0; i < 50; ++i) {
          KeyWords words = to_words(packet);
          for (std::size_t w = 0; w < kKeyWords; ++w) words[w] ^= random() & ~mask[w];
          CHECK(holds(prerequisite, packet) == holds(prerequisite, from_words(words)));
        }
    }
  }

  TEST_CASE("a match implies a prerequisite only where it fixes each bit that decides it") {
    Match match{to_pipeline(ipv4_packet(6)), {}};
    match.value = match.value & match.mask;
    CHECK_FALSE(implied_by(Prerequisite::kIpv4, match));
    match = {};
    match.value.eth_type = be16{0x0800};
    match.mask.eth_type = be16{0xffff};
    CHECK(implied_by(Prerequisite::kIpv4, match));
    CHECK(implied_by(Prerequisite::kIp, match));
    CHECK_FALSE(implied_by(Prerequisite::kTcp, match));
    match.value.nw_proto = 6;
    match.mask.nw_proto = 0xff;
    CHECK(implied_by(Prerequisite::kTcp, match));
    match.value.nw_frag = match.mask.nw_frag = SHUNT_FRAG_LATER;
    CHECK_FALSE(implied_by(Prerequisite::kTcp, match));
  }

  TEST_CASE("set_field pieces write what the field says, and nothing of another protocol") {
    std::mt19937_64 random{3};
    struct Case {
      FieldId id;
      FlowKey packet;
    };
    FlowKey tagged{};
    tagged.vlan[0] = {be16{0x8100}, be16{SHUNT_VLAN_PRESENT}};
    FlowKey arp{};
    arp.eth_type = be16{0x0806};
    FlowKey mpls{};
    mpls.eth_type = be16{0x8847};
    const std::vector<Case> cases{{FieldId::kEthSrc, FlowKey{}},
                                  {FieldId::kEthDst, FlowKey{}},
                                  {FieldId::kVlanVid, tagged},
                                  {FieldId::kVlanPcp, tagged},
                                  {FieldId::kIpSrc, ipv4_packet(17)},
                                  {FieldId::kIpDst, ipv4_packet(6)},
                                  {FieldId::kIpv6Src, ipv6_packet(6)},
                                  {FieldId::kIpv6Dst, ipv6_packet(58)},
                                  {FieldId::kIpv6Label, ipv6_packet(6)},
                                  {FieldId::kNwTos, ipv4_packet(6)},
                                  {FieldId::kNwEcn, ipv6_packet(6)},
                                  {FieldId::kNwTtl, ipv6_packet(6)},
                                  {FieldId::kTcpSrc, ipv4_packet(6)},
                                  {FieldId::kSctpDst, ipv6_packet(132)},
                                  {FieldId::kIcmpType, ipv4_packet(1)},
                                  {FieldId::kIcmpCode, ipv6_packet(58)},
                                  {FieldId::kArpOp, arp},
                                  {FieldId::kArpSpa, arp},
                                  {FieldId::kArpTpa, arp},
                                  {FieldId::kArpSha, arp},
                                  {FieldId::kArpTha, arp},
                                  {FieldId::kNdTarget, nd_packet(135)},
                                  {FieldId::kNdSll, nd_packet(135)},
                                  {FieldId::kNdTll, nd_packet(136)},
                                  {FieldId::kMplsLabel, mpls},
                                  {FieldId::kMplsTc, mpls},
                                  {FieldId::kMplsBos, mpls},
                                  {FieldId::kMplsTtl, mpls}};
    for (const Case& c : cases) {
      CAPTURE(std::string{field(c.id).name});
      for (int i = 0; i < 20; ++i) {
        const FieldBits mask = i == 0 ? value_bits(field(c.id)) : random_bits(random) & value_bits(field(c.id));
        const Match set = set_of(c.id, random_bits(random), mask);
        DpActions actions;
        append_set_field(c.packet, set, actions);
        Match joined;
        for (const shunt_action& action : actions) {
          const Match piece = set_field_match(action);
          CHECK(!is_zero(piece.mask));
          add_mask(joined.mask, piece.mask);
          add_mask(joined.value, piece.value);
        }
        CHECK(equal(joined.mask, set.mask));
        CHECK(equal(joined.value, set.value));
      }
    }
  }

  TEST_CASE("a packet without the field gets no set_field action") {
    DpActions actions;
    append_set_field(ipv6_packet(6), set_of(FieldId::kVlanVid, 5, 0xfff), actions);
    append_set_field(FlowKey{}, set_of(FieldId::kIpSrc, 5, 0xffffffff), actions);
    append_set_field(ipv4_packet(1), set_of(FieldId::kNdTarget, 5, ~FieldBits{0}), actions);
    CHECK(actions.empty());
  }

  TEST_CASE("the PRESENT bit of a tag and the type are never written") {
    FlowKey tagged{};
    tagged.vlan[0] = {be16{0x8100}, be16{SHUNT_VLAN_PRESENT}};
    DpActions actions;
    append_set_field(tagged, set_of(FieldId::kVlanTci, 0xffff, SHUNT_VLAN_PRESENT), actions);
    append_set_field(tagged, set_of(FieldId::kEthType, 0x0800, 0xffff), actions);
    append_set_field(tagged, set_of(FieldId::kInPort, 3, 0xffffffff), actions);
    CHECK(actions.empty());
    append_set_field(tagged, set_of(FieldId::kVlanTci, 0xffff, 0xffff), actions);
    REQUIRE(actions.size() == 1);
    CHECK(actions[0].mask[0] == 0xef);
  }
}

TEST_SUITE("field text") {
  TEST_CASE("values and masks are shown as ovs-ofctl shows them") {
    CHECK(formatted(FieldId::kIpSrc, 0x0a000000, 0xff000000) == "10.0.0.0/8");
    CHECK(formatted(FieldId::kIpSrc, 0x0a000000, 0xff00ff00) == "10.0.0.0/255.0.255.0");
    CHECK(formatted(FieldId::kIpSrc, 0x0a000001, 0xffffffff) == "10.0.0.1");
    CHECK(formatted(FieldId::kIpv6Src, FieldBits{0xfe80} << 112, FieldBits{0xffc0} << 112) == "fe80::/10");
    CHECK(formatted(FieldId::kIpv6Src, 1, 0xffff) == "::1/::ffff");
    CHECK(formatted(FieldId::kEthDst, 0x010000000000, 0x010000000000) == "01:00:00:00:00:00/01:00:00:00:00:00");
    CHECK(formatted(FieldId::kTpSrc, 80, 0xffff) == "80");
    CHECK(formatted(FieldId::kTpSrc, 0x1000, 0xf000) == "0x1000/0xf000");
    CHECK(formatted(FieldId::kIpv6Label, 5, 0xf) == "0x5/0xf");
    CHECK(formatted(FieldId::kTcpFlags, 0x02, 0x12) == "+syn-ack");
    CHECK(formatted(FieldId::kTcpFlags, 0x12, 0xfff) == "syn|ack");
    CHECK(formatted(FieldId::kIpFrag, 0, 2) == "not_later");
    CHECK(formatted(FieldId::kIpFrag, 3, 3) == "later");
    CHECK(formatted(FieldId::kEthType, 0x88cc, 0xffff) == "0x88cc");
    CHECK(formatted(FieldId::kIpv6Exthdr, 0x10, 0x50) == "+frag-hop");
    CHECK(formatted(FieldId::kIpv6Exthdr, 0x110, 0x1ff) == "frag|unseq");
    CHECK(formatted(FieldId::kReg0, 0, 0xffffffff) == "0");
    CHECK(formatted(FieldId::kReg0, 0, 0xf) == "0/0xf");
    CHECK(formatted(FieldId::kMetadata, 5, ~std::uint64_t{0}) == "0x5");
  }

  TEST_CASE("what format_field() writes parse_field() reads, for random values and masks of every field") {
    std::mt19937_64 random{4};
    for (const Field& f : fields()) {
      if (f.format == FieldFormat::kPort) continue;
      CAPTURE(std::string{f.name});
      for (int i = 0; i < 200; ++i) {
        FieldBits mask = value_bits(f);
        if (i % 4 != 0 && is_maskable(f)) {
          if (i % 4 == 1) mask &= random_bits(random);
          if (i % 4 == 2) mask &= ~FieldBits{0} << random() % f.width;
          if (i % 4 == 3) mask &= random_bits(random) & random_bits(random) & random_bits(random);
        }
        if (mask == 0) continue;
        const FieldBits value = random_bits(random) & mask;
        std::string text;
        format_field(text, f, value, mask);
        CAPTURE(text);
        const FieldText parsed = parse_field(f, text, 1);
        CHECK(parsed.value == value);
        CHECK(parsed.mask == mask);
      }
    }
  }

  TEST_CASE("bits outside the mask are cleared, as ovs-ofctl does") {
    const FieldText net = parse_field(field(FieldId::kIpDst), "10.1.2.3/8", 1);
    CHECK(net.value == 0x0a000000);
    CHECK(net.mask == 0xff000000);
    CHECK(parse_field(field(FieldId::kNwTos), "5", 1).value == 4);
  }

  TEST_CASE("values that do not fit are refused, and the message names the column") {
    CHECK(reason_of(FieldId::kTcpSrc, "65536") == "column 1: 65536 is out of range for tcp_src (at most 65535)");
    CHECK(reason_of(FieldId::kTcpSrc, "http") == "column 1: 'http' is not a number for tcp_src");
    CHECK(reason_of(FieldId::kTcpSrc, "080") == "column 1: '080' is not a number for tcp_src");
    CHECK(reason_of(FieldId::kIpSrc, "10.0.0") == "column 1: '10.0.0' is not an IPv4 address for ip_src");
    CHECK(reason_of(FieldId::kIpSrc, "10.0.0.256").find("IPv4 address") != std::string::npos);
    CHECK(reason_of(FieldId::kIpSrc, "10.0.0.0/33") == "column 10: the prefix length 33 is out of range (at most 32)");
    CHECK(reason_of(FieldId::kIpSrc, "10.0.0.0/255.0.x") == "column 10: '255.0.x' is no mask for ip_src");
    CHECK(reason_of(FieldId::kIpv6Src, "fe80::1::").find("IPv6 address") != std::string::npos);
    CHECK(reason_of(FieldId::kEthSrc, "00:11:22:33:44").find("MAC address") != std::string::npos);
    CHECK(reason_of(FieldId::kEthSrc, "00:11:22:33:44:55:66").find("MAC address") != std::string::npos);
    CHECK(reason_of(FieldId::kIpFrag, "maybe").find("fragment word") != std::string::npos);
    CHECK(reason_of(FieldId::kTcpFlags, "+syn+syn").find("TCP flags") != std::string::npos);
    CHECK(reason_of(FieldId::kTcpFlags, "0x1000").find("out of range") != std::string::npos);
    CHECK(reason_of(FieldId::kDlVlan, "5/7") == "column 2: dl_vlan takes no mask");
    CHECK(reason_of(FieldId::kIpv6Label, "0xfffff") == "accepted");
    CHECK(reason_of(FieldId::kIpv6Label, "0x100000").find("out of range") != std::string::npos);
  }

  TEST_CASE("numbers that are too long for 128 bits are no numbers") {
    CHECK(number_from("340282366920938463463374607431768211455") == ~FieldBits{0});
    CHECK_FALSE(number_from("340282366920938463463374607431768211456"));
    CHECK(number_from("0xffffffffffffffffffffffffffffffff") == ~FieldBits{0});
    CHECK_FALSE(number_from("0x1ffffffffffffffffffffffffffffffff"));
    CHECK_FALSE(number_from("0x"));
    CHECK_FALSE(number_from(""));
    CHECK_FALSE(number_from("-1"));
    CHECK_FALSE(number_from("1 "));
  }

  TEST_CASE("the nearest name is found, and none where nothing is near") {
    const std::vector<std::string_view> names{"nw_src", "nw_dst", "tcp_src"};
    CHECK(nearest("nw_scr", names) == "nw_src");
    CHECK(nearest("zebra", names).empty());
  }
}

TEST_SUITE("key text") {
  TEST_CASE("a flow is shown with what its mask looks at") {
    PipelineKey key = to_pipeline(ipv4_packet(6));
    PipelineMask mask{};
    key.in_port = 1;
    mask.in_port = 0xffffffff;
    key.eth_dst[5] = 2;
    std::memset(mask.eth_dst, 0xff, sizeof mask.eth_dst);
    mask.vlan[0].tci = be16{0xffff};
    mask.eth_type = be16{0xffff};
    write_field(field(FieldId::kIpDst), key, 0x0a000000);
    write_field(field(FieldId::kIpDst), mask, 0xff000000);
    mask.nw_proto = 0xff;
    mask.nw_frag = 0x3;
    key.tp_dst = be16{80};
    mask.tp_dst = be16{0xffff};
    CHECK(format_key(key, mask) ==
          "in_port(1),eth(dst=00:00:00:00:00:02),vlan(none),eth_type(0x0800),ipv4(dst=10.0.0.0/8,proto=6,frag=no),"
          "tcp(dst=80)");
    CHECK(
        format_key(key, mask, [](DpPort port) { return "p" + std::to_string(port.value); }).starts_with("in_port(p1)"));
    CHECK(format_mask(mask) == "in_port,eth_dst,vlan_tci,eth_type,ip_dst/255.0.0.0,nw_proto,nw_frag,tp_dst");
  }

  TEST_CASE("the packet's hash, extension headers and PBB tags are shown") {
    FlowKey key = ipv6_packet(6);
    FlowMask mask{};
    mask.eth_type = be16{0xffff};
    key.dp_hash = 0x12345;
    mask.dp_hash = 0xff;
    key.ipv6_exthdr = be16{SHUNT_EXTHDR_FRAG};
    mask.ipv6_exthdr = be16{SHUNT_EXTHDR_FRAG | SHUNT_EXTHDR_HOP};
    CHECK(format_key(key, mask) == "dp_hash(0x45/0xff),eth_type(0x86dd),ipv6(exthdr=+frag-hop)");
    CHECK(format_mask(mask) == "dp_hash/0xff,eth_type,ipv6_exthdr/0x50");
    mask.dp_hash = 0xffffffff;
    CHECK(format_key(key, mask).starts_with("dp_hash(0x12345),"));

    FlowKey pbb{};
    FlowMask pbb_mask{};
    pbb.eth_type = be16{0x88e7};
    pbb_mask.eth_type = be16{0xffff};
    pbb.pbb_itag = be32{0x680001f4};
    pbb_mask.pbb_itag = be32{0x08ffffff};
    CHECK(format_key(pbb, pbb_mask) == "eth_type(0x88e7),pbb(isid=500,uca=1)");
    pbb_mask.pbb_itag = be32{0xe0ffffff};
    CHECK(format_key(pbb, pbb_mask) == "eth_type(0x88e7),pbb(isid=500,tag=0x60000000/0xe0000000)");
  }

  TEST_CASE("tags are shown outer first, with what is asked of them") {
    FlowKey key{};
    FlowMask mask{};
    key.vlan[0] = {be16{0x88a8}, be16{0x700a}};
    key.vlan[1] = {be16{0x8100}, be16{0x1014}};
    mask.vlan[0] = {be16{0xffff}, be16{0xffff}};
    mask.vlan[1] = {be16{0}, be16{SHUNT_VLAN_PRESENT}};
    CHECK(format_key(key, mask) == "vlan(tpid=0x88a8,vid=10,pcp=3),inner_vlan(any)");
    mask.vlan[1].tci = be16{0x100f};
    CHECK(format_key(key, mask) == "vlan(tpid=0x88a8,vid=10,pcp=3),inner_vlan(vid=0x4/0xf)");
  }

  TEST_CASE("bytes that fields share are shown as the packet's own field") {
    const FlowMask all = from_words([] {
      KeyWords words{};
      words.fill(~std::uint64_t{0});
      return words;
    }());
    CHECK(format_key(nd_packet(135), all).find("nd(target=::,sll=00:00:00:00:00:00)") != std::string::npos);
    CHECK(format_key(nd_packet(135), all).find("arp") == std::string::npos);
    CHECK(format_key(ipv4_packet(1), all).find("icmp(type=0,code=0)") != std::string::npos);
    CHECK(format_key(ipv4_packet(1), all).find("tcp") == std::string::npos);
  }
}

TEST_CASE("bits of a flow's key whose protocol the mask leaves open are shown all the same") {
  FlowKey key{};
  FlowMask mask{};
  key.in_port = 1;
  mask.in_port = ~0u;
  key.ip_dst[15] = 9;
  mask.ip_dst[15] = 0xf9;
  CHECK(format_key(key, mask, {}) == "in_port(1),ip_dst(0.0.0.9/0.0.0.249)");
}
