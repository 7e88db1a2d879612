// SPDX-License-Identifier: Apache-2.0
// Clients of the control socket that get more than replies, and the commands that make them: monitor, capture.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/control/daemon.h"
#include "user/control/control_socket.h"

using namespace shunt;
using namespace shunt::test;
using namespace std::chrono_literals;

namespace {

// A server whose handler keeps its client; and that client, in the same thread: what a call waits for is there before.
struct Server {
  Server() { REQUIRE(::mkdtemp(directory.data()) != nullptr); }
  ~Server() {
    socket.reset();
    ::rmdir(directory.c_str());
  }
  void serve(const ControlSocket::Limits& limits = {}) {
    socket = std::make_unique<ControlSocket>(
        loop, directory + "/test.sock",
        [this](std::string_view line, ClientStream& client) {
          stream = &client;
          if (on_request) on_request(client);
          client.on_close([this] {
            stream = nullptr;
            ++closed;
          });
          return format_result(Json::parse(line).at("id"), "done");
        },
        limits);
  }
  void turn(int rounds = 5) {
    for (int i = 0; i < rounds; ++i) loop.run_once(1ms);
  }

  std::string directory = "/tmp/shunt-stream-XXXXXX";
  EventLoop loop;
  std::unique_ptr<ControlSocket> socket;
  std::function<void(ClientStream&)> on_request;
  ClientStream* stream = nullptr;
  int closed = 0;
};

void notify(ClientStream& stream, const std::string& text) {
  stream.notify("event", [&] { return Json{{"text", text}}; });
}

// Connects, asks once, and lets the server answer.
struct Connection {
  explicit Connection(Server& with) : server{with} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = server.directory + "/test.sock";
    std::copy(path.begin(), path.end(), address.sun_path);
    fd.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const std::string request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\n";
    REQUIRE(::send(fd.get(), request.data(), request.size(), 0) > 0);
    server.turn();
  }
  std::vector<Json> read() {
    std::string text;
    std::vector<char> buffer(1 << 20);
    for (ssize_t size = 0;;) {
      server.turn(3);
      size = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (size <= 0) break;
      text.append(buffer.data(), static_cast<std::size_t>(size));
    }
    std::vector<Json> messages;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      messages.push_back(Json::parse(text.substr(begin, end - begin)));
      begin = end + 1;
    }
    return messages;
  }
  Server& server;
  UniqueFd fd;
};

// A stream that keeps what it is given.
struct KeptStream final : ClientStream {
  void attach(UniqueFd fd) override { fds.push_back(std::move(fd)); }
  void notify(std::string_view method, const std::function<Json()>& params) override {
    messages.push_back({{"method", method}, {"params", params()}});
  }
  void on_close(std::function<void()> callback) override { closed.push_back(std::move(callback)); }
  std::vector<UniqueFd> fds;
  std::vector<Json> messages;
  std::vector<std::function<void()>> closed;
};

Json ask(Daemon& daemon, ClientStream* stream, std::string_view method, const Json& params) {
  return Json::parse(daemon.commands.handle(
      Json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}}.dump(), stream));
}

}  // namespace

TEST_SUITE("client stream") {
  TEST_CASE("notifications come behind the reply, in order, whole") {
    Server server;
    server.serve();
    Connection client{server};
    REQUIRE(server.stream != nullptr);
    for (int i = 0; i < 100; ++i) notify(*server.stream, std::to_string(i));
    const std::vector<Json> messages = client.read();
    REQUIRE(messages.size() == 101);
    CHECK(messages[0].at("result") == "done");
    for (int i = 0; i < 100; ++i)
      CHECK(messages[static_cast<std::size_t>(i) + 1].at("params").at("text") == std::to_string(i));
  }

  TEST_CASE("what waits for a slow client is bounded, and it is told what it missed") {
    Server server;
    server.serve({.waiting_bytes = 10'000});
    Connection client{server};
    const std::string filling(500, 'x');
    for (int i = 0; i < 20'000; ++i) {
      notify(*server.stream, filling);
      if (i % 10 == 0) server.turn(1);
    }
    std::uint64_t events = 0, missed = 0;
    for (int again = 0; again < 3; ++again)
      for (const Json& message : client.read()) {
        if (message.value("method", "") == "event") ++events;
        if (message.value("method", "") == "missed") missed += message.at("params").at("count").get<std::uint64_t>();
      }
    CHECK(missed > 0);
    CHECK(events + missed == 20'000);
    notify(*server.stream, "again");
    CHECK(client.read().size() == 1);
  }

  TEST_CASE("a slow client is not ended, as one whose reply does not move on is") {
    Server server;
    server.serve({.stall = 20ms});
    Connection client{server};
    for (int i = 0; i < 5'000; ++i) notify(*server.stream, std::string(500, 'x'));
    for (int i = 0; i < 20; ++i) server.loop.run_once(10ms);
    CHECK(server.closed == 0);
    CHECK(server.socket->client_count() == 1);
  }

  TEST_CASE("where events are missed, no more of them are made") {
    Server server;
    server.serve({.waiting_bytes = 1'000});
    Connection client{server};
    int made = 0;
    for (int i = 0; i < 1'000; ++i)
      server.stream->notify("event", [&] {
        ++made;
        return Json{{"text", std::string(100, 'x')}};
      });
    CHECK(made < 10);
    CHECK(client.read().back().at("method") == "missed");
  }

  TEST_CASE("clients that never read their notifications take no room from requests, and little from one another") {
    Server server;
    server.serve({.request_bytes = 10'000, .total_bytes = 100'000, .waiting_bytes = 50'000, .streams_bytes = 300'000});
    std::vector<std::unique_ptr<Connection>> stalled;
    std::vector<ClientStream*> streams;
    for (int i = 0; i < 20; ++i) {
      stalled.push_back(std::make_unique<Connection>(server));
      streams.push_back(server.stream);
    }
    // Each socket's buffer takes some, then what waits for each reaches its limit, and what waits for all theirs.
    for (int round = 0; round < 100; ++round) {
      for (ClientStream* stream : streams) notify(*stream, std::string(10'000, 'x'));
      server.turn(1);
    }
    Connection other{server};
    CHECK(other.read().at(0).contains("result"));
    for (int i = 0; i < 10; ++i) {
      notify(*server.stream, std::string(1'000, 'y'));
      CHECK(other.read().size() == 1);
    }
    for (int i = 0; i < 20; ++i) server.turn();
    CHECK(server.closed == 0);
  }

  TEST_CASE("a reply that a client with notifications does not take ends it") {
    Server server;
    server.serve({.stall = 20ms});
    Connection client{server};
    const std::string request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\n";
    // Until nothing more is taken: replies wait that nobody reads.
    for (int i = 0; i < 20'000; ++i) {
      (void)!::send(client.fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
      if (i % 100 == 0) server.turn(1);
    }
    for (int i = 0; i < 100 && server.closed == 0; ++i) server.loop.run_once(10ms);
    CHECK(server.closed > 0);
  }

  TEST_CASE("the end of a client is told once") {
    Server server;
    server.serve();
    {
      Connection client{server};
      CHECK(server.closed == 0);
    }
    server.turn();
    CHECK(server.closed == 1);
    CHECK(server.stream == nullptr);
  }

  TEST_CASE("file descriptors come with the reply") {
    Server server;
    server.on_request = [](ClientStream& client) {
      int ends[2];
      REQUIRE(::pipe(ends) == 0);
      REQUIRE(::write(ends[1], "hello", 5) == 5);
      ::close(ends[1]);
      client.attach(UniqueFd{ends[0]});
    };
    server.serve();
    Connection client{server};
    char text[256];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    REQUIRE(::recvmsg(client.fd.get(), &message, 0) > 0);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    REQUIRE(header != nullptr);
    REQUIRE(header->cmsg_len == CMSG_LEN(sizeof(int)));
    int got = -1;
    std::memcpy(&got, CMSG_DATA(header), sizeof got);
    const UniqueFd fd{got};
    char read_back[6] = "";
    CHECK(::read(fd.get(), read_back, 5) == 5);
    CHECK(std::string{read_back} == "hello");
  }
}

TEST_SUITE("monitor") {
  TEST_CASE("events become notifications, and end with the client") {
    Daemon daemon;
    daemon.with_ports();
    KeptStream stream;
    CHECK(ask(daemon, &stream, "monitor", {{"mac", true}, {"flow", true}}).contains("result"));
    CHECK(daemon.instance.watched_subjects == 6);
    REQUIRE(daemon.instance.watchers.size() == 1);
    const Watcher& watcher = daemon.instance.watchers.begin()->second;
    watcher(
        {.subject = SwitchEvent::Subject::kMac, .what = "moved", .bridge = "br0", .port = "eth2", .before = "eth1"});
    watcher(
        {.subject = SwitchEvent::Subject::kRule, .what = "removed", .bridge = "br0", .rule = "r", .reason = "delete"});
    watcher({.subject = SwitchEvent::Subject::kMissed, .what = "missed", .count = 9});
    REQUIRE(stream.messages.size() == 3);
    CHECK(stream.messages[0].at("params").at("before") == "eth1");
    CHECK(stream.messages[0].at("params").at("event") == "moved");
    CHECK(stream.messages[1].at("params").at("reason") == "delete");
    CHECK(stream.messages[2].at("method") == "missed");
    CHECK(stream.messages[2].at("params").at("count") == 9);
    REQUIRE(stream.closed.size() == 1);
    stream.closed[0]();
    CHECK(daemon.instance.watchers.empty());
  }

  TEST_CASE("once a connection") {
    Daemon daemon;
    daemon.with_ports();
    KeptStream stream, other;
    CHECK(ask(daemon, &stream, "monitor", {{"mac", true}}).contains("result"));
    CHECK(says(ask(daemon, &stream, "monitor", {{"port", true}}).at("error"), "monitors already"));
    CHECK(ask(daemon, &other, "monitor", Json::object()).contains("result"));
    CHECK(daemon.instance.watchers.size() == 2);
  }

  TEST_CASE("of one bridge") {
    Daemon daemon;
    daemon.with_ports();
    KeptStream stream;
    CHECK(ask(daemon, &stream, "monitor", {{"bridge", "br9"}}).contains("error"));
    CHECK(daemon.instance.watchers.empty());
    CHECK(ask(daemon, &stream, "monitor", {{"bridge", "br0"}}).contains("result"));
    const Watcher& watcher = daemon.instance.watchers.begin()->second;
    watcher({.what = "up", .bridge = "br1", .port = "x"});
    watcher({.what = "up", .bridge = "br0", .port = "y"});
    REQUIRE(stream.messages.size() == 1);
    CHECK(stream.messages[0].at("params").at("port") == "y");
  }

  TEST_CASE("without a connection of its own it is refused") {
    Daemon daemon;
    CHECK(says(daemon.error("monitor"), "connection"));
    daemon.with_ports();
    CHECK(says(daemon.error("capture.start", {{"bridge", "br0"}, {"after", true}}), "connection"));
  }
}

TEST_SUITE("capture commands") {
  TEST_CASE("what is asked is what is started, and both buffers come along") {
    Daemon daemon;
    daemon.with_ports();
    KeptStream stream;
    const Json answer = ask(daemon, &stream, "capture.start",
                            {{"bridge", "br0"},
                             {"port", "eth1"},
                             {"before", true},
                             {"drops", true},
                             {"snaplen", 96},
                             {"rate", 1000},
                             {"buffer_mib", 3},
                             {"filter", "1\n6 0 0 1\n"}});
    INFO(answer.dump());
    REQUIRE(answer.contains("result"));
    const CaptureRequest& request = daemon.instance.last_capture;
    CHECK(request.port == "eth1");
    CHECK(request.stages == (1u << SHUNT_STAGE_BEFORE | 1u << SHUNT_STAGE_DROP));
    CHECK(request.snaplen == 96);
    CHECK(request.rate == 1000);
    CHECK(request.ring_bytes == 4u << 20);  // a power of two
    CHECK(request.filter.size() == 1);
    CHECK(stream.fds.size() == 2);
    request.on_port({DpPort{7}, "late"});
    REQUIRE(stream.messages.size() == 1);
    CHECK(stream.messages[0].at("method") == "capture.port");
    CHECK(stream.messages[0].at("params").at("name") == "late");
    stream.closed.at(0)();
    CHECK(daemon.instance.stopped_captures == std::vector<std::uint64_t>{1});
  }

  TEST_CASE("what cannot be is refused by name") {
    Daemon daemon;
    daemon.with_ports();
    KeptStream stream;
    const auto refusal = [&](const Json& params) {
      return ask(daemon, &stream, "capture.start", params).at("error").at("message").get<std::string>();
    };
    CHECK(refusal({{"bridge", "br0"}}).find("'before', 'after' or 'drops'") != std::string::npos);
    CHECK(refusal({{"bridge", "br0"}, {"after", true}, {"snaplen", 0}}).find("snaplen") != std::string::npos);
    CHECK(refusal({{"bridge", "br0"}, {"after", true}, {"filter", "1\n0 0 0 0\n"}}).find("return") !=
          std::string::npos);
    CHECK(refusal({{"bridge", "br9"}, {"after", true}}).find("br9") != std::string::npos);
    CHECK(says(daemon.error("capture.stop", {{"capture", 77}}), "no capture 77"));
    CHECK(stream.fds.empty());
    CHECK(stream.closed.empty());
  }
}
