// SPDX-License-Identifier: Apache-2.0
// A session on its transport: what wakes it, and what the end of either side leaves.
#include "user/openflow/connection.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include "tests/support/rule_sets.h"
#include "tests/unit/openflow/talk.h"
#include "user/openflow/codec/match_codec.h"

using namespace shunt;
using namespace shunt::openflow;
using namespace shunt::openflow::test;

namespace {

struct Pair {
  UniqueFd here, there;
  Pair() {
    std::array<int, 2> fds{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) == 0);
    here = UniqueFd{fds[0]};
    there = UniqueFd{fds[1]};
  }
};

// TLS in a handshake whose other side says nothing: what is to be written waits for bytes to come.
class Shaking final : public Transport {
 public:
  using Transport::Transport;
  Result read(std::span<std::uint8_t>) override { return {Outcome::kWait}; }
  Result write(std::span<const std::uint8_t>) override { return {Outcome::kWait}; }
  bool waits_to_read() const override { return true; }
};

// Takes all that is written at once.
class Taking final : public Transport {
 public:
  using Transport::Transport;
  Result write(std::span<const std::uint8_t> from) override {
    taken += from.size();
    return {Outcome::kMoved, from.size()};
  }
  static inline std::size_t taken = 0;
};

struct Connected {
  TalkTo<SwitchInstance> talk;
  Pair pair;
  EventLoop loop;
  std::unique_ptr<Connection> connection;
  int woken = 0;
  bool scheduled = false;

  template <typename Kind = Transport>
  static std::unique_ptr<Transport> on(UniqueFd socket) {
    return std::make_unique<Kind>(std::move(socket));
  }
  explicit Connected(std::unique_ptr<Transport> (*make)(UniqueFd) = &on<>)
      : connection{std::make_unique<Connection>(loop, make(std::move(pair.here)), *talk.agent,
                                                Session::Kind::kController, [this] {
                                                  ++woken;
                                                  scheduled = true;
                                                })} {}
  // A turn, as OpenFlow takes them.
  void turn() {
    scheduled = connection->run();
    connection->flush();
  }
  // As long as anything happens by itself, or until its owner would drop it.
  void run() {
    for (int idle = 0; idle < 3 && !connection->is_over();) {
      loop.run_once(std::chrono::milliseconds{1});
      idle = scheduled ? 0 : idle + 1;
      if (scheduled) turn();
    }
  }
  void send(const Writer& out) {
    REQUIRE(::write(pair.there.get(), out.bytes().data(), out.size()) == static_cast<ssize_t>(out.size()));
  }
  std::size_t rules() { return talk.instance.flow_list("br0", FlowMod{}).size(); }
};

void put_hello(Writer& out) { const MessageScope hello{out, Version::k13, kHelloType, 1}; }

void put_rules(Writer& out, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    FlowModMessage message;
    message.mod.table = 1;
    message.mod.priority = static_cast<std::uint16_t>(i + 1);
    message.mod.actions = {OutputAction{PortNo{1}}};
    encode_flow_mod(out, message, Version::k13, i);
  }
}

}  // namespace

TEST_SUITE("openflow connection") {
  // It was asked 400,000 times a second whether it could write, until the time for a hello was over.
  TEST_CASE("a peer that is silent while TLS shakes hands wakes nobody") {
    Connected at{&Connected::on<Shaking>};
    at.run();
    at.woken = 0;
    for (int i = 0; i < 100; ++i) at.loop.run_once(std::chrono::milliseconds{0});
    CHECK(at.woken == 0);
    CHECK_FALSE(at.connection->is_over());
  }

  TEST_CASE("what came before the other side closed is handled") {
    Connected at;
    Writer out;
    put_hello(out);
    put_rules(out, 1000);
    SUBCASE("it has read what it was told") {
      at.run();
      std::array<std::uint8_t, 256> hello{};
      CHECK(::read(at.pair.there.get(), hello.data(), hello.size()) > 0);
      at.send(out);
      at.pair.there.reset();
    }
    SUBCASE("it has not, and closes") {
      at.run();
      at.send(out);
      at.pair.there.reset();
    }
    SUBCASE("it waits for the answers") {
      at.send(out);
      ::shutdown(at.pair.there.get(), SHUT_WR);
    }
    at.run();
    CHECK(at.connection->is_over());
    CHECK(at.rules() == 1001);  // with the bridge's own
  }

  TEST_CASE("what has to wait is handled though the other side has closed, and wakes nobody meanwhile") {
    Connected at;
    bool not_yet = true;
    at.talk.instance.rules.before_publishing([&](const Change&) {
      if (not_yet) throw NotYet{};
    });
    Writer out;
    put_hello(out);
    put_rules(out, 10);
    at.run();
    at.send(out);
    at.pair.there.reset();
    at.run();
    CHECK_FALSE(at.connection->is_over());
    CHECK(at.rules() == 1);
    at.woken = 0;
    for (int i = 0; i < 100; ++i) at.loop.run_once(std::chrono::milliseconds{0});
    CHECK(at.woken == 0);
    not_yet = false;
    at.connection->session().resume();
    at.scheduled = true;
    at.run();
    CHECK(at.connection->is_over());
    CHECK(at.rules() == 11);
  }

  // Nothing waited then, so that no event came, and nobody had the rest written for 5 s.
  TEST_CASE("a dump that fills the connection goes on when all of it is taken at once") {
    Connected at{&Connected::on<Taking>};
    constexpr std::uint16_t kRules = 60'000;  // of 80 bytes at least
    std::vector<FlowMod> mods(kRules);
    for (std::uint16_t i = 0; i < kRules; ++i) {
      mods[i].match = ipv4_src(i, 32);
      mods[i].actions = {OutputAction{PortNo{1}}};
    }
    at.talk.instance.flow_mod("br0", mods);
    Writer out;
    put_hello(out);
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
    at.send(out);
    at.run();
    CHECK(Taking::taken > kRules * std::size_t{80});
  }
}
