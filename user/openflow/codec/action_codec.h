// SPDX-License-Identifier: Apache-2.0
// Actions and instructions on the wire, straight from and to the pipeline's own (user/pipeline/action.h).
//
// Tables say which action has which number in which version, OpenFlow's own and Nicira's: decoding, encoding and
// docs/openflow.md read them. An action on a field that some packets of the rule have not got is refused
// (OpenFlow 1.3.5 section 6.4, MATCH_INCONSISTENT), but for OpenFlow 1.0's, which leave such packets as they are.
//
// An encoder leaves out what its version has no form for: push_vlan in OpenFlow 1.0, say. Threads: any.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/oxm_table.h"
#include "user/openflow/codec/version.h"
#include "user/pipeline/action.h"

namespace shunt::openflow {

// Where a list stands. In an action set, and in a packet-out, nobody knows which packet it will meet.
enum class ActionPlace { kList, kActionSet, kPacketOut };

// A list while it is decoded.
struct ActionScope {
  Version version;
  ActionPlace place = ActionPlace::kList;
  Match known{};  // of the packet: user/pipeline/packet_knowledge.h
  unsigned depth = 0;
  ActionList actions{};

  template <typename A>
  void add(A&& action) {
    actions.emplace_back(std::forward<A>(action));
  }
  // Refuses a field that some packets here have not got.
  void check(const Field& field) const;
  // A field by its header, and bits of it that can be read, or written.
  [[nodiscard]] Subfield source(const OxmField& field, std::size_t first_bit, std::size_t bit_count) const;
  [[nodiscard]] Subfield target(const OxmField& field, std::size_t first_bit, std::size_t bit_count) const;
};

struct ActionFormat {
  std::string_view name;
  std::uint32_t experimenter;  // 0: OpenFlow's own
  std::uint16_t number;        // type, or the experimenter's subtype
  Version since, until;
  std::uint16_t size;                                // bytes of all of it; 0: that depends
  void (*decode)(Reader& body, ActionScope& scope);  // body: behind type and length, or behind the subtype
};
[[nodiscard]] std::span<const ActionFormat> standard_actions();  // action_decode.cpp
[[nodiscard]] std::span<const ActionFormat> nicira_actions();    // nicira_decode.cpp

void decode_list(ActionScope& scope, Bytes actions);
[[nodiscard]] ActionList decode_actions(Bytes actions, Version version, ActionPlace place, const Match& match);
// `match` is that of the rule.
void encode_actions(Writer& out, std::span<const Action> actions, Version version, const Match& match);

// Instructions, since OpenFlow 1.1; in the pipeline's order, whatever that on the wire. None at all: drop.
[[nodiscard]] ActionList decode_instructions(Bytes instructions, Version version, const Match& match);
void encode_instructions(Writer& out, const ActionList& actions, Version version, const Match& match);

struct InstructionFormat {
  std::string_view name;
  std::uint16_t number;
  Version since, until;
};
[[nodiscard]] std::span<const InstructionFormat> instruction_formats();

// True where set_field may write it: in_port is no header field, and OpenFlow does not let it be set; Nicira's form
// does.
[[nodiscard]] bool is_settable(const OxmField& oxm);

// Shared by the files that know the single actions.
void add_set_field(ActionScope& scope, const Field& field, FieldBits value, FieldBits mask);
// Writes bits of a field: of a tag what that means for the tag.
void add_load(ActionScope& scope, const OxmField& field, FieldBits value, FieldBits mask);
void decode_learn(Reader& body, ActionScope& scope);   // NXAST_LEARN: learn_codec.cpp
void decode_learn2(Reader& body, ActionScope& scope);  // NXAST_LEARN2
void encode_learn(Writer& out, const LearnAction& learn, Version version, const Match& match);
// The header of Nicira's action.
void begin_nicira(Writer& out, std::uint16_t subtype);
// How bits of a field are named: header, and which bit of what the header names is the first.
struct WireBits {
  const OxmField* field;
  std::uint16_t first_bit;
};
[[nodiscard]] WireBits wire_bits(const Subfield& bits, Version version, const Match& match);
[[nodiscard]] constexpr std::uint16_t offset_and_count(std::uint16_t first_bit, std::uint16_t bit_count) {
  return static_cast<std::uint16_t>(first_bit << 6 | (bit_count - 1));
}

}  // namespace shunt::openflow
