// SPDX-License-Identifier: Apache-2.0
// Actions, encoded: each as its version has it, by Nicira's extensions where OpenFlow has no form for it.
#include <bit>
#include <variant>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kExperimenterAction = 0xffff;
constexpr std::uint32_t kNoQueue = 0xffffffff;
constexpr std::uint8_t kOwnTable = 0xff;
constexpr std::uint32_t kInPortHeader = 0x00000002;  // NXM_OF_IN_PORT
constexpr std::uint16_t kPbbType = 0x88e7, kVlanType = 0x8100;

class ActionEncoder {
 public:
  ActionEncoder(Writer& out, Version version, const Match& match) : out_{out}, version_{version}, match_{match} {
    tagged_ = implied_by(Prerequisite::kVlan, match);
  }

  void list(std::span<const Action> actions) {
    for (const Action& action : actions) std::visit([this](const auto& concrete) { put(concrete); }, action);
  }

 private:
  [[nodiscard]] bool is_10() const { return version_ == Version::k10; }

  // An action of OpenFlow's own, or of Nicira's, with what `body` writes, padded to a multiple of 8 bytes.
  template <typename Body>
  void standard(std::uint16_t type, Body&& body) {
    Tlv tlv{out_, type};
    body();
    tlv.align();
  }
  template <typename Body>
  void nicira(std::uint16_t subtype, Body&& body) {
    Tlv tlv{out_, kExperimenterAction};
    begin_nicira(out_, subtype);
    body();
    tlv.align();
  }
  void standard(std::uint16_t type) {
    standard(type, [] {});
  }
  void nicira(std::uint16_t subtype) {
    nicira(subtype, [] {});
  }
  void put_name(const WireBits& bits) { write_oxm_header(out_, *bits.field, false); }
  [[nodiscard]] WireBits named(const Subfield& bits) const { return wire_bits(bits, version_, match_); }

  void output_to(PortNo port, std::uint16_t max_len) {
    standard(0, [&] {
      write_port(out_, port, version_);
      out_.u16(max_len);
    });
  }

  void put(const OutputAction& output) {
    if (output.port == kPortController)
      return output_to(output.port, output.max_len == 0 ? kWholePacket : output.max_len);
    if (output.max_len == 0) return output_to(output.port, output.idle_max_len);
    nicira(39, [&] {
      out_.u16(port_to_16(output.port));
      out_.u32(output.max_len);
    });
  }
  void put(const OutputFieldAction& output) {
    const WireBits bits = named(output.source);
    if (bits.field == nullptr) return;
    const std::uint16_t range = offset_and_count(bits.first_bit, output.source.bit_count);
    const std::uint16_t max_len = output.max_len == 0 ? kWholePacket : output.max_len;
    // An experimenter's name is longer than the first form has room for.
    if (bits.field->experimenter != 0)
      return nicira(32, [&] {
        out_.u16(range);
        out_.u16(max_len);
        put_name(bits);
      });
    nicira(15, [&] {
      out_.u16(range);
      put_name(bits);
      out_.u16(max_len);
      out_.zeros(6);
    });
  }
  void put(const ControllerAction& controller) {
    ControllerAction plain;
    plain.max_len = controller.max_len;
    if (controller == plain) return output_to(kPortController, controller.max_len);
    if (controller.userdata.empty() && !controller.pause && !controller.meter_id)
      return nicira(20, [&] {
        out_.u16(controller.max_len);
        out_.u16(controller.controller_id);
        out_.u8(static_cast<std::uint8_t>(controller.reason));
        out_.zeros(1);
      });
    nicira(37, [&] {
      out_.zeros(6);
      property(0, [&] { out_.u16(controller.max_len); });
      property(1, [&] { out_.u16(controller.controller_id); });
      property(2, [&] { out_.u8(static_cast<std::uint8_t>(controller.reason)); });
      if (!controller.userdata.empty()) property(3, [&] { out_.put(controller.userdata); });
      if (controller.pause) property(4, [] {});
      if (controller.meter_id) property(5, [&] { out_.u32(*controller.meter_id); });
    });
  }
  template <typename Body>
  void property(std::uint16_t type, Body&& body) {
    const std::size_t start = out_.size();
    {
      const Tlv tlv{out_, type};
      body();
    }
    out_.align(start, 8);
  }

  void put(const GroupAction& group) {
    if (!is_10()) return standard(22, [&] { out_.u32(group.group); });
    nicira(40, [&] {
      out_.zeros(2);
      out_.u32(group.group);
    });
  }
  void put(const DropAction&) {}
  void put(const MeterAction& meter) {
    if (version_ >= Version::k15) standard(29, [&] { out_.u32(meter.meter); });
  }
  void put(const SetQueueAction& queue) {
    if (queue.queue == kNoQueue) return nicira(5);
    if (!is_10()) return standard(21, [&] { out_.u32(queue.queue); });
    nicira(4, [&] {
      out_.zeros(2);
      out_.u32(queue.queue);
    });
  }
  void put(const EnqueueAction& enqueue) {
    if (is_10())
      return standard(11, [&] {
        out_.u16(port_to_16(enqueue.port));
        out_.zeros(6);
        out_.u32(enqueue.queue);
      });
    put(SetQueueAction{enqueue.queue});
    output_to(enqueue.port, 0);
    put(SetQueueAction{kNoQueue});
  }

  void put(const SetFieldAction& set) {
    const Field& f = *set.field;
    const bool whole = set.mask == value_bits(f);
    if (is_10() && whole && set10(f.id, set.value)) return;
    if (f.id == FieldId::kNwTtl && whole && !is_10())
      return standard(23, [&] { out_.u8(static_cast<std::uint8_t>(set.value)); });
    if (f.id == FieldId::kInPort)
      return load({wire_form(f.id, Version::k10), 0}, port_to_16(PortNo{static_cast<std::uint32_t>(set.value)}), 16);
    if (f.id == FieldId::kNwTos && !is_10()) return set_bits(field(FieldId::kIpDscp), set.value >> 2, set.mask >> 2);
    set_bits(f, set.value, set.mask);
  }

  void put(const SetTypeAction& set) {
    const bool is_type = set.what == SetTypeAction::What::kEthType;
    if (is_10()) return;
    const OxmField& oxm = *wire_form(is_type ? FieldId::kEthType : FieldId::kNwProto, version_);
    standard(25, [&] { encode_field(out_, oxm, set.value, ~FieldBits{0}); });
  }

  // OpenFlow 1.0 has an action for each field that it knows.
  bool set10(FieldId id, FieldBits value) {
    const auto number = [&](std::uint16_t type, std::size_t size) {
      standard(type, [&] {
        out_.number(value, size);
        if (size == 6) out_.zeros(6);
      });
      return true;
    };
    switch (id) {
      case FieldId::kEthSrc:
        return number(4, 6);
      case FieldId::kEthDst:
        return number(5, 6);
      case FieldId::kIpSrc:
        return number(6, 4);
      case FieldId::kIpDst:
        return number(7, 4);
      case FieldId::kNwTos:
        return number(8, 1);
      case FieldId::kTpSrc:
      case FieldId::kTcpSrc:
      case FieldId::kUdpSrc:
        return number(9, 2);
      case FieldId::kTpDst:
      case FieldId::kTcpDst:
      case FieldId::kUdpDst:
        return number(10, 2);
      default:
        return false;
    }
  }

  void set_bits(const Field& f, FieldBits value, FieldBits mask) {
    const auto width = static_cast<std::uint16_t>(f.width);
    const WireBits wire = named({&f, 0, width});
    if (wire.field == nullptr) return;
    const bool whole = mask == value_bits(f);
    const bool is_vid = f.id == FieldId::kVlanVid && !wire.field->is_nicira();
    if (version_ >= Version::k15 || (whole && !is_10())) {
      const FieldBits present = is_vid ? SHUNT_VLAN_PRESENT : 0;
      return standard(25, [&] {
        if (!is_vid) return encode_field(out_, *wire.field, value, mask);
        // OFPVID_PRESENT is to be set in the value.
        encode_field(out_, *wire.field, value | present, whole ? ~FieldBits{0} : mask | present);
      });
    }
    const auto first = static_cast<std::uint16_t>(whole ? 0 : trailing_zeros(mask));
    const FieldBits run = mask >> first;
    const auto count = whole ? width : static_cast<std::uint16_t>(trailing_zeros(~run));
    if (count <= 64 && (count == 128 || run >> count == 0))
      return load({wire.field, static_cast<std::uint16_t>(wire.first_bit + first)}, value >> first, count);
    nicira(33, [&] { encode_field(out_, *wire.field, value << wire.first_bit, mask << wire.first_bit); });
  }

  static unsigned trailing_zeros(FieldBits bits) {
    const auto low = static_cast<std::uint64_t>(bits);
    return low != 0 ? static_cast<unsigned>(std::countr_zero(low))
                    : 64u + static_cast<unsigned>(std::countr_zero(static_cast<std::uint64_t>(bits >> 64)));
  }

  void load(const WireBits& to, FieldBits value, std::uint16_t count) {
    if (version_ >= Version::k15)  // only in_port, by Nicira's name
      return standard(25, [&] { encode_field(out_, *to.field, value, ~FieldBits{0}); });
    nicira(7, [&] {
      out_.u16(offset_and_count(to.first_bit, count));
      put_name(to);
      out_.u64(static_cast<std::uint64_t>(value));
    });
  }

  void put(const MoveAction& move) {
    const WireBits from = named({move.src, move.src_bit, move.bit_count});
    const WireBits to = named({move.dst, move.dst_bit, move.bit_count});
    if (from.field == nullptr || to.field == nullptr) return;
    const auto bits = [&] {
      out_.u16(move.bit_count);
      out_.u16(from.first_bit);
      out_.u16(to.first_bit);
    };
    if (version_ >= Version::k15)
      return standard(28, [&] {
        bits();
        out_.zeros(2);
        put_name(from);
        put_name(to);
      });
    nicira(6, [&] {
      bits();
      put_name(from);
      put_name(to);
    });
  }
  void put(const StackPushAction& push) { stack(27, push.source); }
  void put(const StackPopAction& pop) { stack(28, pop.target); }
  void stack(std::uint16_t subtype, const Subfield& bits) {
    const WireBits wire = named(bits);
    if (wire.field == nullptr) return;
    nicira(subtype, [&] {
      out_.u16(wire.first_bit);
      put_name(wire);
      out_.u16(bits.bit_count);
    });
  }

  void put(const PushVlanAction& push) {
    tagged_ = true;
    if (!is_10()) standard(17, [&] { out_.u16(push.tpid); });
  }
  void put(const PopVlanAction&) {
    tagged_ = false;
    standard(is_10() ? 3 : 18);
  }
  // From OpenFlow 1.1 on a tag is pushed by an action of its own.
  void tag() {
    if (!tagged_) put(PushVlanAction{kVlanType});
  }
  void put(const SetVlanVidAction& set) {
    if (is_10()) return standard(1, [&] { out_.u16(set.vid); });
    tag();
    set_bits(field(FieldId::kVlanVid), set.vid, value_bits(field(FieldId::kVlanVid)));
  }
  void put(const SetVlanPcpAction& set) {
    if (is_10()) return standard(2, [&] { out_.u8(set.pcp); });
    tag();
    set_bits(field(FieldId::kVlanPcp), set.pcp, value_bits(field(FieldId::kVlanPcp)));
  }

  void both(std::uint16_t own, std::uint16_t nicira10) { is_10() ? nicira(nicira10) : standard(own); }
  template <typename Body>
  void both(std::uint16_t own, std::uint16_t nicira10, Body&& body) {
    is_10() ? nicira(nicira10, body) : standard(own, body);
  }
  void put(const PushMplsAction& push) {
    both(19, 23, [&] { out_.u16(push.eth_type); });
  }
  void put(const PopMplsAction& pop) {
    both(20, 24, [&] { out_.u16(pop.eth_type); });
  }
  void put(const PushPbbAction&) {
    if (!is_10()) standard(26, [&] { out_.u16(kPbbType); });
  }
  void put(const PopPbbAction&) {
    if (!is_10()) standard(27);
  }
  void put(const DecTtlAction& dec) {
    if (dec.ids.empty()) return both(24, 18);
    nicira(21, [&] {
      out_.u16(static_cast<std::uint16_t>(dec.ids.size()));
      out_.zeros(4);
      for (const std::uint16_t id : dec.ids) out_.u16(id);
    });
  }
  void put(const SetMplsTtlAction& set) {
    both(15, 25, [&] { out_.u8(set.ttl); });
  }
  void put(const DecMplsTtlAction&) { both(16, 26); }
  void put(const CopyTtlOutAction&) {
    if (!is_10()) standard(11);
  }
  void put(const CopyTtlInAction&) {
    if (!is_10()) standard(12);
  }

  // Instructions, where a list cannot hold them: in OpenFlow 1.0.
  void put(const GotoTableAction& go) { put(ResubmitAction{std::nullopt, go.table}); }
  void put(const WriteActionsAction&) {}
  void put(const ClearActionsAction&) {}
  void put(const WriteMetadataAction& write) {
    nicira(22, [&] {
      out_.zeros(6);
      out_.u64(write.value);
      out_.u64(write.mask);
    });
  }

  void put(const ResubmitAction& resubmit) {
    const std::uint16_t in_port = port_to_16(resubmit.in_port.value_or(kPortInPort));
    if (!resubmit.table && resubmit.in_port) return nicira(1, [&] { out_.u16(in_port); });
    nicira(14, [&] {
      out_.u16(in_port);
      out_.u8(resubmit.table.value_or(kOwnTable));
      out_.zeros(3);
    });
  }
  void put(const CloneAction& clone) {
    Tlv tlv{out_, kExperimenterAction};
    begin_nicira(out_, 42);
    out_.zeros(6);
    ActionEncoder inner{out_, version_, match_};
    inner.tagged_ = tagged_;
    inner.list(clone.actions);
  }
  void put(const ExitAction&) { nicira(17); }
  void put(const NoteAction& note) {
    nicira(8, [&] { out_.put(note.bytes); });
  }
  void put(const ConjunctionAction& conjunction) {
    nicira(34, [&] {
      out_.u8(conjunction.clause);
      out_.u8(conjunction.clause_count);
      out_.u32(conjunction.id);
    });
  }
  void put(const MultipathAction& multipath) {
    const WireBits target = named(multipath.target);
    if (target.field == nullptr) return;
    nicira(10, [&] {
      out_.u16(static_cast<std::uint16_t>(multipath.fields));
      out_.u16(multipath.basis);
      out_.zeros(2);
      out_.u16(static_cast<std::uint16_t>(multipath.algorithm));
      out_.u16(static_cast<std::uint16_t>(multipath.link_count - 1));
      out_.u32(multipath.arg);
      out_.zeros(2);
      out_.u16(offset_and_count(target.first_bit, multipath.target.bit_count));
      put_name(target);
    });
  }
  void put(const BundleAction& bundle) {
    const WireBits target = bundle.target ? named(*bundle.target) : WireBits{nullptr, 0};
    nicira(bundle.target ? 13 : 12, [&] {
      out_.u16(static_cast<std::uint16_t>(bundle.algorithm));
      out_.u16(static_cast<std::uint16_t>(bundle.fields));
      out_.u16(bundle.basis);
      out_.u32(kInPortHeader);
      out_.u16(static_cast<std::uint16_t>(bundle.members.size()));
      out_.u16(target.field != nullptr ? offset_and_count(target.first_bit, bundle.target->bit_count)
                                       : std::uint16_t{0});
      if (target.field != nullptr)
        put_name(target);
      else
        out_.zeros(4);
      out_.zeros(4);
      for (const PortNo member : bundle.members) out_.u16(port_to_16(member));
    });
  }
  void put(const LearnAction& learn) { encode_learn(out_, learn, version_, match_); }
  void put(const FinTimeoutAction& fin) {
    nicira(19, [&] {
      out_.u16(fin.idle_timeout);
      out_.u16(fin.hard_timeout);
    });
  }
  void put(const CheckPktLargerAction& larger) {
    const WireBits target = named(larger.target);
    if (target.field == nullptr) return;
    nicira(49, [&] {
      out_.u16(larger.length);
      out_.u16(target.first_bit);
      put_name(target);
      out_.zeros(6);
    });
  }
  void put(const SampleAction& sample) {
    const bool plain = !sample.sampling_port && sample.direction == 0;
    nicira(plain ? 29 : 41, [&] {
      out_.u16(sample.probability);
      out_.u32(sample.collector_set_id);
      out_.u32(sample.obs_domain_id);
      out_.u32(sample.obs_point_id);
      if (plain) return;
      out_.u16(port_to_16(sample.sampling_port.value_or(kPortNone)));
      out_.u8(sample.direction);
      out_.zeros(5);
    });
  }

  Writer& out_;
  const Version version_;
  const Match& match_;
  bool tagged_;  // so far
};

// Of the fields that lie in the same bytes the one that the rule's packets have.
FieldId port_field(FieldId id, const Match& match) {
  const bool src = id == FieldId::kTpSrc;
  if (implied_by(Prerequisite::kUdp, match)) return src ? FieldId::kUdpSrc : FieldId::kUdpDst;
  if (implied_by(Prerequisite::kSctp, match)) return src ? FieldId::kSctpSrc : FieldId::kSctpDst;
  return src ? FieldId::kTcpSrc : FieldId::kTcpDst;
}

}  // namespace

void begin_nicira(Writer& out, std::uint16_t subtype) {
  out.u32(kNiciraId);
  out.u16(subtype);
}

WireBits wire_bits(const Subfield& bits, Version version, const Match& match) {
  FieldId id = bits.field->id;
  std::uint16_t first = bits.first_bit;
  if (id == FieldId::kTpSrc || id == FieldId::kTpDst) id = port_field(id, match);
  if (implied_by(Prerequisite::kIcmpv6, match)) {
    if (id == FieldId::kIcmpType) id = FieldId::kIcmpv6Type;
    if (id == FieldId::kIcmpCode) id = FieldId::kIcmpv6Code;
  }
  // Parts of the tag that OpenFlow 1.0 has no name for, or no version has.
  const bool of_tag = id == FieldId::kDlVlan || id == FieldId::kDlVlanPcp ||
                      (version == Version::k10 && (id == FieldId::kVlanVid || id == FieldId::kVlanPcp));
  if (of_tag) {
    first = static_cast<std::uint16_t>(first + bits.field->shift);
    id = FieldId::kVlanTci;
  }
  if (id == FieldId::kIpDscp && version == Version::k10) {
    first = static_cast<std::uint16_t>(first + 2);
    id = FieldId::kNwTos;
  }
  return {wire_form(id, version, first + bits.bit_count <= 16), first};
}

void encode_actions(Writer& out, std::span<const Action> actions, Version version, const Match& match) {
  ActionEncoder{out, version, match}.list(actions);
}

}  // namespace shunt::openflow
