// SPDX-License-Identifier: Apache-2.0
// One translation at work: the packet as the actions have left it so far, and the result being built. Internal to
// translate(), in several files, each named below with what it holds.
//
// A bit of the working key is either the packet's, and examining it un-wildcards it, or it is `known`: an action wrote
// it from a constant or from bits that were un-wildcarded then, so that it says nothing new about the packet.
//
// Threads: a translation is its caller's own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "user/flow/fields.h"
#include "user/pipeline/action_set.h"
#include "user/pipeline/translate.h"

namespace shunt {

struct WorkingPacket;

// Headers of the packet as edited so far that a flow key has no place for. translate_layers.cpp only.
struct Layers {
  struct Tag {
    shunt_vlan value, known, hidden;
    std::uint8_t source;
  };
  struct Label {
    be32 value, known, hidden;
    std::uint8_t source;
    std::uint16_t eth_type;  // before the push
  };
  // What pushes moved out of the key's last place, one entry a push, the latest last; pops bring it back.
  std::vector<Tag> tags;
  std::vector<Label> labels;
  // The packet below the pushed label stack or service tag.
  std::shared_ptr<const WorkingPacket> covered;
  // Where, in the packet at hand, what its own tags, or the labels that were popped so far, are in front of begins.
  std::optional<std::uint32_t> payload_at;
  std::optional<std::uint8_t> inner_ttl;  // copied to the IP header below the packet's own last label
  // The packet at hand as edits had left it when what its bytes mean last changed; null: as it was received.
  std::shared_ptr<const std::vector<std::uint8_t>> remade;
  int length_change = 0;  // bytes that pushes added and pops took
};

// The packet as edited so far: what a scope (open_scope) saves and brings back.
struct WorkingPacket {
  PipelineKey working_{};  // in_port: the OpenFlow number
  PipelineMask known_{};
  // Bits that say what no flow key of the packet does, but only the packet itself; where not `known`.
  FlowMask hidden_{};
  FlowMask rewritten_{};  // bits that do not say what the packet's own at their place say
  // Which tag, and which label stack entry, of the packet one of working_ is, where it is not known. kBehindTags and
  // kBehindLabels: the place behind the last one that a key holds, where the packet has nothing.
  static constexpr std::uint8_t kBehindTags = 2, kBehindLabels = 3;
  static constexpr std::array<std::uint8_t, 2> kOwnTags{0, 1};
  static constexpr std::array<std::uint8_t, 3> kOwnLabels{0, 1, 2};
  std::array<std::uint8_t, 2> tag_source_ = kOwnTags;
  std::array<std::uint8_t, 3> label_source_ = kOwnLabels;
  bool ttl_decremented_ = false;        // each bit of working_'s TTL depends on all bits of the packet's
  bool label_ttl_decremented_ = false;  // likewise of the top label stack entry's
  Layers layers_{};
};

class Translator : private WorkingPacket {
 public:
  // looks_at_ttl: whether a TTL runs out is found out here, not by who runs the actions. `result`: a new one, which is
  // made where it is to stay.
  Translator(const SwitchState& state, const FlowKey& key, const PacketView* packet, TranslationObserver* observer,
             bool looks_at_ttl, Translation& result);
  void run();
  void run_bridged();
  void run(BridgeId bridge, PortNo in_port, std::span<const Action> actions, const PipelineFields& fields);
  void run(BridgeId bridge, PortNo in_port, const PipelineFields& fields, const Continuation& from);
  // Behind run(), without looks_at_ttl: a TTL that runs out would not be noticed by who runs these actions.
  [[nodiscard]] bool hides_ttl() const { return hides_ttl_; }

 private:
  // A list longer than this is a configuration error, and no packet may cost what running it would.
  static constexpr std::size_t kMaxActions = 8192;
  // As Open vSwitch: look-ups that go back to the same or an earlier table, buckets and clones nest this deep; and so
  // many look-ups and buckets may one packet cost.
  static constexpr unsigned kMaxDepth = kMaxNestedCopies - 1;
  static constexpr unsigned kMaxResubmits = 4096;
  static constexpr std::size_t kMaxStackBytes = 65536;

  using StackEntry = Continuation::StackEntry;
  struct Scope {
    WorkingPacket packet;    // at its start
    std::size_t start;       // of result_.actions
    std::size_t merge_from;  // merge_from_ at its start
    unsigned pending;        // pending_ and more_ at its start
    bool more;
    std::optional<std::uint32_t> queue;
  };

  const SwitchState& state_;
  const FlowKey& packet_;
  const PacketView* const view_;
  TranslationObserver* const observer_;
  const bool looks_at_ttl_;
  const BridgeState* bridge_ = nullptr;
  std::uint32_t original_in_port_ = 0;  // the OpenFlow number of the port that the packet came in on
  Translation& result_;

  // Where translation is.
  std::uint8_t table_ = 0;
  const Rule* rule_ = nullptr;             // whose actions run; null: those of a packet-out, or of a table miss
  unsigned depth_ = 0;                     // against kMaxDepth
  unsigned nesting_ = 0;                   // for the observer: of resubmits, clones and buckets
  unsigned resubmits_ = 0;                 // look-ups and buckets, against kMaxResubmits
  unsigned watched_ = 0;                   // groups that buckets watch, likewise
  unsigned pending_ = 0;                   // lists around this one, in this scope, that have actions left
  bool more_ = false;                      // the list that runs has actions left
  bool leave_list_ = false;                // the list that runs ends here; those around it go on
  bool exit_ = false;                      // all lists end here
  bool stop_ = false;                      // translation is over
  std::shared_ptr<Continuation> pausing_;  // lists that end here leave their rest in it; null: no pause
  bool hides_ttl_ = false;
  bool bridging_ = false;  // run_bridged()
  bool in_action_set_ = false, in_group_ = false, in_packet_out_ = false;
  ActionSet action_set_;
  std::vector<StackEntry> stack_;
  std::size_t stack_bytes_ = 0;
  std::vector<Scope> scopes_;
  std::size_t merge_from_ =
      0;  // of result_.actions: those before it have been seen by an output, or are another scope's
  std::optional<std::uint32_t> queue_{0};  // that the datapath was told; none: by the way a packet takes
  unsigned hash_bits_used_ = 0;            // of dp_hash, by the select groups that this one stands in

  // --- translate_tables.cpp: tables, rules, lists of actions, the action set.
  void enter_table(std::uint8_t table, std::uint32_t in_port, bool honor_miss, bool may_packet_in);
  [[nodiscard]] const Rule* look_up(std::uint8_t table, std::uint32_t in_port);
  void miss(std::uint8_t table, bool may_packet_in);
  void run_rule(const Rule& rule);
  void run_list(std::span<const Action> actions);
  void run_set(const ActionSet& set);
  [[nodiscard]] bool enter_list();  // returns more_ of the list around, for end_list()
  void end_list(bool around);
  [[nodiscard]] bool run_next(const Action& action, bool more);  // of a list. False: the list ends before it
  void run_action_set();
  void keep_rest(std::span<const Action> actions);
  [[nodiscard]] bool begin(BridgeId bridge, PortNo in_port);  // of a packet-out. False: there is no such bridge
  [[nodiscard]] bool may_go_deeper();                         // else translation is over, and everything is dropped
  void run(const GotoTableAction& go);
  void run(const ResubmitAction& resubmit);
  void run(const WriteActionsAction& write_actions);
  void run(const ClearActionsAction& clear);
  void run(const CloneAction& clone);
  void run(const ExitAction& exit);
  void run(const ConjunctionAction& conjunction);  // the classifier's: nothing here

  // --- translate_outputs.cpp: where packets go, and queues.
  void run(const OutputAction& output);
  void run(const OutputFieldAction& output);
  void run(const SetQueueAction& set);
  void run(const EnqueueAction& enqueue);
  void run(const DropAction& drop);
  void run(const MeterAction& meter);
  void output(PortNo port, std::uint16_t max_len, bool may_packet_in);
  void flood(bool all, std::uint16_t max_len);

  // --- translate_groups.cpp.
  void run(const GroupAction& action);
  void run_bucket(const Group& group, const BucketRef& bucket);
  [[nodiscard]] const BucketRef* choose_bucket(const Group& group);  // select, fast failover; null: none is live
  [[nodiscard]] bool is_live(const Bucket& bucket, unsigned depth);
  [[nodiscard]] std::uint32_t hash_for(const Selection& selection);

  // --- translate_fields.cpp: fields, registers, the stack.
  void run(const SetFieldAction& set);
  void run(const MoveAction& move);
  void run(const StackPushAction& push);
  void run(const StackPopAction& pop);
  void run(const WriteMetadataAction& write_metadata);
  // What an action computes: writes `value` to the bits, if the packet has the field.
  void write_to(const Subfield& target, FieldBits value);
  // The bits of the packet, examined. Empty: the packet has not got the field.
  [[nodiscard]] std::optional<FieldBits> read_from(const Subfield& source);

  // --- translate_headers.cpp: VLAN and service tags.
  void run(const PushVlanAction& push);
  void run(const PopVlanAction& pop);
  void run(const SetVlanVidAction& set);
  void run(const SetVlanPcpAction& set);
  void run(const PushPbbAction& push);
  void run(const PopPbbAction& pop);
  void push_tag(std::uint16_t tpid, std::uint16_t tci);
  void pop_tag();                        // there is one
  [[nodiscard]] bool is_tagged() const;  // outer tag present; examine before

  void run(const SetTypeAction& set);
  void forget(const FlowMask& fields);  // the packet has them no more

  // --- translate_labels.cpp: MPLS, and TTLs.
  void run(const PushMplsAction& push);
  void run(const PopMplsAction& pop);
  void run(const DecTtlAction& dec);
  void run(const SetMplsTtlAction& set);
  void run(const DecMplsTtlAction& dec);
  void run(const CopyTtlOutAction& copy);
  void run(const CopyTtlInAction& copy);
  void pop_to_label(std::uint16_t eth_type);
  void pop_to_payload(std::uint16_t eth_type, bool bottom);
  [[nodiscard]] bool has_inner_ttl() const;
  // Below the packet's own last label; null: there is none, or no packet at hand.
  [[nodiscard]] const std::uint8_t* packet_inner_ttl();
  [[nodiscard]] be32 label_at(std::uint32_t offset) const;  // of the packet at hand
  void emit_decrement(shunt_action_type type, std::span<const std::uint16_t> ids);
  void expire(std::span<const std::uint16_t> ids);  // ends the list, and its controllers hear of it

  // --- translate_layers.cpp: what lies below, or comes to light.
  void know(const FlowMask& bits);  // from here on they are constants
  void hide(const FlowMask& bits);  // from here on only the packet says them
  void set_eth_type(std::uint16_t type);
  void set_payload(const FlowKey& key);  // all that Ethernet carries, as it is in `key`
  // What lies at layers_.payload_at comes to light, as what an EtherType says it is, behind so many tags of the packet.
  void reveal_payload(std::uint16_t eth_type, unsigned tags_in_front);
  void reveal_frame();  // the customer's frame behind the packet's own service tag
  void cover();         // the packet goes below a label or service tag
  void uncover();       // and comes back from below a label stack, but for addresses and tags, which stayed
  void lose_payload(std::uint16_t eth_type);  // it is called what it is not
  [[nodiscard]] std::uint32_t payload_at();   // there is a packet at hand
  // It, as pops and looks below labels find it.
  [[nodiscard]] PacketView packet_at_hand() const;
  FlowKey remake_packet();  // from the packet at hand and the edits so far; its key
  void bottom_changed();  // the bottom-of-stack bit, by a write that is emitted: below the label is something else now
  void merge_into_push(Match& edit);  // what a push at the end of the actions may push at once

  // --- translate_spread.cpp.
  void run(const MultipathAction& multipath);
  void run(const BundleAction& bundle);
  [[nodiscard]] std::uint32_t hash_packet(HashFields fields, std::uint16_t basis);  // examines the fields

  // --- translate_side.cpp: what happens beside.
  void run(const ControllerAction& controller);
  void run(const FinTimeoutAction& fin);
  void run(const SampleAction& sample);
  void run(const CheckPktLargerAction& check);
  void run(const NoteAction& note);
  // A packet-in of the packet as it is now.
  void send_to_controller(const ControllerAction& action);
  ContinuationRef pause();
  [[nodiscard]] Translation::Controller controller_of(const ControllerAction& action) const;

  // --- translate_learn.cpp.
  void run(const LearnAction& learn);
  [[nodiscard]] bool learn_result(const LearnAction& learn, const FlowMod& mod);  // false: the table has no room

  // --- normal.cpp: the learning switch.
  void normal(std::uint16_t max_len);
  void bridge(const BridgePort& ingress, VlanId vlan, std::uint16_t max_len);
  void learn(const BridgePort& ingress, VlanId vlan);
  [[nodiscard]] shunt_drop_reason refusal(const BridgePort& ingress, const BridgePort& port, BridgedFrame& frame);
  std::vector<const BridgePort*> choose_outputs(const BridgePort& ingress, BridgedFrame& frame, bool knows_macs);
  void send_in_vlan(std::span<const BridgePort* const> ports, const BridgedFrame& came, std::uint16_t max_len);
  void write_tag(const FrameTag& tag);

  // --- translate.cpp: for all of them. First the packet and what is known of it.

  void examine(const FlowMask& bits);                            // the answer depends on these bits of working_
  [[nodiscard]] FlowMask at_source(const FlowMask& bits) const;  // bits of working_: where the packet has them
  [[nodiscard]] bool has(Prerequisite prerequisite);             // examines it
  void write(const Match& set);                                  // emits the edit and makes it in working_
  // Frame and length as received, for what no key says; null: none is at hand, and translation is over. From here on
  // the flow is cached as one that goes to userspace, under the mask so far.
  [[nodiscard]] const PacketView* need_packet();
  // From here to close_scope(), edits are made to a copy of the packet. Scopes nest. Datapath actions that put it back
  // are made only where something was edited and sent, and is sent again.
  void open_scope();
  void close_scope();
  // True where no action of the lists around this one, nor of the action set, is left to run in this scope: what ends
  // this list ends the packet.
  [[nodiscard]] bool list_is_last() const { return pending_ == 0 && (action_set_.empty() || in_action_set_); }

  // What is sent, and what else follows.
  void send(const BridgePort& port, std::uint16_t max_len);
  [[nodiscard]] bool accepts(const BridgePort& port);  // up and forwards; else says why not. The answer depends on it
  void depend_on(DependencyKind kind, std::uint32_t id) { result_.dependencies.tags |= tag_of(kind, id); }
  [[nodiscard]] const BridgePort* find_port(PortNo number);  // null: there is none. The answer depends on it
  void emit(const shunt_action& action);
  // `owner` keeps the counters alive.
  void credit(std::shared_ptr<const FlowCounters> counters) { result_.credits.push_back(std::move(counters)); }
  void fail(shunt_drop_reason reason);     // why there is no output; the first reason counts
  void give_up(shunt_drop_reason reason);  // translation is over, and everything is dropped, whatever was sent before
  // For the observer: make_text() is called only where there is one.
  template <typename MakeText>
  void note(MakeText&& make_text) {
    if (observer_ != nullptr) observer_->note(std::string{make_text()}, nesting_);
  }

  void begin(const BridgeState& bridge, PortNo in_port);
  // Takes off result_.actions, from `start` on, what changes nothing that is sent; nor, where decrements count, says
  // that a TTL has run out.
  void trim(std::size_t start, bool decrements_count);
  void finish();
};

// Masks of the parts that are examined most.
FlowMask eth_dst_mask();
FlowMask eth_src_mask();
FlowMask vlan_mask(std::uint16_t tci_bits);  // of the outer tag

// Bytes of a datapath action, in network order.
void store16(__u8* at, std::uint16_t value);
[[nodiscard]] std::uint16_t load16(const __u8* at);
void store32(__u8* at, std::uint32_t value);
[[nodiscard]] std::uint32_t load32(const __u8* at);
[[nodiscard]] shunt_action action_of(shunt_action_type type);
FlowMask payload_mask();                                  // all that Ethernet carries
FlowMask label_mask(unsigned entry, std::uint32_t bits);  // of a label stack entry

FlowMask no_third_tag_mask();     // says that a packet has at most two VLAN tags
FlowMask no_fourth_label_mask();  // and at most three labels

// The port whose number these bits hold. OpenFlow 1.0 has 16 bits for it: its reserved ones are the upper ones there,
// too.
[[nodiscard]] PortNo port_of_bits(FieldBits bits);

inline constexpr std::uint32_t kLabelTtl = 0xff, kLabelBottom = 0x100;
[[nodiscard]] constexpr bool is_vlan_type(std::uint16_t type) { return type == 0x8100 || type == 0x88a8; }
[[nodiscard]] constexpr bool is_mpls_type(std::uint16_t type) { return type == 0x8847 || type == 0x8848; }

}  // namespace shunt
