// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/trace_fields.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <optional>

#include "user/flow/field_text.h"
#include "user/flow/fields.h"

namespace shunt {
namespace {

// Bytes that are compared together, and the fields that they can be, of which the first that a packet has names them.
struct Part {
  FieldId bits;
  std::array<FieldId, 3> shown;
};
constexpr FieldId kNothing = FieldId::kCount;

constexpr Part one(FieldId id) { return {id, {id, kNothing, kNothing}}; }
constexpr FieldId reg(unsigned number) { return static_cast<FieldId>(static_cast<unsigned>(FieldId::kReg0) + number); }

constexpr auto kParts = std::to_array<Part>({
    one(FieldId::kInPort),
    one(FieldId::kEthSrc),
    one(FieldId::kEthDst),
    one(FieldId::kVlanTpid),
    one(FieldId::kVlanTci),
    one(FieldId::kVlanTpid1),
    one(FieldId::kVlanTci1),
    one(FieldId::kEthType),
    {FieldId::kIpv6Src, {FieldId::kIpSrc, FieldId::kArpSpa, FieldId::kIpv6Src}},
    {FieldId::kIpv6Dst, {FieldId::kIpDst, FieldId::kArpTpa, FieldId::kIpv6Dst}},
    one(FieldId::kIpv6Label),
    {FieldId::kNwProto, {FieldId::kArpOp, FieldId::kNwProto, kNothing}},
    one(FieldId::kNwTos),
    one(FieldId::kNwEcn),
    one(FieldId::kNwTtl),
    one(FieldId::kIpFrag),
    {FieldId::kTpSrc, {FieldId::kTpSrc, FieldId::kIcmpType, FieldId::kIcmpv6Type}},
    {FieldId::kTpDst, {FieldId::kTpDst, FieldId::kIcmpCode, FieldId::kIcmpv6Code}},
    one(FieldId::kTcpFlags),
    one(FieldId::kIpv6Exthdr),
    {FieldId::kArpSha, {FieldId::kArpSha, FieldId::kNdSll, kNothing}},
    {FieldId::kArpTha, {FieldId::kArpTha, FieldId::kNdTll, kNothing}},
    one(FieldId::kNdTarget),
    one(FieldId::kMplsLabel),
    one(FieldId::kMplsTc),
    one(FieldId::kMplsBos),
    one(FieldId::kMplsTtl),
    one(FieldId::kMplsLse1),
    one(FieldId::kMplsLse2),
    one(FieldId::kPbbIsid),
    one(FieldId::kPbbUca),
    one(FieldId::kMetadata),
    one(FieldId::kTunId),
    one(FieldId::kActsetOutput),
    one(FieldId::kConjId),
    one(FieldId::kPktMark),
    one(FieldId::kSkbPriority),
    one(reg(0)),
    one(reg(1)),
    one(reg(2)),
    one(reg(3)),
    one(reg(4)),
    one(reg(5)),
    one(reg(6)),
    one(reg(7)),
    one(reg(8)),
    one(reg(9)),
    one(reg(10)),
    one(reg(11)),
    one(reg(12)),
    one(reg(13)),
    one(reg(14)),
    one(reg(15)),
});

bool is_tag(FieldId id) {
  return id == FieldId::kVlanTpid || id == FieldId::kVlanTci || id == FieldId::kVlanTpid1 || id == FieldId::kVlanTci1;
}

bool is_mpls(FieldId id) { return id >= FieldId::kMplsLabel && id <= FieldId::kMplsLse2; }

// What ovs-ofctl's dumps call it.
std::string_view name_of(const Field& f) {
  switch (f.id) {
    case FieldId::kEthSrc:
      return "dl_src";
    case FieldId::kEthDst:
      return "dl_dst";
    case FieldId::kEthType:
      return "dl_type";
    case FieldId::kIpSrc:
      return "nw_src";
    case FieldId::kIpDst:
      return "nw_dst";
    default:
      return f.name;
  }
}

// The field of the part that a packet with this key has; null: none.
const Field* field_in(const Part& part, const PipelineKey& key) {
  for (const FieldId id : part.shown)
    if (id != kNothing && holds(field(id).prerequisite, key)) return &field(id);
  return nullptr;
}

const Field& field_wanted(const Part& part, const Match& match) {
  for (const FieldId id : part.shown)
    if (id != kNothing && implied_by(field(id).prerequisite, match)) return field(id);
  return field(part.bits);
}

std::string tag_text(const shunt_vlan& tag) {
  const unsigned tci = tag.tci.host();
  if ((tci & SHUNT_VLAN_PRESENT) == 0) return "none";
  std::string text = fmt::format("{}", tci & 0xfff);
  if (tci >> 13 != 0) text += fmt::format(",pcp={}", tci >> 13);
  if (tag.tpid.host() != 0x8100) text += fmt::format(",tpid={:#06x}", tag.tpid.host());
  return text;
}

std::string value_text(const Field& f, FieldBits value, FieldBits mask, const PortNames& names) {
  std::string text;
  if (f.format != FieldFormat::kPort)
    format_field(text, f, value, mask);
  else if (PortNo{static_cast<std::uint32_t>(value)} == kPortUnset)
    text = "unset";
  else
    append_port(text, PortNo{static_cast<std::uint32_t>(value)}, names);
  return text;
}

std::string value_in(const Field& f, const PipelineKey& key, const PortNames& names) {
  return value_text(f, read_field(f, key), value_bits(f), names);
}

PipelineKey differing_bits(const PipelineKey& a, const PipelineKey& b) {
  PipelineWords bits = to_words(a);
  const PipelineWords other = to_words(b);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] ^= other[i];
  return from_words(bits);
}

std::string difference_text(const Part& part, const PipelineKey& key, const Match& match, const PortNames& names) {
  const Field& wanted = field_wanted(part, match);
  const Field* here = field_in(part, key);
  const std::string name{name_of(wanted)};
  const std::string has = here == nullptr             ? "the packet has none"
                          : here->id == wanted.id     ? fmt::format("is {}", value_in(*here, key, names))
                          : is_pipeline_field(wanted) ? fmt::format("is {}", value_in(wanted, key, names))
                                                      : "the packet has none";
  return fmt::format("{}{} {}, the rule wants {}", name, has.starts_with("is") ? "" : ":", has,
                     value_text(wanted, read_field(wanted, match.value), read_field(wanted, match.mask), names));
}

// A tag under a mask: what the match says of it in words.
std::string tag_difference(const shunt_vlan& has, const shunt_vlan& value, const shunt_vlan& mask) {
  const unsigned bits = mask.tci.host(), tci = value.tci.host();
  std::string wants;
  if ((bits & SHUNT_VLAN_PRESENT) != 0 && (tci & SHUNT_VLAN_PRESENT) == 0)
    wants = "none";
  else if ((bits & 0xfff) == 0xfff)
    wants = fmt::format("{}", tci & 0xfff);
  else if ((bits & 0xfff) != 0 || bits == 0)
    wants = fmt::format("{:#06x}/{:#06x}", tci, bits);
  else if ((bits & 0xe000) == 0)
    wants = "a tag";
  if ((bits & 0xe000) != 0 && (tci & SHUNT_VLAN_PRESENT) != 0)
    wants += fmt::format("{}pcp={}", wants.empty() ? "" : ",", tci >> 13);
  return fmt::format("is {}, the rule wants {}", tag_text(has), wants);
}

}  // namespace

std::vector<std::string> describe_changes(const PipelineKey& before, const PipelineKey& after, const PortNames& names) {
  std::vector<std::string> texts;
  if (equal(before, after)) return texts;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string was = tag_text(before.vlan[i]), is = tag_text(after.vlan[i]);
    if (was != is) texts.push_back(fmt::format("{} {} -> {}", i == 0 ? "vlan" : "inner vlan", was, is));
  }
  const PipelineKey bits = differing_bits(before, after);
  for (const Part& part : kParts) {
    if (is_tag(part.bits) || is_zero(bits & field_mask(field(part.bits)))) continue;
    const Field* is = field_in(part, after);
    if (is == nullptr) continue;
    const Field* was = field_in(part, before);
    if (was == is)
      texts.push_back(
          fmt::format("{} {} -> {}", name_of(*is), value_in(*is, before, names), value_in(*is, after, names)));
    else if (is_mpls(part.bits))
      texts.push_back(fmt::format("{} none -> {}", name_of(*is), value_in(*is, after, names)));
  }
  return texts;
}

Distance distance(const PipelineKey& key, const Match& match) noexcept {
  const PipelineKey bits = differing_bits(key, match.value) & match.mask;
  Distance far;
  const PipelineWords words = to_words(bits);
  for (const std::uint64_t word : words) far.bits += static_cast<std::size_t>(std::popcount(word));
  if (far.bits == 0) return far;
  static const std::array<PipelineMask, kParts.size()> masks = [] {
    std::array<PipelineMask, kParts.size()> all{};
    for (std::size_t i = 0; i < kParts.size(); ++i) all[i] = field_mask(field(kParts[i].bits));
    return all;
  }();
  for (const PipelineMask& mask : masks) far.fields += !is_zero(bits & mask);
  return far;
}

std::vector<std::string> describe_differences(const PipelineKey& key, const Match& match, const PortNames& names) {
  std::vector<std::string> texts;
  const PipelineKey bits = differing_bits(key, match.value) & match.mask;
  for (std::size_t i = 0; i < 2; ++i) {
    if (bits.vlan[i].tci.raw() == 0) continue;
    texts.push_back(fmt::format("{} {}", i == 0 ? "vlan" : "inner vlan",
                                tag_difference(key.vlan[i], match.value.vlan[i], match.mask.vlan[i])));
  }
  for (const Part& part : kParts) {
    if (part.bits == FieldId::kVlanTci || part.bits == FieldId::kVlanTci1) continue;
    if (!is_zero(bits & field_mask(field(part.bits)))) texts.push_back(difference_text(part, key, match, names));
  }
  return texts;
}

}  // namespace shunt
