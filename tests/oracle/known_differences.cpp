// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/known_differences.h"

#include <algorithm>

namespace shunt::test {
namespace {

bool mentions(const Scenario& scenario, const std::string& word) {
  const auto has = [&](const std::string& text) { return text.find(word) != std::string::npos; };
  return std::any_of(scenario.rules.begin(), scenario.rules.end(), has) ||
         std::any_of(scenario.groups.begin(), scenario.groups.end(), has);
}

bool has_mode(const Scenario& scenario, VlanMode mode) {
  return std::any_of(scenario.layout.ports.begin(), scenario.layout.ports.end(),
                     [&](const PortSetting& port) { return port.vlan.mode == mode; });
}

// A frame's headers, read anew.
class Headers {
 public:
  explicit Headers(const Bytes& frame) : frame_{frame} {
    for (eth_type_ = 12; is_tag(eth_type_); eth_type_ += 4) ++tags;
    is_ipv4 = word(eth_type_) == 0x0800;
    is_ipv6 = word(eth_type_) == 0x86dd;
    l3 = eth_type_ + 2;
  }
  unsigned tags = 0;
  bool is_ipv4 = false, is_ipv6 = false;
  std::size_t l3 = 0;

  [[nodiscard]] unsigned byte(std::size_t at) const {
    return at < frame_.size() ? std::to_integer<unsigned>(frame_[at]) : 0u;
  }
  [[nodiscard]] unsigned word(std::size_t at) const { return byte(at) << 8 | byte(at + 1); }
  [[nodiscard]] bool is_tag(std::size_t at) const { return word(at) == 0x8100 || word(at) == 0x88a8; }
  [[nodiscard]] std::size_t eth_type() const { return eth_type_; }
  // Label stack entries.
  [[nodiscard]] unsigned labels() const {
    if (word(eth_type_) != 0x8847 && word(eth_type_) != 0x8848) return 0;
    unsigned count = 0;
    for (std::size_t at = l3; at + 4 <= frame_.size(); at += 4) {
      ++count;
      if ((byte(at + 2) & 1) != 0) break;
    }
    return count;
  }
  // A tag without VID and priority; number 0 is the outer one.
  [[nodiscard]] bool is_empty_tag(unsigned number) const {
    return number < tags && (word(14 + number * 4) & 0xefff) == 0;
  }
  [[nodiscard]] bool has_ttl_0() const {
    return (is_ipv4 && l3 + 8 < frame_.size() && byte(l3 + 8) == 0) ||
           (is_ipv6 && l3 + 7 < frame_.size() && byte(l3 + 7) == 0);
  }
  // An ARP packet for IPv4 over Ethernet of which a part is missing.
  [[nodiscard]] bool is_cut_arp() const { return word(eth_type_) == 0x0806 && l3 + 28 > frame_.size(); }
  // IP's header says more than there is.
  [[nodiscard]] bool is_cut() const {
    return (is_ipv4 && l3 + word(l3 + 2) > frame_.size()) || (is_ipv6 && l3 + 40 + word(l3 + 4) > frame_.size());
  }
  // IPv6's extension headers are passed over as far as the generator makes them.
  [[nodiscard]] bool is_later_fragment() const {
    if (is_ipv4) return (word(l3 + 6) & 0x1fff) != 0;
    if (!is_ipv6) return false;
    std::size_t at = l3 + 40;
    for (unsigned next = byte(l3 + 6); at < frame_.size();) {
      if (next == 44) return word(at + 2) >> 3 != 0;
      if (next != 0 && next != 60 && next != 43 && next != 51) return false;
      const std::size_t size = next == 51 ? (byte(at + 1) + 2) * 4 : (byte(at + 1) + 1) * 8;
      next = byte(at);
      at += size;
    }
    return false;
  }

 private:
  const Bytes& frame_;
  std::size_t eth_type_ = 0;
};

// True where the same ports get as many frames, each equal to the other's by `equal`.
template <typename Equal>
bool same_but(const Outputs& ours, const Outputs& theirs, Equal equal) {
  return std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(), [&](const auto& a, const auto& b) {
    return a.first == b.first && std::equal(a.second.begin(), a.second.end(), b.second.begin(), b.second.end(), equal);
  });
}

// One of them is the other's beginning, but for the zeros that fill it up.
bool one_begins_other(Bytes a, Bytes b) {
  for (Bytes* bytes : {&a, &b})
    while (!bytes->empty() && bytes->back() == std::byte{0}) bytes->pop_back();
  if (a.size() > b.size()) std::swap(a, b);
  return std::equal(a.begin(), a.end(), b.begin());
}

bool equal_but_for_priority_tag(Bytes a, Bytes b) {
  for (Bytes* bytes : {&a, &b}) {
    const Headers headers{*bytes};
    if (headers.tags > 0 && (headers.word(14) & 0xfff) == 0) bytes->erase(bytes->begin() + 12, bytes->begin() + 16);
  }
  return one_begins_other(std::move(a), std::move(b));
}

bool equal_but_for_eth_type(Bytes a, Bytes b) {
  for (Bytes* bytes : {&a, &b}) {
    const std::size_t at = Headers{*bytes}.eth_type();
    if (at + 2 <= bytes->size()) (*bytes)[at] = (*bytes)[at + 1] = std::byte{0};
  }
  return a == b;
}

// A checksum's worth, or SCTP's.
bool equal_but_for_checksum(const Bytes& a, const Bytes& b) {
  if (a.size() != b.size()) return false;
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) different += a[i] != b[i] ? 1 : 0;
  return different <= 4;
}

}  // namespace

std::optional<std::string> known_difference(const Scenario& scenario, const Input& input,
                                            const ShuntSwitch::Result& ours, const Outputs& theirs) {
  const Headers headers{input.frame};
  const bool normal = mentions(scenario, "normal");

  if (headers.is_later_fragment() && same_but(ours.outputs, theirs, equal_but_for_checksum))
    return "Open vSwitch rewrites payload of later fragments as if they held a checksum";
  if (mentions(scenario, "max_len=") && same_but(ours.outputs, theirs, one_begins_other))
    return "Open vSwitch counts max_len before tags and labels that it has yet to push or pop, not on what it sends; "
           "and "
           "cuts the next output where the one to be cut is to a port that takes nothing";
  if (headers.is_cut() && mentions(scenario, "dec_ttl"))
    return "Open vSwitch holds the TTL of an IP packet that is shorter than it says for 0, and expired";

  if (headers.is_cut_arp() && mentions(scenario, "arp_"))
    return "Open vSwitch writes fields of an ARP packet that is cut short; such a packet has none here";

  // VLAN tags.
  if (ours.tags > 2 || (headers.tags == 2 && mentions(scenario, "push_vlan")))
    return "Open vSwitch holds two VLAN tags and loses those behind them when a third is pushed";
  if (normal && same_but(ours.outputs, theirs, equal_but_for_priority_tag))
    return "Open vSwitch sends frames of VLAN 0 with a priority tag to a trunk that, by its manual, wants none";
  const bool empty_below = headers.tags > 1 && (headers.is_empty_tag(0) || headers.is_empty_tag(1));
  if (normal && (empty_below || (headers.is_empty_tag(0) && ours.tags > 1)))
    return "normal of Open vSwitch loses an inner tag whose VID and priority are 0, and one behind such a tag";
  if (normal && ours.tags > 1 && has_mode(scenario, VlanMode::kAccess))
    return "an access port of Open vSwitch takes all tags off that it knows, or refuses such frames; 802.1Q: its own, "
           "the "
           "outer one";

  // MPLS.
  if (mentions(scenario, "push_mpls")) {
    if (headers.has_ttl_0()) return "Open vSwitch gives a label the TTL 64 where IP's is 0; OpenFlow: a copy";
    if (mentions(scenario, "pop_mpls") && same_but(ours.outputs, theirs, equal_but_for_eth_type))
      return "Open vSwitch leaves out a label that is pushed and popped, and the EtherType that the pop says";
    if (ours.labels >= 3 || headers.labels() >= 3)
      return "Open vSwitch drops the packet, with all that was sent before, where a fourth label is pushed";
  }

  if (mentions(scenario, "exit") && mentions(scenario, "write_actions"))
    return "exit of Open vSwitch drops the action set, too; by its manual the set still runs";
  if (mentions(scenario, "check_pkt_larger") && mentions(scenario, "write_actions"))
    return "Open vSwitch runs an action set twice, or over the packet as it came, behind check_pkt_larger";
  return std::nullopt;
}

}  // namespace shunt::test
