// SPDX-License-Identifier: Apache-2.0
// Fields: one table of everything a rule can name in a flow key: OVS, NXM and OXM names, where the bits lie, what a
// packet must be to have the field (its prerequisite), how text shows it, and which datapath fields write it
// (maps/actions.h).
//
// A field's value is a number: the first bit on the wire is its most significant one, whatever the key's layout. In the
// key of a rule's match in_port is the OpenFlow port number; in a packet's key it is the datapath port: these functions
// pass on whichever is there.
// Threads: any; the table is constant. What the packet's way may call is noexcept and does not allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "maps/actions.h"
#include "user/base/strong_types.h"
#include "user/flow/dp_actions.h"
#include "user/flow/flow_key.h"

namespace shunt {

enum class FieldId : std::uint8_t {
  kInPort,
  kEthSrc,
  kEthDst,
  kEthType,
  kVlanTci,
  kDlVlan,   // VID; matching it means "has a tag", too
  kVlanVid,  // VID; in a match, bit 12 says "has a tag" (OXM's OFPVID_PRESENT)
  kDlVlanPcp,
  kVlanPcp,
  kVlanTpid,
  kVlanTci1,
  kVlanTpid1,
  kIpSrc,
  kIpDst,
  kIpv6Src,
  kIpv6Dst,
  kIpv6Label,
  kNwProto,
  kNwTos,   // the whole byte with the ECN bits left alone and read as 0
  kIpDscp,  // the upper six bits as a number
  kNwEcn,
  kNwTtl,
  kIpFrag,
  kTpSrc,  // of TCP, UDP or SCTP, whichever the packet has: mod_tp_src. Matches name the protocol's own field
  kTpDst,
  kTcpSrc,
  kTcpDst,
  kTcpFlags,
  kUdpSrc,
  kUdpDst,
  kSctpSrc,
  kSctpDst,
  kIcmpType,
  kIcmpCode,
  kIcmpv6Type,
  kIcmpv6Code,
  kArpOp,
  kArpSpa,
  kArpTpa,
  kArpSha,
  kArpTha,
  kNdTarget,
  kNdSll,
  kNdTll,
  kMplsLabel,
  kMplsTc,
  kMplsBos,
  kMplsTtl,
  kMplsLse1,
  kMplsLse2,
  kIpv6Exthdr,
  kPbbIsid,
  kPbbUca,
  kMetadata,
  kTunId,
  kActsetOutput,
  kConjId,
  kPktMark,
  kSkbPriority,
  kReg0,  // to kReg0 + 15
  kXreg0 = kReg0 + 16,  // to kXreg0 + 7
  kXxreg0 = kXreg0 + 8,  // to kXxreg0 + 3
  kCount = kXxreg0 + 4,
};
inline constexpr std::size_t kFieldCount = static_cast<std::size_t>(FieldId::kCount);

enum class FieldFormat : std::uint8_t { kDecimal, kHex, kMac, kIpv4, kIpv6, kFrag, kTcpFlags, kExthdr, kPort };

// What a packet must be for a field to mean something (ovs-fields(7), "Prerequisites"). L4 ones fail on later
// fragments.
enum class Prerequisite : std::uint8_t {
  kNone,
  kVlan,       // a tag
  kInnerVlan,  // two tags
  kIp,         // IPv4 or IPv6
  kIpv4,
  kIpv6,
  kArp,    // or RARP
  kMpls,   // unicast or multicast
  kMpls2,  // a second label stack entry
  kMpls3,
  kTransport,  // TCP, UDP or SCTP
  kTcp,
  kUdp,
  kSctp,
  kAnyIcmp,  // of either IP version
  kIcmpv6,
  kNd,  // neighbour solicitation or advertisement
  kNdSolicit,
  kNdAdvert,
  kPbb,  // a service instance tag
};

__extension__ typedef unsigned __int128 FieldBits;

struct Field {
  FieldId id;
  std::string_view name;        // shown; accepted
  std::string_view alias;       // accepted; may be empty
  std::uint16_t offset;         // of its bytes in a PipelineKey
  std::uint8_t size;            // bytes that hold it
  std::uint8_t shift;           // bits of these bytes, read as one number, below the field
  std::uint8_t width;           // bits; those that its bytes have no room for are always 0 (arp_op's upper ones)
  std::uint8_t fixed_low_bits;  // lowest bits of the value that are not the field's: read as 0, never written
  FieldFormat format;
  Prerequisite prerequisite;
  bool writable;  // by set_field, load, move, mod_*
};

// Bits of a field: "NXM_OF_IP_SRC[0..15]". The low 16 bits of in_port are OpenFlow 1.0's port number, and are written as such.
struct Subfield {
  const Field* field = nullptr;
  std::uint16_t first_bit = 0, bit_count = 0;  // from the least significant bit of the field's value
  friend bool operator==(const Subfield&, const Subfield&) = default;
};

[[nodiscard]] std::span<const Field, kFieldCount> fields() noexcept;  // by FieldId
[[nodiscard]] const Field& field(FieldId id) noexcept;
// True where a match may take part of the field: as OpenFlow says, and as Open vSwitch allows beyond it.
[[nodiscard]] bool is_maskable(const Field& field) noexcept;
// By OVS name, alias, NXM or OXM name; null: there is none.
[[nodiscard]] const Field* find_field(std::string_view name) noexcept;
// The name that load and move show: "NXM_OF_ETH_SRC"; the field's own name where it has no such name.
[[nodiscard]] std::string_view oxm_name(const Field& field) noexcept;

[[nodiscard]] FieldBits low_bits(std::size_t count) noexcept;  // so many ones, up to 128
// The bits of a value that a field has: `width` ones, less its fixed low bits and those that are always 0.
[[nodiscard]] FieldBits value_bits(const Field& field) noexcept;
// The bits of the key that a field covers.
[[nodiscard]] PipelineMask field_mask(const Field& field) noexcept;
[[nodiscard]] FieldBits read_field(const Field& field, const PipelineKey& key) noexcept;
// Writes the field's bits, and no other, of `key`. Bits of `value` above the field's width are left out.
void write_field(const Field& field, PipelineKey& key, FieldBits value) noexcept;
[[nodiscard]] FieldBits read_subfield(const Subfield& subfield, const PipelineKey& key) noexcept;
void write_subfield(const Subfield& subfield, PipelineKey& key, FieldBits value) noexcept;
// OpenFlow 1.0's number of a port, in the 32 bits of the later versions: the reserved ones lie elsewhere.
[[nodiscard]] PortNo port_from_16(std::uint16_t number) noexcept;
// True where the field is of the pipeline only: no datapath action follows from writing it.
[[nodiscard]] bool is_pipeline_field(const Field& field) noexcept;

// True where the packet with this key has it.
[[nodiscard]] bool holds(Prerequisite prerequisite, const FlowKey& packet) noexcept;
// True where every packet that `match` lets through has it; fragments are thought of as first ones unless the match
// says otherwise, as Open vSwitch does.
[[nodiscard]] bool implied_by(Prerequisite prerequisite, const Match& match) noexcept;
// The bits that holds() looks at: to be un-wildcarded where its answer mattered.
[[nodiscard]] FlowMask prerequisite_mask(Prerequisite prerequisite) noexcept;
// For messages: "tcp", "ip or ipv6".
[[nodiscard]] std::string_view describe(Prerequisite prerequisite) noexcept;

// Appends the SET_FIELD actions that write set.value under set.mask to a packet: those key bytes whose datapath field
// the packet has (the key's bytes mean different fields for different protocols). Bits that no datapath field writes
// (in_port, eth_type, the tag's PRESENT bit) are left out.
void append_set_field(const FlowKey& packet, const Match& set, DpActions& actions);
// The key bytes under the mask that one SET_FIELD action writes; the opposite of append_set_field().
[[nodiscard]] Match set_field_match(const shunt_action& action) noexcept;

}  // namespace shunt
