// SPDX-License-Identifier: Apache-2.0
// Packets that wait for their controller, connections beside the main one, ports and packets in bundles, queues.
#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include "tests/unit/openflow/talk.h"
#include "user/openflow/codec/bundle_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"

using namespace shunt;
using namespace shunt::openflow;
using namespace shunt::openflow::test;

namespace {

PacketInEvent paused_event() {
  PacketInEvent event;
  event.bridge = BridgeId{1};
  event.what.action.pause = true;
  event.what.action.max_len = 20;
  event.what.in_port = PortNo{3};
  event.what.fields.reg[2] = {0, 0, 0, 7};
  event.what.fields.skb_priority = {0, 0, 0, 9};
  event.what.paused = std::make_shared<const Continuation>();
  event.frame.assign(60, 0x11);
  event.length = 60;
  return event;
}

void ask_for_format(Talk& talk, PacketInFormat format) {
  Writer out;
  {
    const MessageScope message{out, Version::k13, MessageKind::kNxSetPacketInFormat, 1};
    out.u32(static_cast<std::uint32_t>(format));
  }
  talk.send(out);
  CHECK(talk.replies().empty());
}

// What came, sent back as it is or changed.
void resume_with(Talk& talk, Bytes properties) {
  Writer out;
  {
    const MessageScope message{out, Version::k13, MessageKind::kNxResume, 2};
    out.put(properties);
  }
  talk.send(out);
}

void send_bundle(Talk& talk, std::uint16_t command, std::uint32_t xid) {
  Writer out;
  {
    const MessageScope message{out, Version::k14, MessageKind::kBundleControl, xid};
    out.u32(1);
    out.u16(command);
    out.u16(3);
  }
  talk.send(out);
}

template <typename Fill>
void add_to_bundle(Talk& talk, MessageKind kind, std::uint32_t xid, Fill&& fill) {
  Writer out;
  {
    const MessageScope message{out, Version::k14, MessageKind::kBundleAdd, xid};
    out.u32(1);
    out.u16(0);
    out.u16(3);
    const MessageScope inner{out, Version::k14, kind, xid};
    fill(out);
  }
  talk.send(out);
}

void put_port_mod(Writer& out, std::uint32_t port, std::uint32_t config) {
  out.u32(port);
  out.zeros(4);
  out.put(std::vector<std::uint8_t>{2, 0, 0, 0, 0, 1});
  out.zeros(2);
  out.u32(config);
  out.u32(1 << 2);  // OFPPC_NO_RECV
}

void put_packet_out(Writer& out, std::optional<std::uint32_t> group) {
  out.u32(0xffffffff);
  out.u32(0xfffffffd);
  out.u16(group ? 8 : 0);
  out.zeros(6);
  if (group) {
    out.u16(22);
    out.u16(8);
    out.u32(*group);
  }
  out.zeros(60);
}

}  // namespace

TEST_SUITE("openflow resume") {
  // The length of the message went round.
  TEST_CASE("a frame that has no room beside the action's userdata is cut, and waits whole in its buffer") {
    Talk talk;
    ask_for_format(talk, PacketInFormat::kNicira2);
    PacketInEvent event = paused_event();
    event.what.paused = nullptr;
    event.what.action.max_len = 0xffff;
    event.what.action.userdata.assign(60'000, 0x22);
    event.frame.assign(9000, 0x11);
    event.length = 9000;
    talk.agent->packet_in(event);
    const auto packets = talk.replies();
    REQUIRE(packets.size() == 1);
    CHECK(packets[0].body.size() > 60'000);
    CHECK(talk.session->lost() == 0);
    CHECK(talk.agent->buffers().take(0x100).frame.size() == 9000);
    event.what.action.userdata.assign(65'000, 0x22);
    talk.agent->packet_in(event);
    CHECK(talk.replies().empty());
    CHECK(talk.session->lost() == 1);
  }

  TEST_CASE("a paused packet comes with what it is resumed by, whole, and goes on as its controller left it, once") {
    Talk talk;
    ask_for_format(talk, PacketInFormat::kNicira2);
    talk.agent->packet_in(paused_event());
    const auto packets = talk.replies();
    REQUIRE(packets.size() == 1);
    const Bytes properties = Bytes{packets[0].body}.subspan(8);
    resume_with(talk, properties);
    CHECK(talk.replies().empty());
    REQUIRE(talk.instance.sent_out.size() == 1);
    const PacketOutSpec& sent = talk.instance.sent_out[0];
    CHECK(sent.resumed != nullptr);
    CHECK(sent.in_port == PortNo{3});
    CHECK(sent.frame == paused_event().frame);
    CHECK(sent.fields.reg == paused_event().what.fields.reg);
    CHECK(sent.fields.skb_priority == paused_event().what.fields.skb_priority);
    resume_with(talk, properties);
    CHECK(Talk::error(talk.replies().at(0)) == std::pair{0xffffu, 35u});
  }

  TEST_CASE("what resumes nothing is refused") {
    Talk talk;
    SUBCASE("another number") {
      Writer out;
      {
        const Tlv metadata{out, 6};
        Match match{};
        match.value.in_port = 3;
        match.mask.in_port = 0xffffffff;
        encode_fields(out, match, Version::k13);
      }
      out.align(0, 8);
      resume_with(talk, out.bytes());
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{0xffffu, 35u});
    }
    SUBCASE("no port") {
      resume_with(talk, {});
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 11u});
    }
    SUBCASE("cut") {
      resume_with(talk, std::vector<std::uint8_t>{0, 0, 0, 9, 1, 1, 1, 1});
      CHECK(talk.replies().at(0).header.type == kErrorType);
    }
    CHECK(talk.instance.sent_out.empty());
  }

  TEST_CASE("in other formats a paused packet is one like others") {
    Talk talk;
    talk.agent->packet_in(paused_event());
    const auto packets = talk.replies();
    REQUIRE(packets.size() == 1);
    CHECK(packets[0].header.type == 10);
    CHECK(packets[0].body.size() < 70);
  }
}

TEST_SUITE("openflow auxiliary connections") {
  TEST_CASE("packet-ins go by them, those of a port by one; answers, role and numbers are as they should be") {
    Talk talk;
    auto first = std::make_unique<Session>(*talk.agent, Session::Kind::kController);
    Session second{*talk.agent, Session::Kind::kController};
    talk.session->add_auxiliary(*first, 1);
    talk.session->add_auxiliary(second, 2);
    const auto hello = [](Session& session) {
      Writer out;
      { const MessageScope message{out, Version::k13, kHelloType, 1}; }
      session.feed(out.bytes());
      while (session.process()) {
      }
      (void)session.take_output();
    };
    const auto written = [](Session& session) { return session.take_output().size(); };
    PacketInEvent event = paused_event();
    talk.agent->packet_in(event);
    CHECK(talk.replies().size() == 1);  // none is up yet
    hello(*first);
    hello(second);
    talk.agent->packet_in(event);
    CHECK(written(second) > 0);
    event.what.in_port = PortNo{4};
    talk.agent->packet_in(event);
    CHECK(written(*first) > 0);
    CHECK(talk.replies().empty());

    Writer ask;
    { const MessageScope message{ask, Version::k13, MessageKind::kFeaturesRequest, 8}; }
    second.feed(ask.bytes());
    while (second.process()) {
    }
    const auto features = second.take_output();
    REQUIRE(features.size() == 32);
    CHECK(features[8 + 13] == 2);
    talk.send(4, 24, {0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5});
    CHECK(talk.replies().size() == 1);
    CHECK(second.role() == Role::kSlave);
    CHECK(first->role() == Role::kSlave);

    talk.send(4, 24, {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5});
    talk.replies();
    first.reset();
    talk.agent->packet_in(event);
    CHECK(written(second) > 0);
  }
}

TEST_SUITE("openflow bundles") {
  TEST_CASE("ports, rules and packets together, or none of them") {
    Talk talk{Version::k14};
    PortRequest request;
    request.interface = "a";
    request.number = PortNo{1};
    talk.instance.attach_port("br0", request);
    const auto receives = [&] { return talk.instance.ports("br0")[0].flags.receive; };
    send_bundle(talk, 0, 1);
    add_to_bundle(talk, MessageKind::kPortMod, 2, [](Writer& out) { put_port_mod(out, 1, 1 << 2); });
    FlowModMessage rule;
    rule.mod.actions = {OutputAction{PortNo{1}}};
    Writer out;
    {
      const MessageScope message{out, Version::k14, MessageKind::kBundleAdd, 3};
      out.u32(1);
      out.u16(0);
      out.u16(3);
      encode_flow_mod(out, rule, Version::k14, 3);
    }
    talk.send(out);
    CHECK(talk.replies().size() == 1);
    SUBCASE("all of it") {
      add_to_bundle(talk, MessageKind::kPacketOut, 4, [](Writer& packet) { put_packet_out(packet, {}); });
      send_bundle(talk, 4, 5);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 1);
      CHECK(replies[0].header.type == 33);
      CHECK_FALSE(receives());
      CHECK(talk.instance.at("br0").rules.size() == 1);
      CHECK(talk.instance.sent_out.size() == 1);
    }
    SUBCASE("a packet that names no group") {
      add_to_bundle(talk, MessageKind::kPacketOut, 4, [](Writer& packet) { put_packet_out(packet, 77); });
      send_bundle(talk, 4, 5);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 2);
      CHECK(replies[0].header.xid == 4);
      CHECK(Talk::error(replies[0]) == std::pair{2u, 9u});
      CHECK(Talk::error(replies[1]) == std::pair{17u, 13u});
      CHECK(receives());
      CHECK(talk.instance.at("br0").rules.empty());
    }
    SUBCASE("a port that is not there") {
      add_to_bundle(talk, MessageKind::kPortMod, 4, [](Writer& port) { put_port_mod(port, 9, 1 << 2); });
      send_bundle(talk, 4, 5);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 2);
      CHECK(Talk::error(replies[0]) == std::pair{7u, 0u});
      CHECK(receives());
    }
    SUBCASE("a rule that is refused") {
      talk.instance.refusal = OfError{OfErrorCode::kOverlap, "overlap"};
      talk.instance.refusal->set_line(2);
      send_bundle(talk, 4, 5);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 2);
      CHECK(replies[0].header.xid == 3);
      CHECK(receives());
    }
    SUBCASE("of a port several times: all of it, in one change") {
      add_to_bundle(talk, MessageKind::kPortMod, 4, [](Writer& port) { put_port_mod(port, 1, 0); });
      send_bundle(talk, 4, 5);
      CHECK(talk.replies().size() == 1);
      CHECK(receives());
    }
    SUBCASE("in order: what would come behind a packet") {
      add_to_bundle(talk, MessageKind::kPacketOut, 4, [](Writer& packet) { put_packet_out(packet, {}); });
      add_to_bundle(talk, MessageKind::kPortMod, 5, [](Writer& port) { put_port_mod(port, 1, 0); });
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{17u, 11u});
    }
    SUBCASE("what cannot be bundled") {
      add_to_bundle(talk, MessageKind::kTableMod, 4, [](Writer& table) { table.zeros(8); });
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{17u, 10u});
    }
  }
}

TEST_SUITE("openflow buffers") {
  struct Buffered : Talk {
    std::uint32_t buffer;
    Buffered() : Talk{Version::k14} { buffer = agent->buffers().put({std::vector<std::uint8_t>(60, 0x11), PortNo{3}}); }
    [[nodiscard]] bool waits() const {
      try {
        return agent->buffers().at(buffer).frame.size() == 60;
      } catch (const OfError&) {
        return false;
      }
    }
    void put_flow_mod(Writer& out, std::uint32_t xid) const {
      FlowModMessage message;
      message.mod.actions = {OutputAction{PortNo{1}}};
      message.buffer_id = buffer;
      encode_flow_mod(out, message, Version::k14, xid);
    }
    void bundle_flow_mod(std::uint32_t xid) {
      Writer out;
      {
        const MessageScope message{out, Version::k14, MessageKind::kBundleAdd, xid};
        out.u32(1);
        out.u16(0);
        out.u16(3);
        put_flow_mod(out, xid);
      }
      send(out);
    }
    void bundle_packet_out(std::uint32_t xid) {
      add_to_bundle(*this, MessageKind::kPacketOut, xid, [&](Writer& out) {
        out.u32(buffer);
        out.u32(0xfffffffd);
        out.u16(0);
        out.zeros(6);
      });
    }
  };

  TEST_CASE("a flow-mod sends its packet on when it is applied, and only then") {
    Buffered talk;
    Writer out;
    talk.put_flow_mod(out, 5);
    SUBCASE("applied") {}
    SUBCASE("refused") { talk.instance.refusal = OfError{OfErrorCode::kTableFull, "full"}; }
    talk.send(out);
    const auto replies = talk.replies();
    CHECK(replies.size() == (talk.instance.refusal ? 1 : 0));
    CHECK(talk.waits() == talk.instance.refusal.has_value());
    CHECK(talk.instance.sent_out.size() == (talk.instance.refusal ? 0 : 1));
  }

  TEST_CASE("a bundle takes the packets that its messages name when it is done, and only then") {
    Buffered talk;
    send_bundle(talk, 0, 1);
    SUBCASE("a flow-mod's") { talk.bundle_flow_mod(2); }
    SUBCASE("a packet-out's") { talk.bundle_packet_out(2); }
    SUBCASE("one that fails") {
      talk.bundle_flow_mod(2);
      talk.instance.refusal = OfError{OfErrorCode::kTableFull, "full"};
      send_bundle(talk, 4, 5);
      talk.replies();
      CHECK(talk.waits());
      CHECK(talk.instance.sent_out.empty());
      return;
    }
    SUBCASE("twice the same") {
      talk.bundle_flow_mod(2);
      talk.bundle_packet_out(3);
      send_bundle(talk, 4, 5);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 3);
      CHECK(replies[1].header.xid == 3);
      CHECK(Talk::error(replies[1]) == std::pair{1u, 7u});
      CHECK(talk.waits());
      CHECK(talk.instance.at("br0").rules.empty());
      return;
    }
    CHECK(talk.waits());
    send_bundle(talk, 4, 5);
    CHECK(talk.replies().size() == 2);
    CHECK_FALSE(talk.waits());
    REQUIRE(talk.instance.sent_out.size() == 1);
    CHECK(talk.instance.sent_out[0].frame.size() == 60);
  }
}

TEST_SUITE("openflow bundles that fail") {
  // Whose changes to rules fail for a reason that is none of OpenFlow's, as do those to ports then.
  struct Failing : shunt::test::FakeInstance {
    bool failed = false;
    void modify(const std::string&, std::span<const Modification>) override {
      failed = true;
      throw std::runtime_error("no memory");
    }
    void set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan,
                  const PortFlags& flags) override {
      if (failed && interface == "a") throw std::runtime_error("no such device");
      FakeInstance::set_port(bridge, interface, vlan, flags);
    }
  };

  TEST_CASE(
      "ports are put back as far as they can be, and no message is blamed for what none of them is to blame for") {
    TalkTo<Failing> talk{Version::k14};
    for (const std::uint32_t number : {1u, 2u}) {
      PortRequest request;
      request.interface = number == 1 ? "a" : "b";
      request.number = PortNo{number};
      talk.instance.attach_port("br0", request);
    }
    const auto send_all = [&](MessageKind kind, std::uint32_t xid, auto&& fill) {
      Writer out;
      {
        const MessageScope message{out, Version::k14, kind, xid};
        fill(out);
      }
      talk.send(out);
    };
    const auto header = [](Writer& out, std::uint16_t command) {
      out.u32(1);
      out.u16(command);
      out.u16(3);
    };
    send_all(MessageKind::kBundleControl, 1, [&](Writer& out) { header(out, 0); });
    for (const std::uint32_t number : {1u, 2u})
      send_all(MessageKind::kBundleAdd, 10 + number, [&](Writer& out) {
        header(out, 0);
        const MessageScope inner{out, Version::k14, MessageKind::kPortMod, 10 + number};
        put_port_mod(out, number, 1 << 2);
      });
    send_all(MessageKind::kBundleAdd, 13, [&](Writer& out) {
      header(out, 0);
      FlowModMessage rule;
      rule.mod.actions = {OutputAction{PortNo{1}}};
      encode_flow_mod(out, rule, Version::k14, 13);
    });
    send_all(MessageKind::kBundleControl, 5, [&](Writer& out) { header(out, 4); });
    const auto replies = talk.replies();
    REQUIRE(replies.size() == 2);
    CHECK(replies[1].header.xid == 5);
    CHECK(TalkTo<Failing>::error(replies[1]) == std::pair{17u, 13u});
    CHECK_FALSE(talk.instance.ports("br0")[0].flags.receive);
    CHECK(talk.instance.ports("br0")[1].flags.receive);
  }
}

TEST_SUITE("openflow queues") {
  TEST_CASE("there are none: of any port an empty answer, of none by number, and no port that is not there") {
    for (const Version version : {Version::k10, Version::k13, Version::k14}) {
      CAPTURE(name_of(version));
      Talk talk{version};
      PortRequest request;
      request.interface = "a";
      request.number = PortNo{1};
      talk.instance.attach_port("br0", request);
      const auto ask = [&](std::uint32_t port, std::uint32_t queue) -> std::string {
        Writer out;
        {
          const MessageScope message{out, version, MessageKind::kMultipartRequest, 5};
          out.u16(5);
          out.zeros(version == Version::k10 ? 2 : 6);
          write_port(out, PortNo{port}, version);
          if (version == Version::k10) out.zeros(2);
          out.u32(queue);
        }
        talk.send(out);
        const auto replies = talk.replies();
        REQUIRE(replies.size() == 1);
        if (replies[0].header.type == kErrorType) return fmt::format("{}", Talk::error(replies[0]));
        return fmt::format("{} bytes", replies[0].body.size());
      };
      const unsigned type = version == Version::k10 ? 5 : 9;
      const std::string none = version == Version::k10 ? "4 bytes" : "8 bytes";
      const std::uint32_t any = version == Version::k10 ? 0xfffffffc : 0xffffffff;
      CHECK(ask(any, 0xffffffff) == none);
      CHECK(ask(1, 0xffffffff) == none);
      CHECK(ask(1, 7) == fmt::format("({}, 1)", type));
      CHECK(ask(9, 0xffffffff) == fmt::format("({}, 0)", type));
      CHECK(ask(9, 7) == fmt::format("({}, 0)", type));
    }
  }
}
