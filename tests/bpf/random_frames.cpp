// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/random_frames.h"

#include <algorithm>
#include <cstdlib>

#include "maps/drop_reason.h"
#include "tests/bpf/switch_fixture.h"

namespace shunt::test {
namespace {

constexpr auto kA = "02:00:00:00:00:0a";
constexpr auto kB = "02:00:00:00:00:0b";
constexpr auto kSrc6 = "fd00::1";
constexpr auto kDst6 = "fd00::2";

std::uint64_t below(Random& random, std::uint64_t limit) { return random() % limit; }
bool one_in(Random& random, unsigned chances) { return below(random, chances) == 0; }
std::uint8_t byte(Random& random) { return static_cast<std::uint8_t>(random()); }

void add_tags(Random& random, PacketBuilder& builder) {
  const auto tags = below(random, 4);  // three: one more than is parsed
  for (std::uint64_t i = 0; i < tags && !one_in(random, 2); ++i)
    builder.vlan(static_cast<std::uint16_t>(below(random, 4096)), one_in(random, 3) ? 0x88a8 : 0x8100,
                 static_cast<std::uint8_t>(below(random, 8)), one_in(random, 4));
}

void add_extensions(Random& random, PacketBuilder& builder) {
  for (auto left = below(random, 4); left > 0; --left) {
    switch (below(random, 5)) {
      case 0:
        builder.hop_by_hop(8 * (1 + below(random, 3)));
        break;
      case 1:
        builder.dst_options(8 * (1 + below(random, 5)));
        break;
      case 2:
        builder.routing({"fd00::7"}, static_cast<std::uint8_t>(below(random, 2)));
        break;
      case 3:
        builder.authentication(24);
        break;
      default:
        builder.fragment(static_cast<std::uint16_t>(below(random, 3)), one_in(random, 2));
    }
  }
}

void add_ip(Random& random, PacketBuilder& builder, bool v6) {
  if (v6) {
    builder.ipv6(kSrc6, kDst6).label(static_cast<std::uint32_t>(below(random, 1 << 20)));
  } else {
    builder.ipv4("10.0.0.1", "10.0.0.2");
    if (one_in(random, 4)) builder.ip_options(4 * (1 + below(random, 10)));
    if (one_in(random, 5)) builder.fragment(static_cast<std::uint16_t>(below(random, 4)), one_in(random, 2));
  }
  builder.ttl(one_in(random, 4) ? static_cast<std::uint8_t>(below(random, 4)) : byte(random)).tos(byte(random));
  if (v6 && one_in(random, 3)) add_extensions(random, builder);
}

void add_icmp6(Random& random, PacketBuilder& builder) {
  if (one_in(random, 3)) {
    builder.icmp6(byte(random), byte(random));
    return;
  }
  if (one_in(random, 2))
    builder.nd_solicit("fd00::5");
  else
    builder.nd_advert("fd00::6");
  for (auto left = below(random, 4); left > 0; --left) {
    if (one_in(random, 6))
      builder.nd_option(byte(random), static_cast<std::uint8_t>(below(random, 3)), 8 * (1 + below(random, 2)));
    else
      builder.nd_option(static_cast<std::uint8_t>(1 + below(random, 2)), kA);
  }
}

void add_l4(Random& random, PacketBuilder& builder, bool v6) {
  const auto port = [&random] { return static_cast<std::uint16_t>(random()); };
  switch (below(random, 6)) {
    case 0:
    case 1:
      builder.tcp(port(), port()).flags(static_cast<std::uint16_t>(below(random, 4096)));
      break;
    case 2:
      builder.udp(port(), port());
      if (!v6 && one_in(random, 3)) builder.no_checksum();
      break;
    case 3:
      builder.sctp(port(), port());
      break;
    case 4:
      if (v6)
        add_icmp6(random, builder);
      else
        builder.icmp(byte(random), byte(random));
      break;
    default:
      builder.proto(byte(random));
      return;
  }
  if (one_in(random, 5)) builder.bad_checksum();
}

PacketBuilder well_formed(Random& random) {
  PacketBuilder builder = packet().eth(kA, kB);
  add_tags(random, builder);
  const auto kind = below(random, 12);
  if (kind == 0) {
    builder.arp(static_cast<std::uint16_t>(below(random, 300)), kA, "10.0.0.1", kB, "10.0.0.2");
  } else if (kind == 1 || kind == 3) {
    for (auto labels = 1 + below(random, 4); labels > 0; --labels)
      builder.mpls(static_cast<std::uint32_t>(below(random, 1 << 20)), static_cast<std::uint8_t>(below(random, 8)),
                   one_in(random, 4) ? static_cast<std::uint8_t>(below(random, 4)) : byte(random));
    if (kind == 3) add_ip(random, builder, one_in(random, 2));
  } else if (kind == 2) {
    builder.eth_type(one_in(random, 4) ? 0x88e7 : static_cast<std::uint16_t>(random()));
  } else {
    if (one_in(random, 10)) builder.snap();
    const bool v6 = one_in(random, 2);
    add_ip(random, builder, v6);
    add_l4(random, builder, v6);
  }
  builder.payload(one_in(random, 20) ? below(random, 8000) : below(random, 200));
  return builder;
}

shunt_action random_set_field(Random& random) {
  shunt_action action = simple_action(SHUNT_ACT_SET_FIELD);
  action.field = static_cast<__u8>(1 + below(random, SHUNT_FIELD_COUNT - 1));
  std::generate(std::begin(action.value), std::end(action.value), [&random] { return byte(random); });
  std::generate(std::begin(action.mask), std::end(action.mask),
                [&random] { return one_in(random, 2) ? std::uint8_t{0xff} : byte(random); });
  // What the field does not have is zero, as maps/actions.h says.
  for (int i = 0; i < 6; ++i) action.value[i] &= action.mask[i];
  return action;
}

shunt_action random_mpls(Random& random) {
  static constexpr std::uint16_t kBelow[]{0x8847, 0x8848, 0x0800, 0x86dd, 0x88cc};
  switch (below(random, 5)) {
    case 0:
      return push_mpls(one_in(random, 2) ? 0x8847 : 0x8848, static_cast<std::uint32_t>(random()));
    case 1:
      return pop_mpls(kBelow[below(random, std::size(kBelow))]);
    case 2:
      return simple_action(SHUNT_ACT_DEC_MPLS_TTL);
    case 3:
      return simple_action(SHUNT_ACT_COPY_TTL_OUT);
    default:
      return simple_action(SHUNT_ACT_COPY_TTL_IN);
  }
}

shunt_action random_edit(Random& random) {
  switch (below(random, 10)) {
    case 0:
      return push_vlan(one_in(random, 2) ? 0x8100 : 0x88a8, static_cast<std::uint16_t>(random()));
    case 1:
      return simple_action(SHUNT_ACT_POP_VLAN);
    case 2:
      return simple_action(SHUNT_ACT_DEC_TTL);
    case 3:
      return random_mpls(random);
    case 4:
      // Slots 0 to 5; 1 and 5 drop everything.
      return simple_action(SHUNT_ACT_METER, static_cast<std::uint16_t>(one_in(random, 4) ? below(random, 6) : 2));
    default:
      return random_set_field(random);
  }
}

// What bridges with VLANs, routers and address translation do, of which encoding makes a rewrite.
shunt_action random_routing(Random& random) {
  static constexpr shunt_field kFields[]{SHUNT_FIELD_ETH_DST, SHUNT_FIELD_ETH_SRC, SHUNT_FIELD_IP_SRC,
                                         SHUNT_FIELD_IP_DST,  SHUNT_FIELD_TP_SRC,  SHUNT_FIELD_TP_DST,
                                         SHUNT_FIELD_IP_TOS,  SHUNT_FIELD_IP_TTL};
  if (one_in(random, 4)) return simple_action(SHUNT_ACT_DEC_TTL);
  if (one_in(random, 6)) return simple_action(SHUNT_ACT_POP_VLAN);
  if (one_in(random, 6)) return push_vlan(one_in(random, 2) ? 0x8100 : 0x88a8, static_cast<std::uint16_t>(random()));
  shunt_action action = random_set_field(random);
  if (one_in(random, 10)) {
    action.field = SHUNT_FIELD_VLAN_TCI;
    return action;
  }
  action.field = kFields[below(random, std::size(kFields))];
  if (action.field != SHUNT_FIELD_IP_TOS) std::ranges::fill(action.mask, std::uint8_t{0xff});
  if (one_in(random, 3)) std::ranges::fill(action.value, one_in(random, 2) ? std::uint8_t{0xff} : std::uint8_t{0});
  for (int i = 0; i < 6; ++i) action.value[i] &= action.mask[i];
  return action;
}

// Whether the kernel side may get `edit` behind these (encoding sees to it): it does not know what a pop uncovers, nor
// a top label's TTL that a pop or a copy put there.
bool may_follow(const std::vector<shunt_action>& edits, const shunt_action& edit) {
  bool popped = false, ttl_unknown = false;
  for (const shunt_action& earlier : edits) {
    popped = popped || earlier.type == SHUNT_ACT_POP_MPLS;
    ttl_unknown = ttl_unknown || earlier.type == SHUNT_ACT_POP_MPLS || earlier.type == SHUNT_ACT_COPY_TTL_OUT;
  }
  if (edit.type == SHUNT_ACT_DEC_MPLS_TTL) return !ttl_unknown;
  if (edit.type == SHUNT_ACT_DEC_TTL || edit.type == SHUNT_ACT_METER) return !popped;
  if (edit.type == SHUNT_ACT_SET_FIELD)
    return !popped || edit.field <= SHUNT_FIELD_VLAN_TPID || edit.field == SHUNT_FIELD_MPLS_LSE;
  return true;
}

shunt_action random_end(Random& random) {
  switch (below(random, 10)) {
    case 0:
      return drop_for(static_cast<shunt_drop_reason>(1 + below(random, SHUNT_DROP_COUNT - 1)));
    case 1:
      return userspace_for(static_cast<shunt_upcall_reason>(below(random, SHUNT_UPCALL_COUNT)));
    case 2:
      return output_to(1, one_in(random, 2));
    case 3:
      return group_output(1);
    case 4:
      return output_to(9);  // no such port
    default:
      return output_to(2);
  }
}

}  // namespace

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

Bytes random_frame(Random& random) {
  Bytes frame = well_formed(random).build();
  if (one_in(random, 4)) {
    for (auto left = 1 + below(random, 3); left > 0; --left)
      frame[12 + below(random, std::min<std::size_t>(frame.size() - 12, 100))] = static_cast<std::byte>(random());
  }
  if (one_in(random, 4)) frame.resize(14 + below(random, std::min<std::size_t>(frame.size() - 13, 120)));
  if (one_in(random, 6)) frame.resize(std::max<std::size_t>(frame.size(), 60));
  return frame;
}

std::vector<shunt_action> random_actions(Random& random) {
  std::vector<shunt_action> actions;
  if (one_in(random, 4)) {
    for (auto edits = 1 + below(random, 8); edits > 0; --edits) actions.push_back(random_routing(random));
    actions.push_back(random_end(random));
    return actions;
  }
  for (auto edits = one_in(random, 3) ? 0 : below(random, SHUNT_MAX_ACTIONS - 1); edits > 0; --edits)
    if (const shunt_action edit = random_edit(random); may_follow(actions, edit)) actions.push_back(edit);
  if (one_in(random, 30)) actions.insert(actions.begin(), simple_action(SHUNT_ACT_SAMPLE));  // probability: all
  if (one_in(random, 8) && actions.size() < SHUNT_MAX_ACTIONS - 1)
    actions.push_back(simple_action(SHUNT_ACT_TRUNCATE, static_cast<std::uint16_t>(14 + below(random, 200))));
  if (!one_in(random, 20) && actions.size() < SHUNT_MAX_ACTIONS) actions.push_back(random_end(random));
  return actions;
}

std::vector<NamedFrame> corner_frames() {
  const auto ip4 = [] { return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2"); };
  const auto ip6 = [] { return packet().eth(kA, kB).ipv6(kSrc6, kDst6); };
  return {
      {"only an Ethernet header", packet().eth(kA, kB).eth_type(0x0800).build()},
      {"a tag cut short", packet().eth(kA, kB).vlan(5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).truncate(16).build()},
      {"three tags",
       packet().eth(kA, kB).vlan(1, 0x88a8).vlan(2).vlan(3).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()},
      {"a priority tag", packet().eth(kA, kB).vlan(0, 0x8100, 7).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()},
      {"LLC without SNAP", packet().eth(kA, kB).llc(0x42, 0x42, 3).payload(40).build()},
      {"SNAP with IPv4", packet().eth(kA, kB).snap().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(4).build()},
      {"ARP cut short", packet().eth(kA, kB).arp_request().truncate(30).build()},
      {"an IPv4 header that says 16 bytes", ip4().header_words(4).udp(1, 2).payload(20).build()},
      {"IPv4 options longer than the datagram", ip4().header_words(15).length(28).udp(1, 2).build()},
      {"an IPv4 length beyond the frame", ip4().length(2000).udp(1, 2).payload(20).build()},
      {"an IPv4 length below its header", ip4().length(10).udp(1, 2).payload(20).build()},
      {"Ethernet padding behind a datagram", ip4().udp(1, 2).payload(1).pad(60).build()},
      {"a TCP header cut by the datagram's length", ip4().length(30).tcp(1, 2).payload(20).build()},
      {"a first fragment", ip4().fragment(0, true).udp(1, 2).payload(64).build()},
      {"a later fragment", ip4().fragment(8, false).udp(1, 2).payload(64).build()},
      {"UDP without checksum", ip4().udp(1, 2).no_checksum().payload(9).build()},
      {"TTL 0", ip4().ttl(0).udp(1, 2).payload(9).build()},
      {"TTL 1", ip4().ttl(1).tcp(1, 2).payload(9).build()},
      {"hop limit 1", ip6().ttl(1).tcp(1, 2).payload(9).build()},
      {"an IPv6 payload beyond the frame", ip6().length(900).udp(1, 2).build()},
      {"all IPv6 extension headers",
       ip6().hop_by_hop().routing({"fd00::7"}, 1).dst_options(24).authentication().tcp(1, 2).build()},
      {"an atomic fragment", ip6().fragment(0, false).udp(1, 2).payload(5).build()},
      {"an IPv6 first fragment", ip6().fragment(0, true).udp(1, 2).payload(64).build()},
      {"an IPv6 later fragment", ip6().fragment(9, false).udp(1, 2).payload(64).build()},
      {"nine extension headers", ip6()
                                     .dst_options()
                                     .dst_options()
                                     .dst_options()
                                     .dst_options()
                                     .dst_options()
                                     .dst_options()
                                     .dst_options()
                                     .dst_options()
                                     .dst_options()
                                     .udp(1, 2)
                                     .build()},
      {"no next header", ip6().proto(59).payload(20).build()},
      {"a solicitation with its option", ip6().nd_solicit("fd00::5").nd_option(1, kA).build()},
      {"an advertisement with its option", ip6().nd_advert("fd00::5").nd_option(2, kB).build()},
      {"the same ND option twice", ip6().nd_solicit("fd00::5").nd_option(1, kA).nd_option(1, kB).build()},
      {"an ND option of length 0", ip6().nd_solicit("fd00::5").nd_option(1, 0, 8).build()},
      {"SCTP", ip4().sctp(5, 6).payload(100).build()},
      {"SCTP over IPv6", ip6().sctp(5, 6).payload(33).build()},
      {"IGMP", ip4().igmp(0x16, 0).payload(4).build()},
      {"three MPLS labels", packet().eth(kA, kB).mpls(1).mpls(2).mpls(3).payload(30).build()},
      {"IPv4 under a label", packet().eth(kA, kB).mpls(1).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(9).build()},
      {"IPv6 under two labels behind a tag",
       packet().eth(kA, kB).vlan(3).mpls(1, 0, 3).mpls(2, 0, 7).ipv6(kSrc6, kDst6).ttl(9).udp(1, 2).build()},
      {"a label cut short", packet().eth(kA, kB).mpls(1).truncate(16).build()},
      {"a label with TTL 1", packet().eth(kA, kB).mpls(1, 0, 1).payload(30).build()},
      {"a service instance tag", packet().eth(kA, kB).eth_type(0x88e7).payload(60).build()},
      {"assured forwarding", ip4().tos(0x28).udp(1, 2).payload(20).build()},
      {"assured forwarding over IPv6", ip6().tos(0x28).udp(1, 2).payload(20).build()},
      {"extension headers in an odd order", ip6().fragment(0, false).hop_by_hop().dst_options().udp(1, 2).build()},
      {"1500 bytes", ip4().udp(1, 2).payload(1472).build()},
      {"a frame of several buffers", ip4().tcp(1, 2).payload(8000).build()},
      {"an IPv6 frame of several buffers", ip6().udp(1, 2).payload(7000).build()},
  };
}

}  // namespace shunt::test
