// SPDX-License-Identifier: Apache-2.0
// What a connection says of itself and hears of: lengths of its messages, configuration, roles, asynchronous messages.
#include <doctest/doctest.h>

#include "tests/unit/openflow/talk.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/meter_codec.h"

using namespace shunt;
using namespace shunt::openflow;
using namespace shunt::openflow::test;

namespace {

using Body = std::vector<std::uint8_t>;

template <typename Instance>
void send(TalkTo<Instance>& talk, Version version, MessageKind kind, const Body& body, std::uint32_t xid = 9) {
  Writer out;
  {
    const MessageScope message{out, version, kind, xid};
    out.put(body);
  }
  talk.send(out);
}

// A second controller of the same bridge.
class Other {
 public:
  Other(BridgeAgent& agent, Version version) : session{agent, Session::Kind::kController}, version_{version} {
    Writer out;
    { const MessageScope message{out, version, kHelloType, 1}; }
    session.feed(out.bytes());
    (void)replies();
  }
  void send(MessageKind kind, const Body& body) {
    Writer out;
    {
      const MessageScope message{out, version_, kind, 1};
      out.put(body);
    }
    session.feed(out.bytes());
  }
  std::vector<std::uint8_t> replies() {
    while (session.process()) {
    }
    return session.take_output();
  }
  Session session;

 private:
  Version version_;
};

Body async_property(std::uint16_t type, std::uint32_t mask) {
  Writer out;
  {
    const Tlv tlv{out, type};
    out.u32(mask);
  }
  return out.release();
}

Body operator+(Body a, const Body& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

PacketInEvent missed(bool only_old) {
  PacketInEvent event;
  event.bridge = BridgeId{1};
  event.what.action.reason = PacketInReason::kNoMatch;
  event.what.in_port = PortNo{3};
  event.what.only_old = only_old;
  event.frame.assign(60, 0x11);
  event.length = 60;
  return event;
}

constexpr std::pair kBadLen{1u, 6u};

}  // namespace

TEST_SUITE("openflow session: lengths") {
  TEST_CASE("a request that is longer or shorter than it can be is refused for that") {
    for (const Version version : kVersions) {
      for (const MessageFormat& format : message_formats()) {
        if (format.direction == Direction::kToController || version < format.since || format.until < version) continue;
        if (format.unit == 1) continue;
        CAPTURE(format.name);
        CAPTURE(name_of(version));
        Talk talk{version};
        send(talk, version, format.kind, Body(format.size + (format.unit == 0 ? 1u : format.unit / 2u)));
        CHECK(Talk::error(talk.replies().at(0)) == kBadLen);
        if (format.size == 0) continue;
        send(talk, version, format.kind, Body(format.size - 1u));
        CHECK(Talk::error(talk.replies().at(0)) == kBadLen);
      }
      for (const MultipartFormat& format : multipart_formats()) {
        if (version < format.since || format.until < version) continue;
        CAPTURE(format.name);
        CAPTURE(name_of(version));
        Talk talk{version};
        Writer body;
        body.u16(static_cast<std::uint16_t>(format.experimenter == 0 ? format.number : 0xffff));
        body.zeros(version == Version::k10 ? 2 : 6);
        if (format.experimenter != 0) {
          body.u32(format.experimenter);
          body.u32(format.number);
          if (version == Version::k10) body.zeros(4);
        }
        body.zeros(format.size + 1u);
        send(talk, version, MessageKind::kMultipartRequest, body.release());
        CHECK(Talk::error(talk.replies().at(0)) == kBadLen);
      }
    }
  }
}

TEST_SUITE("openflow session: configuration") {
  TEST_CASE("OpenFlow 1.0 turns packet-ins of TTLs that run out on and off; later versions know no such flag") {
    Talk old{Version::k10};
    const auto hears = [&] {
      PacketInEvent event = missed(false);
      event.what.action.reason = PacketInReason::kInvalidTtl;
      old.agent->packet_in(event);
      return !old.taken().empty();
    };
    CHECK_FALSE(hears());
    send(old, Version::k10, MessageKind::kSetConfig, {0, 4, 0xff, 0xff});
    CHECK(old.replies().empty());
    CHECK(hears());
    send(old, Version::k10, MessageKind::kGetConfigRequest, {});
    CHECK(old.replies().at(0).body == Body{0, 4, 0xff, 0xff});
    send(old, Version::k10, MessageKind::kSetConfig, {0, 0, 0xff, 0xff});
    CHECK(old.replies().empty());
    CHECK_FALSE(hears());
    Talk talk{Version::k13};
    send(talk, Version::k13, MessageKind::kSetConfig, {0, 4, 0xff, 0xff});
    CHECK(Talk::error(talk.replies().at(0)) == std::pair{10u, 0u});
  }

  TEST_CASE("what table 0 has no rule for goes to a controller of OpenFlow 1.0 only, unless the table says so") {
    Talk talk{Version::k13};
    Other old{*talk.agent, Version::k10};
    talk.agent->packet_in(missed(true));
    CHECK(talk.taken().empty());
    CHECK_FALSE(old.session.take_output().empty());
    talk.agent->packet_in(missed(false));
    CHECK(talk.taken().size() == 1);
    CHECK_FALSE(old.session.take_output().empty());
  }

  TEST_CASE("a removed rule is told by the reason that the version has, in the format that was asked for") {
    Talk talk{Version::k10};
    auto rule = std::make_shared<Rule>();
    RemovedRule removed{rule, RemovedReason::kGroupDelete, BridgeId{1}};
    Writer masks;
    masks.zeros(16);
    masks.u32(1 << static_cast<unsigned>(RemovedReason::kDelete));
    masks.zeros(4);
    send(talk, Version::k10, MessageKind::kNxSetAsyncConfig, masks.release());
    CHECK(talk.replies().empty());
    talk.agent->flow_removed(removed);
    const auto plain = talk.taken();
    REQUIRE(plain.size() == 1);
    CHECK(plain[0].header.type == 11);
    send(talk, Version::k10, MessageKind::kNxSetFlowFormat, {0, 0, 0, 2});
    CHECK(talk.replies().empty());
    talk.agent->flow_removed(removed);
    CHECK(talk.taken().at(0).header.type == kExperimenterMessageType);
    send(talk, Version::k10, MessageKind::kNxSetFlowFormat, {0, 0, 0, 1});
    CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 5u});
  }

  TEST_CASE("a master that asks again leaves its own auxiliary connections alone") {
    Talk talk{Version::k14};
    Other beside{*talk.agent, Version::k14};
    talk.session->add_auxiliary(beside.session, 1);
    const Body master{0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5};
    for (int i = 0; i < 2; ++i) {
      send(talk, Version::k14, MessageKind::kRoleRequest, master);
      CHECK(talk.replies().size() == 1);
      CHECK(talk.session->role() == Role::kMaster);
      CHECK(beside.replies().empty());
    }
  }

  TEST_CASE("what an auxiliary connection configures is the controller's") {
    Talk talk{Version::k13};
    Other beside{*talk.agent, Version::k13};
    talk.session->add_auxiliary(beside.session, 1);
    beside.send(MessageKind::kSetAsync, Body(24));
    CHECK(beside.replies().empty());
    talk.agent->packet_in(missed(false));
    CHECK(talk.taken().empty());
    CHECK(beside.replies().empty());
  }

  TEST_CASE("a port that nobody was told of is remembered by its first change") {
    Talk talk{Version::k13};
    PortStatus port;
    port.number = PortNo{3};
    port.name = "eth0";
    for (int i = 0; i < 2; ++i) talk.agent->port_changed(InstanceListener::PortEvent::kChanged, port);
    CHECK(talk.taken().size() == 1);
  }

  TEST_CASE("a packet-out of OpenFlow 1.5 says what the pipeline is to know of it") {
    Talk talk{Version::k15};
    Writer out;
    {
      const MessageScope message{out, Version::k15, MessageKind::kPacketOut, 1};
      out.u32(kNoBuffer);
      out.zeros(4);
      Match match{};
      write_field(field(FieldId::kInPort), match.value, 3);
      write_field(field(FieldId::kInPort), match.mask, ~FieldBits{0});
      for (const FieldId id : {FieldId::kMetadata, FieldId::kReg0, FieldId::kTunId}) {
        write_field(field(id), match.value, 7);
        write_field(field(id), match.mask, ~FieldBits{0});
      }
      encode_match(out, match, Version::k15);
      out.zeros(60);
    }
    talk.send(out);
    CHECK(talk.replies().empty());
    REQUIRE(talk.instance.sent_out.size() == 1);
    PipelineKey key{};
    static_cast<PipelineFields&>(key) = talk.instance.sent_out[0].fields;
    for (const FieldId id : {FieldId::kMetadata, FieldId::kReg0, FieldId::kTunId})
      CHECK(read_field(field(id), key) == 7);
  }

  TEST_CASE("answers of a turn that could not be put in force are not sent") {
    Talk talk{Version::k13};
    talk.session->take_back_answers();
    CHECK_FALSE(talk.session->given_up());  // it was told nothing
    send(talk, Version::k13, MessageKind::kBarrierRequest, {});
    while (talk.session->process()) {
    }
    talk.session->take_back_answers();
    CHECK(talk.session->given_up());
    CHECK(talk.session->output_size() == 0);
  }
}

TEST_SUITE("openflow session: asynchronous messages") {
  TEST_CASE("what cannot be asked for is refused, and changes nothing") {
    Talk talk{Version::k14};
    const auto refusal = [&](const Body& body) {
      send(talk, Version::k14, MessageKind::kSetAsync, body);
      return Talk::error(talk.replies().at(0));
    };
    const Body good = async_property(1, 1);
    CHECK(refusal(good + async_property(3, 0x80)) == std::pair{15u, 0u});
    CHECK(refusal(good + async_property(1, 3)) == std::pair{14u, 4u});
    CHECK(refusal(good + async_property(12, 0)) == std::pair{14u, 0u});
    CHECK(refusal(good + Body{0, 2, 0, 12, 0, 0, 0, 1}) == std::pair{14u, 1u});
    send(talk, Version::k14, MessageKind::kGetAsyncRequest, {});
    const auto now = talk.replies().at(0).body;
    REQUIRE(now.size() == 12 * 8);
    CHECK(now[15] == 0x3b);  // packet-ins of a master, as at first
  }

  TEST_CASE("OpenFlow 1.5 knows the kinds that it added") {
    Talk talk{Version::k15};
    send(talk, Version::k15, MessageKind::kSetAsync, async_property(13, 1) + async_property(15, 2));
    CHECK(talk.replies().empty());
    send(talk, Version::k15, MessageKind::kGetAsyncRequest, {});
    const auto now = talk.replies().at(0).body;
    REQUIRE(now.size() == 16 * 8);
    CHECK(now[13 * 8 + 7] == 1);
    CHECK(now[15 * 8 + 7] == 2);
  }

  TEST_CASE("a change to groups or meters is forwarded to the others that want to hear of it, once it is made") {
    Talk talk{Version::k13};
    Other deaf{*talk.agent, Version::k14}, hears{*talk.agent, Version::k14};
    hears.send(MessageKind::kSetAsync, async_property(11, 3));
    CHECK(hears.replies().empty());
    GroupMod group;
    group.group = 7;
    Writer request;
    encode_group_mod(request, group, Version::k13, 77);
    Writer expected;
    {
      const MessageScope message{expected, Version::k14, MessageKind::kRequestForward, 0};
      encode_group_mod(expected, group, Version::k14, 77);
    }
    SUBCASE("a group") {
      talk.send(request);
      CHECK(talk.replies().empty());
      const auto told = hears.replies();
      CHECK(told == Body(expected.bytes().begin(), expected.bytes().end()));
    }
    SUBCASE("a group in a bundle, when that is committed") {
      const auto bundle = [&](MessageKind kind, std::uint16_t command, Bytes bundled) {
        Writer out;
        {
          const MessageScope message{out, Version::k13, kind, 77};
          out.u32(1);
          out.u16(command);
          out.u16(3);
          out.put(bundled);
        }
        talk.send(out);
      };
      bundle(MessageKind::kBundleControl, 0, {});
      bundle(MessageKind::kBundleAdd, 0, request.bytes());
      CHECK(hears.replies().empty());
      bundle(MessageKind::kBundleControl, 4, {});
      CHECK(talk.replies().size() == 2);
      const auto told = hears.replies();
      CHECK(told == Body(expected.bytes().begin(), expected.bytes().end()));
    }
    SUBCASE("a meter") {
      MeterMod meter;
      meter.config = {.id = 3, .bands = {{SHUNT_BAND_DROP, 9, 0, 0}}};
      Writer out;
      encode_meter_mod(out, meter, Version::k13, 5);
      talk.send(out);
      CHECK(talk.replies().empty());
      CHECK(hears.replies().size() == 8 + out.size());
    }
    SUBCASE("one that is refused") {
      talk.instance.refusal = OfError{OfErrorCode::kGroupExists, "there"};
      talk.send(request);
      CHECK(talk.replies().size() == 1);
      CHECK(hears.replies().empty());
    }
    CHECK(deaf.replies().empty());
  }
}

TEST_SUITE("openflow session: requests") {
  TEST_CASE("features of bundles: atomic and ordered, and at no given time") {
    Talk talk{Version::k15};
    send(talk, Version::k15, MessageKind::kMultipartRequest, {0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    CHECK(talk.replies().at(0).body == Body{0, 19, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0});
    send(talk, Version::k15, MessageKind::kMultipartRequest, {0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0});
    CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 16u});
  }

  TEST_CASE("OpenFlow 1.0 asks for groups by Nicira's requests") {
    Talk talk{Version::k10};
    for (const std::uint8_t subtype : {std::uint8_t{7}, std::uint8_t{8}}) {
      send(talk, Version::k10, MessageKind::kMultipartRequest,
           {0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, 0, 0, 0, subtype, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, 0, 0, 0, 0});
      const auto reply = talk.replies().at(0);
      CHECK(reply.header.type == 17);
      CHECK(reply.body.at(11) == subtype);
    }
  }

  TEST_CASE("a rule that is added cannot be selected by its cookie") {
    Talk talk{Version::k10};
    Writer out;
    {
      const MessageScope message{out, Version::k10, MessageKind::kNxFlowMod, 1};
      out.zeros(8 + 8);
      out.u32(kNoBuffer);
      out.u16(0xffff);
      out.u16(0);
      out.u16(12);
      out.zeros(6);
      out.u32(0x00013c08);  // NXM_NX_COOKIE
      out.u64(5);
      out.zeros(4);
    }
    talk.send(out);
    const auto error = talk.replies().at(0);
    CHECK(error.body.at(9) == 1);  // NXBRC_NXM_INVALID
    CHECK(error.body.at(10) == 1);
    CHECK(error.body.at(11) == 0);
  }
}
