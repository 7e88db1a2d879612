// SPDX-License-Identifier: Apache-2.0
// Actions and instructions of a rule, as a user or controller states them (ovs-actions(7), OpenFlow 1.3.5 sections 5.9
// to 5.12); translation turns them into datapath actions.
//
// OpenFlow's instructions stand in the same list, as in Open vSwitch: apply_actions is the list itself; meter comes first,
// then the actions, clear_actions, write_actions, write_metadata, and goto_table last.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "maps/types.h"
#include "user/base/strong_types.h"
#include "user/flow/fields.h"
#include "user/flow/flow_key.h"

namespace shunt {

struct Action;
using ActionList = std::vector<Action>;

// --- Where the packet goes.

// output:N and its reserved ports: IN_PORT, NORMAL, FLOOD, ALL, LOCAL, TABLE (kPort* of strong_types.h). A port of
// kPortController stands in an action set only; elsewhere it is a ControllerAction.
struct OutputAction {
  PortNo port;
  std::uint16_t max_len = 0;  // bytes; 0: the whole frame. output(port=N,max_len=M)
  // What an OpenFlow message said where it means nothing: for a port that is no controller. Told back as it was.
  std::uint16_t idle_max_len = 0;
  friend bool operator==(const OutputAction&, const OutputAction&) = default;
};
// output:REG[a..b]: the port whose number the bits hold.
struct OutputFieldAction {
  Subfield source;
  std::uint16_t max_len = 0;
  friend bool operator==(const OutputFieldAction&, const OutputFieldAction&) = default;
};
enum class PacketInReason : std::uint8_t {  // OpenFlow 1.5: ofp_packet_in_reason
  kNoMatch = 0,
  kAction = 1,
  kInvalidTtl = 2,
  kActionSet = 3,
  kGroup = 4,
  kPacketOut = 5,
};
// controller(...): a packet-in. The packet as it is at that point.
struct ControllerAction {
  std::uint16_t max_len = 0xffff;  // bytes of the packet; 0xffff: all, unbuffered (OFPCML_NO_BUFFER)
  PacketInReason reason = PacketInReason::kAction;
  std::uint16_t controller_id = 0;
  std::vector<std::uint8_t> userdata;
  bool pause = false;  // the pipeline's state goes with it, for a later resume
  std::optional<std::uint32_t> meter_id;
  friend bool operator==(const ControllerAction&, const ControllerAction&) = default;
};
struct GroupAction {
  std::uint32_t group;
  friend bool operator==(const GroupAction&, const GroupAction&) = default;
};
struct DropAction {  // explicit `drop`; only as the sole action
  friend bool operator==(const DropAction&, const DropAction&) = default;
};
struct MeterAction {
  std::uint32_t meter;
  friend bool operator==(const MeterAction&, const MeterAction&) = default;
};
struct SetQueueAction {  // set_queue:N, pop_queue (0xffffffff)
  std::uint32_t queue;
  friend bool operator==(const SetQueueAction&, const SetQueueAction&) = default;
};
struct EnqueueAction {  // enqueue:PORT:QUEUE
  PortNo port;
  std::uint32_t queue;
  friend bool operator==(const EnqueueAction&, const EnqueueAction&) = default;
};

// --- Changes to the packet and to registers.

// set_field, load, mod_*: writes one field, whole or under a mask, to a value. A packet that has not got the field
// (holds(field->prerequisite, key)) stays as it is: mod_nw_src and its like may stand in rules that match more than
// IPv4. Never the PRESENT bit of a VLAN tag. To be made by set_field().
struct SetFieldAction {
  const Field* field;     // user/flow/fields.h
  FieldBits value, mask;  // value has no bit outside mask, which has none that the field has not
  friend bool operator==(const SetFieldAction&, const SetFieldAction&) = default;
};
// Leaves out what of `mask` is not the field's (value_bits()), and of `value` not the mask's.
[[nodiscard]] SetFieldAction set_field(const Field& field, FieldBits value, FieldBits mask) noexcept;
// The same in a packet's key: the bits that are written, under those that are looked at.
[[nodiscard]] Match written_by(const SetFieldAction& set) noexcept;
// set_field:N->eth_type, set_field:N->ip_proto: what the packet says it is. No header below is looked at after that.
struct SetTypeAction {
  enum class What : std::uint8_t { kEthType, kIpProtocol };
  What what;
  std::uint16_t value;
  friend bool operator==(const SetTypeAction&, const SetTypeAction&) = default;
};
// move:SRC[a..b]->DST[c..d]: bits of the fields' values, counted from the least significant. A packet that has not got
// one of the fields stays as it is.
struct MoveAction {
  const Field* src;
  const Field* dst;
  std::uint16_t src_bit, dst_bit, bit_count;
  friend bool operator==(const MoveAction&, const MoveAction&) = default;
};
struct StackPushAction {
  Subfield source;
  friend bool operator==(const StackPushAction&, const StackPushAction&) = default;
};
struct StackPopAction {
  Subfield target;
  friend bool operator==(const StackPopAction&, const StackPopAction&) = default;
};
struct PushVlanAction {
  std::uint16_t tpid;  // 0x8100 or 0x88a8
  friend bool operator==(const PushVlanAction&, const PushVlanAction&) = default;
};
struct PopVlanAction {
  friend bool operator==(const PopVlanAction&, const PopVlanAction&) = default;
};
// mod_vlan_vid, mod_vlan_pcp: as OpenFlow 1.0 has them. They write the outer tag; a packet that has none gets one first
// (TPID 0x8100, the rest of its TCI 0). set_field:...->vlan_vid differs: it wants a tag.
struct SetVlanVidAction {
  std::uint16_t vid;  // 0..4095
  friend bool operator==(const SetVlanVidAction&, const SetVlanVidAction&) = default;
};
struct SetVlanPcpAction {
  std::uint8_t pcp;  // 0..7
  friend bool operator==(const SetVlanPcpAction&, const SetVlanPcpAction&) = default;
};
struct PushMplsAction {
  std::uint16_t eth_type;  // 0x8847 or 0x8848
  friend bool operator==(const PushMplsAction&, const PushMplsAction&) = default;
};
struct PopMplsAction {
  std::uint16_t eth_type;  // of the packet then
  friend bool operator==(const PopMplsAction&, const PopMplsAction&) = default;
};
struct PushPbbAction {};  // EtherType 0x88e7
inline bool operator==(const PushPbbAction&, const PushPbbAction&) { return true; }
struct PopPbbAction {};
inline bool operator==(const PopPbbAction&, const PopPbbAction&) { return true; }
struct DecTtlAction {  // dec_ttl(id,...): TTL or hop limit; where it runs out, controllers `ids` get a packet-in
  std::vector<std::uint16_t> ids;
  friend bool operator==(const DecTtlAction&, const DecTtlAction&) = default;
};
struct SetMplsTtlAction {
  std::uint8_t ttl;
  friend bool operator==(const SetMplsTtlAction&, const SetMplsTtlAction&) = default;
};
struct DecMplsTtlAction {};
inline bool operator==(const DecMplsTtlAction&, const DecMplsTtlAction&) { return true; }
struct CopyTtlOutAction {};
inline bool operator==(const CopyTtlOutAction&, const CopyTtlOutAction&) { return true; }
struct CopyTtlInAction {};
inline bool operator==(const CopyTtlInAction&, const CopyTtlInAction&) { return true; }

// --- The pipeline.

struct GotoTableAction {
  std::uint8_t table;
  friend bool operator==(const GotoTableAction&, const GotoTableAction&) = default;
};
struct ResubmitAction {  // resubmit(PORT,TABLE); none: the packet's in_port, the rule's own table
  std::optional<PortNo> in_port;
  std::optional<std::uint8_t> table;
  friend bool operator==(const ResubmitAction&, const ResubmitAction&) = default;
};
struct WriteActionsAction {
  ActionList actions;
  friend bool operator==(const WriteActionsAction&, const WriteActionsAction&);
};
struct ClearActionsAction {};
inline bool operator==(const ClearActionsAction&, const ClearActionsAction&) { return true; }
struct WriteMetadataAction {
  std::uint64_t value, mask;  // value has no bit outside mask
  friend bool operator==(const WriteMetadataAction&, const WriteMetadataAction&) = default;
};
struct CloneAction {  // clone(...): the actions run over a copy of packet and pipeline state
  ActionList actions;
  friend bool operator==(const CloneAction&, const CloneAction&);
};
struct ExitAction {};  // ends everything but the action set
inline bool operator==(const ExitAction&, const ExitAction&) { return true; }
struct NoteAction {
  std::vector<std::uint8_t> bytes;
  friend bool operator==(const NoteAction&, const NoteAction&) = default;
};
struct ConjunctionAction {  // conjunction(ID,K/N): this rule is alternative of clause K of N
  std::uint32_t id;
  std::uint8_t clause, clause_count;  // clause 0..clause_count-1; text counts from 1
  friend bool operator==(const ConjunctionAction&, const ConjunctionAction&) = default;
};

// --- Spreading.

// With the numbers of Nicira's NX_HASH_FIELDS.
enum class HashFields : std::uint8_t { kEthSrc, kSymmetricL4, kSymmetricL3L4, kSymmetricL3L4Udp, kNwSrc, kNwDst, kSymmetricL3 };
// multipath(FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,DST[a..b]): writes the link that the hash chose, 0 to n_links - 1.
struct MultipathAction {
  enum class Algorithm : std::uint8_t { kModuloN, kHashThreshold, kHighestRandomWeight, kIterativeHash };
  HashFields fields;
  std::uint16_t basis;
  Algorithm algorithm;
  std::uint32_t link_count;
  std::uint32_t arg;
  Subfield target;
  friend bool operator==(const MultipathAction&, const MultipathAction&) = default;
};
// bundle(...): output to a live port that the hash chose; bundle_load(...): writes its number to `target`.
struct BundleAction {
  enum class Algorithm : std::uint8_t { kActiveBackup, kHighestRandomWeight };
  HashFields fields;
  std::uint16_t basis;
  Algorithm algorithm;
  std::vector<PortNo> members;
  std::optional<Subfield> target;
  friend bool operator==(const BundleAction&, const BundleAction&) = default;
};

// --- Things that happen beside.

// learn(...): each packet adds or refreshes a rule.
struct LearnAction {
  struct Spec {
    enum class Kind : std::uint8_t { kMatchField, kMatchValue, kLoadField, kLoadValue, kOutputField };
    Kind kind;
    Subfield source;       // *Field: bits of this packet
    FieldBits value = 0;   // *Value
    Subfield target;       // of the learned match, or what the learned rule loads
    friend bool operator==(const Spec&, const Spec&) = default;
  };
  std::uint16_t idle_timeout = 0, hard_timeout = 0;  // s
  std::uint16_t fin_idle_timeout = 0, fin_hard_timeout = 0;
  std::uint16_t priority = 32768;
  std::uint64_t cookie = 0;
  std::uint8_t table = 1;
  std::uint32_t limit = 0;               // rules that it may learn into the table; 0: any number
  std::optional<Subfield> result;        // 1-bit: whether the limit let it learn
  bool send_flow_removed = false, delete_learned = false;
  std::vector<Spec> specs;
  friend bool operator==(const LearnAction&, const LearnAction&) = default;
};
struct FinTimeoutAction {  // from a packet with FIN or RST on, the rule's timeouts are at most these
  std::uint16_t idle_timeout = 0, hard_timeout = 0;  // s; 0: as it is
  friend bool operator==(const FinTimeoutAction&, const FinTimeoutAction&) = default;
};
struct CheckPktLargerAction {  // target = the frame is longer than `length` bytes (tags in the key included)
  std::uint16_t length;
  Subfield target;  // 1 bit
  friend bool operator==(const CheckPktLargerAction&, const CheckPktLargerAction&) = default;
};
struct SampleAction {
  std::uint16_t probability;  // of 65535
  std::uint32_t collector_set_id = 0, obs_domain_id = 0, obs_point_id = 0;
  std::optional<PortNo> sampling_port;
  std::uint8_t direction = 0;  // 0: none, 1: ingress, 2: egress
  friend bool operator==(const SampleAction&, const SampleAction&) = default;
};

struct Action : std::variant<OutputAction, OutputFieldAction, ControllerAction, GroupAction, DropAction, MeterAction,
                             SetQueueAction, EnqueueAction, SetFieldAction, SetTypeAction, MoveAction, StackPushAction, StackPopAction,
                             PushVlanAction, PopVlanAction, SetVlanVidAction, SetVlanPcpAction, PushMplsAction,
                             PopMplsAction, PushPbbAction, PopPbbAction, DecTtlAction, SetMplsTtlAction,
                             DecMplsTtlAction, CopyTtlOutAction, CopyTtlInAction, GotoTableAction, ResubmitAction,
                             WriteActionsAction, ClearActionsAction, WriteMetadataAction, CloneAction, ExitAction,
                             NoteAction, ConjunctionAction, MultipathAction, BundleAction, LearnAction,
                             FinTimeoutAction, CheckPktLargerAction, SampleAction> {
  using variant::variant;
  // Compiled once, in action.cpp: so many alternatives cost each file that copies an action seconds.
  Action(const Action&);
  Action(Action&&) noexcept;
  Action& operator=(const Action&);
  Action& operator=(Action&&) noexcept;
  ~Action();
};

bool operator==(const Action& a, const Action& b);
inline bool operator==(const WriteActionsAction& a, const WriteActionsAction& b) { return a.actions == b.actions; }
inline bool operator==(const CloneAction& a, const CloneAction& b) { return a.actions == b.actions; }

}  // namespace shunt
