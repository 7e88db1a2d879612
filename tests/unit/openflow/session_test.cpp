// SPDX-License-Identifier: Apache-2.0
// A session against a switch without a kernel: what it answers, in which order, and what bad input leads to.
#include "user/openflow/session.h"

#include <doctest/doctest.h>

#include "tests/unit/openflow/talk.h"
#include "user/openflow/codec/bundle_codec.h"
#include "user/openflow/codec/error_codec.h"
#include "user/openflow/codec/match_codec.h"

using namespace shunt;
using namespace shunt::openflow;
using shunt::openflow::test::Talk;

namespace {

Writer flow_mod(std::uint8_t table, std::uint32_t xid) {
  FlowModMessage message;
  message.mod.table = table;
  message.mod.actions = {OutputAction{PortNo{1}}};
  Writer out;
  encode_flow_mod(out, message, Version::k13, xid);
  return out;
}

constexpr std::uint8_t kBarrierRequest = 20, kBarrierReply = 21;

}  // namespace

TEST_SUITE("openflow session") {
  TEST_CASE("the greatest version that both speak is agreed on") {
    Talk talk{std::nullopt};
    SUBCASE("by the header alone") {
      talk.send(4, kHelloType, {});
      talk.replies();
      CHECK(talk.session->version() == Version::k13);
    }
    SUBCASE("one that is newer speaks ours") {
      talk.send(9, kHelloType, {});
      talk.replies();
      CHECK(talk.session->version() == Version::k15);
    }
    SUBCASE("by the bitmap: 1.0 and 1.3, though the header says 1.5") {
      talk.send(6, kHelloType, {0, 1, 0, 8, 0, 0, 0, 0x12});
      talk.replies();
      CHECK(talk.session->version() == Version::k13);
    }
    SUBCASE("none in common: an error, and the end") {
      talk.send(3, kHelloType, {0, 1, 0, 8, 0, 0, 0, 0x0c});
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 2);
      CHECK(replies[1].header.type == kErrorType);
      CHECK(Talk::error(replies[1]) == std::pair{0u, 0u});
      CHECK(talk.session->closing());
    }
    SUBCASE("what is no hello ends it") {
      talk.send(4, 5, {});
      talk.replies();
      CHECK(talk.session->closing());
    }
  }

  TEST_CASE("what speaks no OpenFlow hears so before it has sent as much as its first bytes happen to say") {
    Talk talk{std::nullopt};
    const std::string_view request = "GET / HTTP/1.1\r\n";
    talk.session->feed({reinterpret_cast<const std::uint8_t*>(request.data()), request.size()});
    const auto replies = talk.replies();
    REQUIRE(replies.size() == 2);
    CHECK(Talk::error(replies[1]) == std::pair{0u, 0u});
    CHECK(talk.session->closing());
  }

  TEST_CASE("one that does not read is given up when it misses a change of a port, and only then") {
    Talk talk;
    talk.session->port_changed(PortChange::kModify, PortDescription{});
    CHECK(talk.replies().size() == 1);
    talk.session->set_waiting(Session::kMaxWaiting);
    CHECK_FALSE(talk.session->given_up());
    talk.session->port_changed(PortChange::kModify, PortDescription{});
    CHECK(talk.session->given_up());
    CHECK(talk.session->output_size() == 0);
  }

  TEST_CASE("a barrier's reply comes behind the errors of what was before it, and nothing before is left undone") {
    Talk talk;
    talk.send(flow_mod(1, 1));
    talk.send(4, kBarrierRequest, {}, 2);
    talk.send(flow_mod(2, 3));
    talk.send(4, kBarrierRequest, {}, 4);
    SUBCASE("all goes well") {
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 2);
      CHECK(replies[0].header.xid == 2);
      CHECK(replies[1].header.xid == 4);
      CHECK(talk.instance.at("br0").rules.size() == 2);
    }
    SUBCASE("each is refused") {
      talk.instance.refusal = OfError{OfErrorCode::kTableFull, "full"};
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 4);
      CHECK(replies[0].header.type == kErrorType);
      CHECK(replies[0].header.xid == 1);
      CHECK(Talk::error(replies[0]) == std::pair{5u, 1u});
      CHECK(replies[1].header.type == kBarrierReply);
      CHECK(replies[2].header.xid == 3);
      CHECK(replies[3].header.xid == 4);
    }
  }

  TEST_CASE("a change that has to wait is put off with all that comes behind it, and nothing is done twice") {
    Talk talk;
    talk.instance.not_yet = true;
    std::vector<std::uint32_t> answers;
    std::size_t rules = 1;
    SUBCASE("a rule, and its barrier") {
      talk.send(flow_mod(1, 1));
      talk.send(4, kBarrierRequest, {}, 2);
      talk.send(4, 2, {}, 3);
      talk.send(flow_mod(2, 4));
      talk.send(4, kBarrierRequest, {}, 5);
      rules = 2;
      answers = {2, 3, 5};
    }
    SUBCASE("a change that looks at many rules") {
      FlowModMessage change;
      change.mod.flags = kCheckOverlap;
      change.mod.actions = {OutputAction{PortNo{1}}};
      Writer out;
      encode_flow_mod(out, change, Version::k13, 1);
      talk.send(out);
      talk.send(4, kBarrierRequest, {}, 2);
      answers = {2};
    }
    CHECK(talk.replies().empty());
    CHECK(talk.session->is_waiting());
    CHECK(talk.replies().empty());  // whoever asks
    CHECK(talk.instance.at("br0").rules.empty());
    talk.session->resume();  // it has to wait again
    CHECK(talk.replies().empty());
    talk.instance.not_yet = false;
    CHECK(talk.replies().empty());
    talk.session->resume();
    std::vector<std::uint32_t> xids;
    for (const auto& reply : talk.replies()) xids.push_back(reply.header.xid);
    CHECK(xids == answers);
    CHECK(talk.instance.at("br0").rules.size() == rules);
    CHECK(!talk.session->is_waiting());
  }

  TEST_CASE("an echo comes back with its bytes") {
    Talk talk;
    talk.send(4, 2, {1, 2, 3}, 77);
    const auto replies = talk.replies();
    REQUIRE(replies.size() == 1);
    CHECK(replies[0].header.type == 3);
    CHECK(replies[0].header.xid == 77);
    CHECK(replies[0].body == std::vector<std::uint8_t>{1, 2, 3});
  }

  TEST_CASE("bad messages get the error that OpenFlow has for them") {
    Talk talk;
    SUBCASE("an unknown type, and the session goes on") {
      talk.send(4, 99, {});
      talk.send(4, 2, {});
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 2);
      CHECK(Talk::error(replies[0]) == std::pair{1u, 1u});
    }
    SUBCASE("a reply is no request") {
      talk.send(4, kBarrierReply, {});
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 1u});
    }
    SUBCASE("another version: the end") {
      talk.send(1, 5, {});
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 0u});
      CHECK(talk.session->closing());
    }
    SUBCASE("a length below the header's: the end") {
      talk.session->feed(std::vector<std::uint8_t>{4, 2, 0, 3, 0, 0, 0, 1});
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 6u});
      CHECK(talk.session->closing());
    }
    SUBCASE("a flow-mod that is cut") {
      talk.send(4, 14, std::vector<std::uint8_t>(20));
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 6u});
    }
    SUBCASE("an experimenter that nobody knows") {
      talk.send(4, 4, {0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1});
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 3u});
    }
    SUBCASE("statistics of rules in a table that cannot be") {
      talk.send(4, 18,
                std::vector<std::uint8_t>{0,    1,    0,    0,    0, 0, 0, 0, 254, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0,   0, 0, 0, 0,    0,    0,    0,
                                          0,    0,    0,    0,    0, 0, 0, 0, 0,   1, 0, 4, 0,    0,    0,    0});
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 9u});
    }
    SUBCASE("an unknown multipart") {
      talk.send(4, 18, {0x12, 0x34, 0, 0, 0, 0, 0, 0});
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 2u});
    }
  }

  TEST_CASE("bytes may come one at a time") {
    Talk talk;
    Writer out = flow_mod(3, 1);
    for (const std::uint8_t byte : out.bytes()) {
      talk.session->feed(Bytes{&byte, 1});
      talk.replies();
    }
    CHECK(talk.instance.at("br0").rules.size() == 1);
  }

  TEST_CASE("roles: one master, a slave changes nothing, an older generation is refused") {
    Talk talk;
    Session other{*talk.agent, Session::Kind::kController};
    talk.send(4, 24, {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}, 1);
    CHECK(talk.replies().at(0).header.type == 25);
    CHECK(talk.session->role() == Role::kMaster);
    Writer hello;
    { const MessageScope message{hello, Version::k13, kHelloType, 1}; }
    {
      const MessageScope message{hello, Version::k13, MessageKind::kRoleRequest, 2};
      for (const unsigned byte : {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6})
        hello.u8(static_cast<std::uint8_t>(byte));
    }
    other.feed(hello.bytes());
    while (other.process()) {
    }
    CHECK(other.role() == Role::kMaster);
    CHECK(talk.session->role() == Role::kSlave);
    talk.send(flow_mod(1, 3));
    CHECK(Talk::error(talk.replies().at(0)) == std::pair{1u, 10u});
    talk.send(4, 24, {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4}, 4);
    CHECK(Talk::error(talk.replies().at(0)) == std::pair{11u, 0u});
  }

  TEST_CASE("a dump goes out piece by piece, as it is read") {
    Talk talk;
    for (int i = 0; i < 100'000; ++i) {
      auto rule = std::make_shared<Rule>();
      rule->priority = static_cast<std::uint16_t>(i);
      rule->actions = {OutputAction{PortNo{1}}};
      talk.instance.at("br0").rules.push_back(rule);
    }
    Writer out;
    {
      const MessageScope message{out, Version::k13, MessageKind::kMultipartRequest, 5};
      out.u16(1);
      out.zeros(6);
      out.u8(0xff);
      out.zeros(3);
      out.u32(0xffffffff);
      out.u32(0xffffffff);
      out.zeros(20);
      encode_match(out, Match{}, Version::k13);
    }
    talk.send(out);
    std::size_t entries = 0, most = 0, messages = 0;
    bool more = true, last_said_more = true;
    while (more) {
      more = talk.session->process();
      const auto bytes = talk.session->take_output();
      most = std::max(most, bytes.size());
      for (Bytes left{bytes}; !left.empty();) {
        const Header header = read_header(left);
        last_said_more = left[11] == 1;
        ++messages;
        for (Bytes entry = left.subspan(16, header.length - 16u); !entry.empty();) {
          ++entries;
          entry = entry.subspan(static_cast<std::size_t>(entry[0] << 8 | entry[1]));
        }
        left = left.subspan(header.length);
      }
    }
    CHECK(entries == 100'000);
    CHECK_FALSE(last_said_more);
    CHECK(messages > 100);
    CHECK(most <= Session::kMaxWaiting + kMaxMessage);
  }

  TEST_CASE("a bundle is applied whole when it is committed") {
    Talk talk{Version::k14};
    const auto control = [&](std::uint16_t type, std::uint32_t xid) {
      Writer out;
      {
        const MessageScope message{out, Version::k14, MessageKind::kBundleControl, xid};
        out.u32(1);
        out.u16(type);
        out.u16(1);
      }
      talk.send(out);
    };
    const auto add = [&](std::uint8_t table, std::uint32_t xid) {
      FlowModMessage change;
      change.mod.table = table;
      change.mod.actions = {OutputAction{PortNo{1}}};
      Writer out;
      {
        const MessageScope message{out, Version::k14, MessageKind::kBundleAdd, xid};
        out.u32(1);
        out.u16(0);
        out.u16(1);
        encode_flow_mod(out, change, Version::k14, xid);
      }
      talk.send(out);
    };
    control(0, 1);
    add(1, 2);
    add(2, 3);
    CHECK(talk.replies().size() == 1);
    CHECK(talk.instance.at("br0").rules.empty());
    SUBCASE("committed") {
      control(4, 4);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 1);
      CHECK(replies[0].body[5] == 5);
      CHECK(talk.instance.at("br0").rules.size() == 2);
    }
    SUBCASE("the commit has to wait: so does the bundle, for as long as it takes") {
      talk.instance.not_yet = true;
      control(4, 4);
      CHECK(talk.replies().empty());
      talk.session->expire_bundles(Clock::now() + 10 * Session::kBundleTimeout);
      talk.instance.not_yet = false;
      talk.session->resume();
      talk.session->expire_bundles(Clock::now() + 10 * Session::kBundleTimeout);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 1);
      CHECK(replies[0].body[5] == 5);
      CHECK(talk.instance.at("br0").rules.size() == 2);
      CHECK(talk.agent->bundle_bytes() == 0);
    }
    SUBCASE("discarded") {
      control(6, 4);
      talk.replies();
      CHECK(talk.instance.at("br0").rules.empty());
      control(4, 5);
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{17u, 2u});
    }
    SUBCASE("nothing is said of it for long: it is gone, and what it held") {
      CHECK(talk.agent->bundle_bytes() > 0);
      talk.session->expire_bundles(Clock::now() + Session::kBundleTimeout / 2);
      CHECK(talk.replies().empty());
      talk.session->expire_bundles(Clock::now() + Session::kBundleTimeout);
      const auto replies = talk.replies();
      CHECK(Talk::error(replies.at(0)) == std::pair{17u, 14u});
      CHECK(read_header(Bytes{replies[0].body}.subspan(4)).xid == 3);  // what was last said of it
      CHECK(talk.agent->bundle_bytes() == 0);
      control(4, 4);
      CHECK(Talk::error(talk.replies().at(0)) == std::pair{17u, 2u});
    }
    SUBCASE("the session ends: it holds nothing any more") {
      talk.session.reset();
      CHECK(talk.agent->bundle_bytes() == 0);
    }
    SUBCASE("refused: the message's own error, then the bundle's") {
      talk.instance.refusal = OfError{OfErrorCode::kOverlap, "overlap"};
      talk.instance.refusal->set_line(2);
      control(4, 4);
      const auto replies = talk.replies();
      REQUIRE(replies.size() == 2);
      CHECK(replies[0].header.xid == 3);
      CHECK(Talk::error(replies[0]) == std::pair{5u, 3u});
      CHECK(Talk::error(replies[1]) == std::pair{17u, 13u});
    }
  }
}
