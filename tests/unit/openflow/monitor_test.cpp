// SPDX-License-Identifier: Apache-2.0
// What a controller hears of rules and tables: flow monitors, and how full tables are.
#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tests/unit/openflow/talk.h"
#include "user/openflow/codec/error_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/monitor_codec.h"

using namespace shunt;
using namespace shunt::openflow;
using namespace shunt::openflow::test;

namespace {

constexpr std::uint16_t kAll = kMonitorInitial | kMonitorAdd | kMonitorRemoved | kMonitorModify | kMonitorInstructions;

struct Watching : TalkTo<SwitchInstance> {
  explicit Watching(Version spoken) : TalkTo{spoken}, version{spoken} {
    instance.follower = agent.get();
    FlowMod all;
    all.command = FlowMod::Command::kDelete;
    instance.flow_mod("br0", std::span{&all, 1});
  }
  Version version;

  void watch(std::uint32_t id, std::uint16_t flags, std::optional<std::uint8_t> table = {}, std::uint8_t command = 0) {
    Writer out;
    {
      const MultipartFormat& format = flow_monitor_format(version);
      const MessageScope message{out, version, MessageKind::kMultipartRequest, 70};
      out.u16(format.experimenter != 0 ? 0xffff : static_cast<std::uint16_t>(format.number));
      out.zeros(version == Version::k10 ? 2 : 6);
      if (format.experimenter != 0) {
        out.u32(format.experimenter);
        out.u32(format.number);
        if (version == Version::k10) out.zeros(4);
      }
      out.u32(id);
      if (version == Version::k10) {
        out.u16(flags);
        out.u16(0xffff);
        out.u16(0);
        out.u8(table.value_or(0xff));
        out.zeros(5);
      } else if (version == Version::k13) {
        out.u16(flags);
        out.u16(4);
        out.u32(0xffffffff);
        out.u8(table.value_or(0xff));
        out.zeros(3);
        encode_match(out, Match{}, version);
      } else {
        out.u32(0xffffffff);
        out.u32(0xffffffff);
        out.u16(flags);
        out.u8(table.value_or(0xff));
        out.u8(command);
        encode_match(out, Match{}, version);
      }
    }
    send(out);
  }

  // The events told, as numbers of OpenFlow 1.4 (0 initial, 1 added, 2 removed, 3 modified, 4 own, 5 paused, 6
  // resumed), and the priorities of their rules, or the xid: "1:7 4:3".
  std::string heard() { return text_of(replies()); }
  std::string text_of(const std::vector<Reply>& told) {
    std::string text;
    for (const Reply& reply : told) {
      if (reply.header.type == kErrorType) return fmt::format("error {}.{}", error(reply).first, error(reply).second);
      if (reply.header.type == kExperimenterMessageType)
        text += reply.body[7] == 22 || reply.body[7] == 0x4f ? "5 " : "6 ";
      Reader in{reply.body};
      if (reply.header.type != (version == Version::k10 ? 17 : 19)) continue;
      const bool experimenter = in.u16() == 0xffff;
      in.skip(version == Version::k10 ? 2 : 6);
      if (experimenter) in.skip(version == Version::k10 ? 12 : 8);
      while (!in.done()) text += entry(in);
    }
    if (!text.empty()) text.pop_back();
    return text;
  }
  std::string entry(Reader& in) const {
    const std::uint16_t size = in.u16(), number = in.u16();
    Reader rest = in.part(size - 4u, OfErrorCode::kBadLength);
    const unsigned event = version >= Version::k14 ? number : number + 1u;
    if (event == 4) return fmt::format("4:{} ", rest.u32());
    if (event > 4) return fmt::format("{} ", event);
    rest.skip(version >= Version::k14 ? 6 : 2);
    return fmt::format("{}:{} ", event, rest.u16());
  }

  // Asked for by the controller itself, or by somebody else.
  void change(FlowMod::Command command, std::uint16_t priority, std::uint32_t port, std::uint32_t xid) {
    FlowModMessage message;
    message.mod = mod(command, priority, port);
    Writer out;
    encode_flow_mod(out, message, version, xid);
    send(out);
  }
  void change(FlowMod::Command command, std::uint16_t priority, std::uint32_t port = 1) {
    const FlowMod made = mod(command, priority, port);
    instance.flow_mod("br0", std::span{&made, 1});
  }
  static FlowMod mod(FlowMod::Command command, std::uint16_t priority, std::uint32_t port) {
    FlowMod made;
    made.command = command;
    made.table = 0;
    made.priority = priority;
    if (command != FlowMod::Command::kDeleteStrict) made.actions = {OutputAction{PortNo{port}}};
    return made;
  }
};

using Command = FlowMod::Command;

}  // namespace

TEST_SUITE("openflow flow monitor") {
  TEST_CASE("what is there, what comes, changes and goes; own changes by their xid") {
    for (const Version version : {Version::k10, Version::k13, Version::k14, Version::k15}) {
      CAPTURE(name_of(version));
      Watching watching{version};
      watching.change(Command::kAdd, 5);
      watching.watch(1, kAll);
      CHECK(watching.heard() == (version >= Version::k14 ? "0:5" : "1:5"));
      watching.change(Command::kAdd, 7);
      CHECK(watching.heard() == "1:7");
      watching.change(Command::kModifyStrict, 7, 2);
      CHECK(watching.heard() == "3:7");
      watching.change(Command::kModifyStrict, 7, 2);
      CHECK(watching.heard().empty());  // nothing is different
      watching.change(Command::kDeleteStrict, 7);
      CHECK(watching.heard() == "2:7");
      watching.change(Command::kAdd, 8, 1, 33);
      watching.change(Command::kAdd, 9, 1, 34);
      CHECK(watching.heard() == "4:33 4:34");
      watching.watch(1, kAll);
      CHECK(watching.heard().starts_with("error"));
    }
  }

  TEST_CASE("a monitor hears of what it asked for: tables, kinds of change, its own in full, or only those") {
    Watching watching{Version::k14};
    watching.watch(1, kMonitorAdd | kMonitorNoAbbreviation, std::uint8_t{0});
    CHECK(watching.heard().empty());
    watching.change(Command::kAdd, 7, 1, 33);
    watching.change(Command::kDeleteStrict, 7, 1, 34);
    CHECK(watching.heard() == "1:7");
    watching.watch(1, kMonitorAdd | kMonitorNoAbbreviation, std::uint8_t{3}, 1);
    watching.change(Command::kAdd, 7, 1, 35);
    CHECK(watching.heard().empty());
    watching.watch(1, kMonitorAdd | kMonitorNoAbbreviation | kMonitorOnlyOwn, {}, 1);
    watching.change(Command::kAdd, 8);
    watching.change(Command::kAdd, 9, 1, 36);
    CHECK(watching.heard() == "1:9");
    watching.watch(1, 0, {}, 2);
    watching.change(Command::kAdd, 10, 1, 37);
    CHECK(watching.heard().empty());
    watching.watch(1, 0, {}, 2);
    CHECK(watching.heard() == "error 16.3");
    watching.watch(1, 1 << 7);
    CHECK(watching.heard() == "error 16.5");
    watching.watch(1, 1, std::uint8_t{254});
    CHECK(watching.heard() == "error 16.6");
  }

  TEST_CASE("a monitor is cancelled") {
    Watching watching{Version::k10};
    watching.watch(1, kAll);
    CHECK(watching.heard().empty());
    Writer out;
    {
      const MessageScope message{out, Version::k10, MessageKind::kFlowMonitorCancel, 5};
      out.u32(1);
    }
    watching.send(out);
    CHECK(watching.heard().empty());
    watching.change(Command::kAdd, 7);
    CHECK(watching.heard().empty());
  }

  TEST_CASE("who reads too slowly is paused, and in the end knows what there is, of each rule once") {
    for (const Version version : {Version::k10, Version::k13, Version::k14}) {
      CAPTURE(name_of(version));
      Watching watching{version};
      for (std::uint16_t priority = 1; priority <= 3; ++priority) watching.change(Command::kAdd, priority);
      watching.watch(1, kMonitorAdd | kMonitorRemoved | kMonitorModify);
      CHECK(watching.heard().empty());
      watching.session->set_waiting(Session::kMaxWaiting);
      watching.change(Command::kAdd, 4);  // comes, changes
      watching.change(Command::kModifyStrict, 4, 9);
      watching.change(Command::kAdd, 5);  // comes, is said once more, and goes
      watching.change(Command::kAdd, 5);
      watching.change(Command::kDeleteStrict, 5);
      watching.change(Command::kModifyStrict, 1, 9);  // changes
      watching.change(Command::kModifyStrict, 2, 9);  // changes and goes
      watching.change(Command::kDeleteStrict, 2);
      watching.change(Command::kDeleteStrict, 3);  // goes and comes
      watching.change(Command::kAdd, 3);
      watching.session->process();
      CHECK(watching.text_of(watching.taken()) == "5");
      watching.session->set_waiting(0);
      std::string told = watching.heard();
      CHECK(told.ends_with(" 6"));
      CHECK(told.starts_with("2:"));
      std::vector<std::string> events;
      for (std::size_t at = 0; at + 2 < told.size(); at += 4) events.push_back(told.substr(at, 3));
      std::ranges::sort(events);
      CHECK(events == std::vector<std::string>{"1:3", "1:4", "2:2", "2:3", "3:1"});
      watching.change(Command::kAdd, 6);
      CHECK(watching.heard() == "1:6");
    }
  }

  // A monitor of one kind of change had only those of that kind held: of a rule that it did not hear go, it heard that
  // it is there; and rules that had come and gone stayed held for ever.
  TEST_CASE("who is paused and wants to hear of some kinds of change only is told nothing that is not so any more") {
    Watching watching{Version::k14};
    std::uint16_t flags = kMonitorAdd;
    std::string in_the_end = "5 1:4 6";
    SUBCASE("additions") {}
    SUBCASE("removals") {
      flags = kMonitorRemoved;
      in_the_end = "5 2:1 6";
    }
    SUBCASE("additions and removals") {
      flags = kMonitorAdd | kMonitorRemoved;
      in_the_end = "5 2:1 1:4 6";
    }
    SUBCASE("modifications") {
      flags = kMonitorModify;
      in_the_end = "5 3:2 6";
    }
    for (std::uint16_t priority = 1; priority <= 2; ++priority) watching.change(Command::kAdd, priority);
    watching.watch(1, flags);
    CHECK(watching.heard().empty());
    watching.session->set_waiting(Session::kMaxWaiting);
    watching.change(Command::kDeleteStrict, 1);
    watching.change(Command::kModifyStrict, 2, 9);
    watching.change(Command::kAdd, 3);  // comes, changes and goes
    watching.change(Command::kModifyStrict, 3, 9);
    watching.change(Command::kDeleteStrict, 3);
    watching.change(Command::kAdd, 4);
    watching.session->set_waiting(0);
    const std::string told = watching.heard();
    CHECK(told == in_the_end);
  }

  TEST_CASE("who is paused and wants to hear of its own changes only hears of them") {
    Watching watching{Version::k14};
    watching.watch(1, kMonitorAdd | kMonitorNoAbbreviation | kMonitorOnlyOwn);
    // A dump that is not read yet has what changes meanwhile held.
    for (std::uint16_t i = 100; i < 2100; ++i) watching.change(Command::kAdd, i);
    CHECK(watching.heard().empty());
    watching.session->set_waiting(Session::kMaxWaiting - 1);
    watching.change(Command::kAdd, 7, 1, 33);
    watching.watch(2, kMonitorInitial);
    watching.session->process();
    Session other{*watching.agent, Session::Kind::kController};
    {
      const BridgeAgent::Asking asking{*watching.agent, *watching.session, 34};
      watching.change(Command::kAdd, 8);
    }
    {
      const BridgeAgent::Asking asking{*watching.agent, other, 35};
      watching.change(Command::kAdd, 9);
    }
    watching.session->set_waiting(0);
    const std::string told = watching.heard();
    CHECK(told.starts_with("1:7 0:"));
    CHECK(told.ends_with(" 1:8"));
    CHECK(told.find("1:9") == std::string::npos);
  }

  TEST_CASE("a rule that several new monitors select is told once, with all that one of them wants") {
    Watching watching{Version::k14};
    for (std::uint16_t priority = 1; priority <= 3; ++priority) watching.change(Command::kAdd, priority);
    Writer out;
    {
      const MessageScope message{out, Version::k14, MessageKind::kMultipartRequest, 70};
      out.u16(16);
      out.zeros(6);
      const auto entry = [&](std::uint32_t id, std::uint16_t flags, std::uint8_t command) {
        out.u32(id);
        out.u32(0xffffffff);
        out.u32(0xffffffff);
        out.u16(flags);
        out.u8(0xff);
        out.u8(command);
        encode_match(out, Match{}, Version::k14);
      };
      entry(1, kMonitorInitial, 0);
      for (int i = 0; i < 100; ++i) entry(1, kMonitorInitial, 1);  // changed, again and again
      entry(2, kMonitorInitial | kMonitorInstructions, 0);
      entry(3, kMonitorInitial, 0);
      entry(3, 0, 2);  // and gone
    }
    watching.send(out);
    const auto told = watching.replies();
    REQUIRE(told.size() == 1);
    CHECK(told[0].body.size() == 8 + 3 * (24 + 8 + 8 + 16));  // each with its output
    CHECK(watching.text_of(told) == "0:3 0:2 0:1");
  }

  // The length went round, and what came behind was read from the middle of it.
  TEST_CASE("a change of a rule that no message of the reader's version holds is lost, and what follows is not") {
    Watching watching{Version::k14};
    watching.watch(1, kAll);
    CHECK(watching.heard().empty());
    FlowMod large = Watching::mod(Command::kAdd, 5, 1);
    for (int i = 1; i < 4096; ++i) large.actions.emplace_back(OutputAction{PortNo{1}});
    watching.instance.flow_mod("br0", std::span{&large, 1});
    watching.change(Command::kAdd, 6);
    CHECK(watching.heard() == "1:6");
    CHECK(watching.session->lost() == 1);
  }

  TEST_CASE("an answer is not overtaken by what changed since") {
    Watching watching{Version::k14};
    for (std::uint16_t i = 0; i < 2000; ++i) watching.change(Command::kAdd, i);
    watching.session->set_waiting(Session::kMaxWaiting - 1);
    watching.watch(1, kMonitorInitial | kMonitorRemoved);
    watching.session->process();
    watching.session->set_waiting(Session::kMaxWaiting);
    watching.change(Command::kDeleteStrict, 1999);
    watching.session->set_waiting(0);
    const std::string told = watching.heard();
    CHECK(told.find("0:1999") != std::string::npos);
    CHECK(told.ends_with("2:1999"));
  }
}

TEST_SUITE("openflow table status") {
  TEST_CASE("a table tells when it is nearly full, once, and when there is room again, once") {
    Watching watching{Version::k14};
    TableConfig config;
    config.max_rules = 10;
    watching.instance.set_table("br0", 0, config);
    const auto table_mod = [&](std::uint32_t flags, std::vector<std::uint8_t> limits, std::uint8_t table = 0) {
      Writer out;
      {
        const MessageScope message{out, Version::k14, MessageKind::kTableMod, 3};
        out.u8(table);
        out.zeros(3);
        out.u32(flags);
        if (!limits.empty()) {
          const Tlv property{out, 3};
          out.put(limits);
          out.zeros(2);
        }
      }
      watching.send(out);
      const auto replies = watching.replies();
      return replies.empty() ? std::string{} : fmt::format("{}", Watching::error(replies[0]));
    };
    // "reason free-percent", of each status.
    const auto statuses = [&] {
      watching.agent->check_vacancies();
      std::string text;
      for (const auto& reply : watching.replies()) {
        CHECK(reply.header.type == 31);
        text += fmt::format("{} {},", reply.body[0], reply.body[8 + 8 + 8 + 6]);
      }
      return text;
    };
    constexpr std::uint32_t kVacancy = 1 << 3;
    CHECK(table_mod(kVacancy, {}) == "(8, 1)");         // no limits were ever said
    CHECK(table_mod(kVacancy, {80, 20}) == "(14, 2)");  // the lower is the greater
    CHECK(table_mod(kVacancy, {30, 60}).empty());
    // Of all tables, some without limits: nothing of it happens.
    CHECK(table_mod(kVacancy | 1 << 2, {}, 0xff) == "(8, 1)");
    CHECK_FALSE(watching.instance.table_list("br0")[0].config.evict);
    for (std::uint16_t i = 0; i < 7; ++i) watching.change(Command::kAdd, i);
    CHECK(statuses().empty());
    watching.change(Command::kAdd, 7);
    CHECK(statuses() == "3 20,");
    watching.change(Command::kAdd, 8);
    CHECK(statuses().empty());
    for (std::uint16_t i = 0; i < 5; ++i) watching.change(Command::kDeleteStrict, i);
    CHECK(statuses().empty());
    watching.change(Command::kDeleteStrict, 5);
    CHECK(statuses() == "4 70,");
    CHECK(table_mod(0, {}).empty());
    for (std::uint16_t i = 0; i < 7; ++i) watching.change(Command::kAdd, i);
    CHECK(statuses().empty());
  }
}
