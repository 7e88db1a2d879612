// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/known_differences.h"

#include <algorithm>

namespace shunt::test {
namespace {

using Met = ShuntSwitch::Met;

constexpr std::size_t kArpSize = 28, kIpv4Size = 20, kIpv6Size = 40;

// With other_config:vlan-limit=1, its default, it takes the outer tag off, as Shunt does and 802.1Q says.
constexpr const char* kAccessTags =
    "an access port of Open vSwitch with vlan-limit=2 takes off two tags, and refuses frames with a second VID";

constexpr const char* kLabelTtl =
    "Open vSwitch gives a label the TTL 64 where IP's is 0, or cannot be read; OpenFlow: a copy, else 0";

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
  [[nodiscard]] bool has_label_ttl_0() const { return labels() > 0 && byte(l3 + 3) == 0; }
  [[nodiscard]] bool has_ttl_0() const {
    return (is_ipv4 && l3 + 8 < frame_.size() && byte(l3 + 8) == 0) ||
           (is_ipv6 && l3 + 7 < frame_.size() && byte(l3 + 7) == 0);
  }
  // An ARP packet for IPv4 over Ethernet of which a part is missing.
  [[nodiscard]] bool is_cut_arp() const { return word(eth_type_) == 0x0806 && l3 + kArpSize > frame_.size(); }
  // IP's header is not whole, or says more than there is.
  [[nodiscard]] bool is_cut() const {
    return (is_ipv4 && l3 + std::max(kIpv4Size, std::size_t{word(l3 + 2)}) > frame_.size()) ||
           (is_ipv6 && l3 + kIpv6Size + word(l3 + 4) > frame_.size());
  }
  // Its version is another than the EtherType says.
  [[nodiscard]] bool has_bad_version() const {
    return (is_ipv4 && byte(l3) >> 4 != 4) || (is_ipv6 && byte(l3) >> 4 != 6);
  }
  // None that can be read, or 0.
  [[nodiscard]] bool has_unusual_ttl() const { return has_ttl_0() || is_cut() || has_bad_version(); }
  [[nodiscard]] bool is_later_fragment() const { return fragment() == Fragment::kLater; }
  // SCTP's ports are there, but not all that its checksum covers.
  [[nodiscard]] bool is_first_fragment_of_sctp() const {
    constexpr unsigned kSctp = 132;
    return fragment() == Fragment::kFirst && protocol() == kSctp;
  }
  // What Open vSwitch holds for that: IP's protocol, where its headers are whole, or ARP's operation, where it fits into
  // 8 bits.
  [[nodiscard]] bool has_protocol_0() const {
    if (word(eth_type_) == 0x0806) return word(l3 + 6) == 0 || word(l3 + 6) > 0xff;
    if (is_ipv6 && extensions().end > frame_.size()) return true;
    return (is_ipv4 || is_ipv6) && protocol() == 0;
  }
  // Its data offset says less than the least, or more than there is.
  [[nodiscard]] bool has_bad_tcp_offset() const {
    constexpr unsigned kTcp = 6;
    if (protocol() != kTcp || fragment() == Fragment::kLater) return false;
    const std::size_t l4 = is_ipv4 ? l3 + (byte(l3) & 0xf) * 4 : extensions().end;
    const std::size_t end = is_ipv4 ? l3 + word(l3 + 2) : l3 + kIpv6Size + word(l3 + 4);
    const unsigned size = (byte(l4 + 12) >> 4) * 4;
    return size < 20 || l4 + size > end;
  }
  [[nodiscard]] bool has_dei() const {
    for (unsigned i = 0; i < tags; ++i)
      if ((word(14 + i * 4) & 0x1000) != 0) return true;
    return false;
  }
  // With a routing header that has segments left.
  [[nodiscard]] bool is_source_routed() const { return is_ipv6 && extensions().is_source_routed; }

 private:
  static constexpr unsigned kNoProtocol = 59;
  enum class Fragment { kNone, kFirst, kLater };
  struct Extensions {
    Fragment fragment = Fragment::kNone;
    bool is_source_routed = false;
    unsigned protocol = 0;
    std::size_t end = 0;
  };
  const Bytes& frame_;
  std::size_t eth_type_ = 0;

  [[nodiscard]] Fragment fragment() const {
    if (is_ipv6) return extensions().fragment;
    if (!is_ipv4 || (word(l3 + 6) & 0x3fff) == 0) return Fragment::kNone;
    return (word(l3 + 6) & 0x1fff) != 0 ? Fragment::kLater : Fragment::kFirst;
  }
  [[nodiscard]] unsigned protocol() const {
    return is_ipv4 ? byte(l3 + 9) : is_ipv6 ? extensions().protocol : kNoProtocol;
  }
  // Of IPv6, as far as the generator makes them.
  [[nodiscard]] Extensions extensions() const {
    constexpr unsigned kHopByHop = 0, kRouting = 43, kFragment = 44, kAuthentication = 51, kDestination = 60;
    Extensions found;
    std::size_t at = l3 + 40;
    for (found.protocol = byte(l3 + 6); at < frame_.size();) {
      const unsigned now = found.protocol;
      if (now == kFragment)
        found.fragment = word(at + 2) >> 3 != 0 ? Fragment::kLater : Fragment::kFirst;
      else if (now != kHopByHop && now != kDestination && now != kRouting && now != kAuthentication)
        break;
      if (now == kRouting && byte(at + 3) != 0) found.is_source_routed = true;
      const std::size_t size = now == kFragment         ? 8
                               : now == kAuthentication ? (byte(at + 1) + 2) * 4
                                                        : (byte(at + 1) + 1) * 8;
      found.protocol = byte(at);
      at += size;
      if (found.fragment == Fragment::kLater) break;
    }
    found.end = at;
    return found;
  }
};

// Zeros at the end may be padding.
Bytes without_padding(Bytes bytes) {
  while (!bytes.empty() && bytes.back() == std::byte{0}) bytes.pop_back();
  return bytes;
}

// --- One frame of ours and the one of theirs that is in its place.

// All bytes but those from `begin` to `end`, and padding.
bool equal_outside(Bytes a, Bytes b, std::size_t begin, std::size_t end) {
  const std::size_t size = std::max(without_padding(a).size(), without_padding(b).size());
  a.resize(size);
  b.resize(size);
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && (i < begin || i >= end)) return false;
  return true;
}

// Behind IP's fixed header they differ by a checksum: 2 bytes, or SCTP's 4.
bool differ_by_checksum(const Bytes& a, const Bytes& b) {
  if (a.size() != b.size()) return false;
  const auto first = static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  const Headers headers{a};
  return first >= headers.l3 + (headers.is_ipv4 ? 20u : 40u) && equal_outside(a, b, first, first + 4);
}

Bytes without_label_ttls(Bytes frame) {
  const unsigned labels = Headers{frame}.labels();
  for (std::size_t i = 0, at = Headers{frame}.l3 + 3; i < labels; ++i, at += 4) frame[at] = std::byte{0};
  return frame;
}

Bytes without_dei(Bytes frame) {
  const unsigned tags = Headers{frame}.tags;
  for (std::size_t i = 0, at = 14; i < tags; ++i, at += 4) frame[at] &= ~std::byte{0x10};
  return frame;
}

bool one_begins_other(Bytes a, Bytes b) {
  a = without_padding(std::move(a));
  b = without_padding(std::move(b));
  if (a.size() > b.size()) std::swap(a, b);
  return std::equal(a.begin(), a.end(), b.begin());
}

// A few tags or labels longer or shorter, or cut within them, and else the same.
bool differ_by_cut(const Bytes& a, const Bytes& b) {
  constexpr std::size_t kMostTagsAndLabels = 6;
  const auto [shorter, longer] = std::minmax({a.size(), b.size()});
  return longer - shorter <= kMostTagsAndLabels * 4 && one_begins_other(a, b);
}

// Without those of its tags that come behind the first `left`.
Bytes without_tags(Bytes frame, unsigned left) {
  const Headers headers{frame};
  if (headers.tags > left) frame.erase(frame.begin() + 12 + left * 4, frame.begin() + 12 + headers.tags * 4);
  return frame;
}

// Theirs has one label more, which stands where ours begins.
bool has_label_before(const Bytes& ours, const Bytes& theirs) {
  const std::size_t l3 = Headers{theirs}.l3;
  constexpr std::size_t kLabel = 4;
  if (Headers{theirs}.labels() == 0 || theirs.size() < l3 + 2 * kLabel || ours.size() < l3 + kLabel) return false;
  Bytes a = ours, b = theirs;
  a.erase(a.begin() + static_cast<std::ptrdiff_t>(l3), a.begin() + static_cast<std::ptrdiff_t>(l3 + kLabel));
  b.erase(b.begin() + static_cast<std::ptrdiff_t>(l3), b.begin() + static_cast<std::ptrdiff_t>(l3 + 2 * kLabel));
  return one_begins_other(std::move(a), std::move(b));
}

// Theirs has the first of our tags only: so many less. 0: they differ otherwise, too.
unsigned lost_tags(const Bytes& ours, const Bytes& theirs) {
  const unsigned our_tags = Headers{ours}.tags, their_tags = Headers{theirs}.tags;
  if (our_tags <= their_tags) return 0;
  return without_padding(without_tags(ours, their_tags)) == without_padding(theirs) ? our_tags - their_tags : 0;
}

Bytes without_outer_tag(Bytes bytes) {
  bytes.erase(bytes.begin() + 12, bytes.begin() + 16);
  return bytes;
}

bool has_priority_tag(const Bytes& frame) {
  const Headers headers{frame};
  return headers.tags > 0 && (headers.word(14) & 0xfff) == 0 && headers.word(14) >> 13 != 0;
}

bool has_access_port(const Layout& layout) {
  return std::any_of(layout.ports.begin(), layout.ports.end(),
                     [](const auto& port) { return port.vlan.mode == VlanMode::kAccess; });
}

const PortSetting* find_port(const Layout& layout, PortNo number) {
  const auto port =
      std::find_if(layout.ports.begin(), layout.ports.end(), [&](const auto& each) { return each.number == number; });
  return port == layout.ports.end() ? nullptr : &*port;
}

// Open vSwitch 3.1 knows two tags of a frame (FLOW_MAX_VLAN_HEADERS), and `normal` writes both anew.
const char* why_tags_differ(const Layout& layout, PortNo to, const Met& met, const Bytes& ours, const Bytes& theirs) {
  const PortSetting* port = find_port(layout, to);
  const VlanConfig vlan = port != nullptr ? port->vlan : VlanConfig{};
  const bool normal_touched_tags = met.normal_empty_tag || met.normal_two_tags;
  if (met.normal && vlan.mode == VlanMode::kTrunk && vlan.priority_tags == PriorityTags::kNo &&
      has_priority_tag(theirs)) {
    const Bytes rest = without_outer_tag(theirs);
    if (without_padding(rest) == without_padding(ours) || (normal_touched_tags && lost_tags(ours, rest) != 0))
      return "Open vSwitch sends frames of VLAN 0 with a priority tag to a trunk that, by its manual, wants none";
  }
  // One that an access port makes of the first that it took off.
  const bool makes_priority_tags =
      vlan.mode == VlanMode::kAccess ||
      (has_access_port(layout) && (vlan.mode == VlanMode::kDot1qTunnel || vlan.priority_tags != PriorityTags::kNo));
  if (makes_priority_tags && met.normal_two_tags && has_priority_tag(theirs) && Headers{theirs}.tags == 1 &&
      without_padding(without_tags(ours, 0)) == without_padding(without_tags(theirs, 0)))
    return kAccessTags;
  const unsigned lost = lost_tags(ours, theirs);
  if (lost == 0) return nullptr;
  if (lost <= met.third_tags)
    return "Open vSwitch holds two VLAN tags and loses those behind them when a third is pushed";
  if (met.normal_empty_tag)
    return "normal of Open vSwitch loses an inner tag whose VID and priority are 0, and one behind such a tag";
  if (met.normal_two_tags && has_access_port(layout)) return kAccessTags;
  return nullptr;
}

// Null: nothing that is known.
const char* why_these_differ(const Layout& layout, PortNo to, const Headers& input, const Met& met, const Bytes& sent,
                             const Bytes& theirs) {
  // But for tags that theirs may have lost.
  const unsigned their_tags = Headers{theirs}.tags;
  const bool may_lose = Headers{sent}.tags <= their_tags + met.third_tags + (met.normal_empty_tag ? 1 : 0);
  const Bytes ours = may_lose ? without_tags(sent, their_tags) : sent;
  const Headers headers{ours};
  if (input.is_later_fragment() && differ_by_checksum(ours, theirs))
    return "Open vSwitch rewrites payload of later fragments as if they held a checksum";
  if (input.is_source_routed() && differ_by_checksum(ours, theirs))
    return "Open vSwitch leaves checksums as they are behind a routing header, though the source is part of them";
  if (input.is_cut_arp() && equal_outside(ours, theirs, headers.l3, headers.l3 + kArpSize))
    return "Open vSwitch writes fields of an ARP packet that is cut short; such a packet has none here";
  if (met.max_len && ours != theirs && differ_by_cut(ours, theirs))
    return "Open vSwitch counts max_len before tags and labels that it has yet to push or pop, not on what it sends";
  if (met.max_len_unsent && theirs.size() < ours.size() && one_begins_other(ours, theirs))
    return "Open vSwitch cuts the next output where the one to be cut is to a port that takes nothing";
  if (met.push_mpls && met.pop_mpls && equal_outside(ours, theirs, headers.eth_type(), headers.eth_type() + 2))
    return "Open vSwitch leaves out a label that is pushed and popped, and the EtherType that the pop says";
  if (constexpr unsigned kNoType = 0x05ff; met.push_mpls && Headers{theirs}.word(headers.eth_type()) == kNoType &&
                                           equal_outside(ours, theirs, headers.eth_type(), headers.eth_type() + 2))
    return "Open vSwitch takes a label back from an 802.3 frame behind a clone, and its length with it";
  if (input.labels() == 1 && met.pop_mpls && has_label_before(ours, theirs))
    return "Open vSwitch takes the last label not off where pop_mpls says that MPLS follows, and writes over it";
  if (input.has_protocol_0() && equal_outside(ours, theirs, headers.l3, headers.l3 + kIpv6Size))
    return "Open vSwitch edits no IP header whose protocol is 0, nor ARP whose operation is";
  return why_tags_differ(layout, to, met, sent, theirs);
}

const char* why_frames_differ(const Layout& layout, PortNo to, const Headers& input, const Met& met, const Bytes& sent,
                              const Bytes& theirs) {
  // What shows along with other differences goes first, from both.
  Bytes mine = sent, yours = theirs;
  if (input.has_dei()) {
    mine = without_dei(std::move(mine));
    yours = without_dei(std::move(yours));
    if (mine == yours) return "Open vSwitch loses the DEI of a tag that it takes off and puts on again";
  }
  if (met.push_mpls && (input.has_unusual_ttl() || Headers{mine}.has_label_ttl_0()) &&
      Headers{mine}.labels() == Headers{yours}.labels()) {
    mine = without_label_ttls(std::move(mine));
    yours = without_label_ttls(std::move(yours));
    if (mine == yours) return kLabelTtl;
  }
  return why_these_differ(layout, to, input, met, mine, yours);
}

// --- All that is sent.

// The frames that one of them has are among the other's, in the same order.
bool is_part_of(const std::vector<Bytes>& part, const std::vector<Bytes>& whole) {
  auto at = whole.begin();
  return std::all_of(part.begin(), part.end(), [&](const Bytes& frame) {
    at = std::find(at, whole.end(), frame);
    return at != whole.end() && at++ != whole.end();
  });
}

bool is_part_of(const Outputs& part, const Outputs& whole) {
  return std::all_of(part.begin(), part.end(), [&](const auto& each) {
    const auto found = whole.find(each.first);
    return found != whole.end() && is_part_of(each.second, found->second);
  });
}

std::vector<Bytes> frames_to(PortNo port, const Outputs& outputs) {
  const auto found = outputs.find(port);
  return found == outputs.end() ? std::vector<Bytes>{} : found->second;
}

// Why Open vSwitch leaves out some of what is sent here; null: it does not.
const char* why_fewer(const Headers& input, const Met& met) {
  if (met.fourth_label)
    return "Open vSwitch drops the packet, mostly with all that was sent before, where a fourth label is pushed";
  if (met.dec_ttl && input.is_cut())
    return "Open vSwitch holds the TTL of an IP packet that is shorter than it says for 0, and expired";
  if (met.dec_ttl && input.has_bad_version())
    return "Open vSwitch holds the TTL of what is no IP header, by its version, for 0, and expired";
  if (met.exit_before_set) return "exit of Open vSwitch drops the action set, too; by its manual the set still runs";
  if (met.max_len) return "Open vSwitch cuts before it pops, and drops what has no tag or label left to be popped";
  return nullptr;
}

// Why one of both sends a frame of `normal` to a port, and the other does not.
const char* why_counts_differ(const Layout& layout, PortNo to, const Met& met, bool theirs_has_more) {
  const PortSetting* port = find_port(layout, to);
  if (!met.normal || port == nullptr) return nullptr;
  if (port->vlan.mode == VlanMode::kAccess && met.normal_two_tags && !theirs_has_more) return kAccessTags;
  if (port->vlan.mode != VlanMode::kDot1qTunnel || !port->vlan.cvlans) return nullptr;
  if (met.normal_two_tags && has_access_port(layout)) return kAccessTags;
  return theirs_has_more ? "Open vSwitch sends to where a MAC was seen also what is in no customer VLAN of that tunnel"
                         : nullptr;
}

}  // namespace

std::optional<std::string> known_difference(const Scenario& scenario, const Input& input,
                                            const ShuntSwitch::Result& ours, const Outputs& theirs) {
  const Headers headers{input.frame};
  const Met& met = ours.met;
  const char* fewer = why_fewer(headers, met);
  if (fewer != nullptr && is_part_of(theirs, ours.outputs)) return fewer;
  if (met.learns_then_begins_anew && !ours.cached)
    return "Open vSwitch meets the rules that a packet made it learn with the same packet, behind a select group or pop_mpls";
  if (headers.is_first_fragment_of_sctp() && is_part_of(ours.outputs, theirs))
    return "Open vSwitch writes SCTP ports of a first fragment, and a wrong checksum: it covers what is not here";
  if (headers.has_bad_tcp_offset())
    return "Open vSwitch reads no ports of a TCP header whose data offset is none; here it is its first 20 bytes";
  if (met.gave_up && met.expired && is_part_of(ours.outputs, theirs))
    return "here a loop behind dec_ttl drops every packet, as it does there, but also one whose TTL runs out before";
  if (met.gave_up && met.fourth_label && is_part_of(ours.outputs, theirs))
    return "a loop that pushes labels drops the packet here; Open vSwitch leaves it where a fourth label is pushed";

  const char* reason = nullptr;
  Outputs ports = ours.outputs;
  ports.insert(theirs.begin(), theirs.end());
  for (const auto& [port, ignored] : ports) {
    std::vector<Bytes> mine = frames_to(port, ours.outputs);
    const std::vector<Bytes> yours = frames_to(port, theirs);
    if (fewer != nullptr && yours.size() < mine.size()) {
      reason = fewer;
      if (is_part_of(yours, mine)) continue;
      mine.resize(yours.size());
    }
    if (met.push_mpls && met.dec_mpls_ttl && headers.has_unusual_ttl() && mine.size() < yours.size()) {
      reason = kLabelTtl;  // 0 has expired
      continue;
    }
    if (mine.size() != yours.size()) {
      reason = why_counts_differ(scenario.layout, port, met, yours.size() > mine.size());
      if (reason == nullptr) return std::nullopt;
      continue;
    }
    for (std::size_t i = 0; i < mine.size(); ++i) {
      if (mine[i] == yours[i]) continue;
      reason = why_frames_differ(scenario.layout, port, headers, met, mine[i], yours[i]);
      if (reason == nullptr) return std::nullopt;
    }
  }
  return reason == nullptr ? std::nullopt : std::optional<std::string>{reason};
}

}  // namespace shunt::test
