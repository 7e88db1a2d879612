// SPDX-License-Identifier: Apache-2.0
#include "user/control/control_socket.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "user/base/error.h"
#include "user/control/instance_lock.h"
#include "user/control/json_rpc.h"
#include "user/control/not_yet.h"

using namespace shunt;
using namespace std::chrono_literals;

namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string operator/(const char* name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/shunt-test-XXXXXX";
};

class TestClient {
 public:
  explicit TestClient(const std::string& path) : fd_{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] bool connected() const { return connected_; }
  // How much of it the socket took.
  std::size_t send(std::string_view text) {
    const ssize_t size = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    return size > 0 ? static_cast<std::size_t>(size) : 0;
  }
  void shut_down() { ::shutdown(fd_.get(), SHUT_WR); }
  // Reads what there is.
  void receive() {
    std::array<char, 65'536> buffer;
    ssize_t size = 0;
    while ((size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0)) > 0)
      received.append(buffer.data(), static_cast<std::size_t>(size));
    if (size == 0 || errno == ECONNRESET) closed = true;
  }

  std::string received;
  bool closed = false;

 private:
  UniqueFd fd_;
  bool connected_ = false;
};

// A server that answers each line with itself in brackets, and "later" not yet.
struct Server {
  TemporaryDirectory directory;
  EventLoop loop;
  std::string path = directory / "test.sock";
  std::size_t requests = 0;
  bool not_yet = true;
  std::unique_ptr<ControlSocket> socket;

  explicit Server(const ControlSocket::Limits& limits = {}) {
    socket = std::make_unique<ControlSocket>(
        loop, path,
        [this](std::string_view line, ClientStream&) {
          ++requests;
          if (not_yet && line == "later") throw NotYet{};
          return "[" + std::string{line} + "]";
        },
        limits);
  }
  // Turns the loop until `done`; false where that does not come.
  template <typename Done>
  bool until(Done done) {
    const TimePoint end = Clock::now() + 10s;
    while (!done()) {
      if (Clock::now() > end) return false;
      loop.run_once(10ms);
    }
    return true;
  }
  bool answered(TestClient& client, const std::string& text) {
    return until([&] {
      client.receive();
      return client.received == text;
    });
  }
  bool ended(TestClient& client) {
    return until([&] {
      client.receive();
      return client.closed;
    });
  }
};

}  // namespace

TEST_SUITE("control socket") {
  TEST_CASE("requests are answered in order, however they are cut or joined") {
    Server server;
    TestClient client{server.path};
    client.send("one\ntwo\n\nthr");
    CHECK(server.answered(client, "[one]\n[two]\n"));
    client.send("ee\r\n");
    CHECK(server.answered(client, "[one]\n[two]\n[three]\n"));
  }

  TEST_CASE("the socket is for its owner and group from the first moment, and goes with the server") {
    std::string path;
    TemporaryDirectory directory;
    {
      EventLoop loop;
      path = directory / "x.sock";
      const mode_t old = ::umask(0);
      const ControlSocket socket{loop, path, [](std::string_view, ClientStream&) { return std::string{}; }};
      ::umask(old);
      struct stat info {};
      REQUIRE(::stat(path.c_str(), &info) == 0);
      CHECK((info.st_mode & 07777) == 0660);
    }
    CHECK(::access(path.c_str(), F_OK) != 0);
  }

  TEST_CASE("a socket left by a dead daemon is replaced") {
    TemporaryDirectory directory;
    const std::string path = directory / "x.sock";
    {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
      const UniqueFd dead{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
      REQUIRE(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    CHECK_FALSE(TestClient{path}.connected());
    EventLoop loop;
    const ControlSocket socket{loop, path, [](std::string_view, ClientStream&) { return std::string{}; }};
    CHECK(TestClient{path}.connected());
  }

  TEST_CASE("a path that no socket address holds is refused with the remedy") {
    EventLoop loop;
    const std::string path = "/tmp/" + std::string(120, 'x') + ".sock";
    const auto make = [&] { ControlSocket{loop, path, [](std::string_view, ClientStream&) { return std::string{}; }}; };
    CHECK_THROWS_WITH_AS(make(), doctest::Contains("--rundir"), Error);
  }

  TEST_CASE("a hundred clients are served at once, whatever a stalled one does") {
    Server server;
    TestClient stalled{server.path};
    stalled.send("a request without its end");
    std::vector<std::unique_ptr<TestClient>> clients;
    for (int i = 0; i < 100; ++i) {
      clients.push_back(std::make_unique<TestClient>(server.path));
      server.loop.run_once(0ms);
    }
    for (int i = 0; i < 100; ++i) clients[static_cast<std::size_t>(i)]->send(std::to_string(i) + "\n");
    for (int i = 0; i < 100; ++i)
      CHECK(server.answered(*clients[static_cast<std::size_t>(i)], "[" + std::to_string(i) + "]\n"));
    CHECK(server.socket->client_count() == 101);
    CHECK(stalled.received.empty());
  }

  TEST_CASE("a client that sends and never reads holds one reply, and up nobody") {
    Server server;
    TestClient flood{server.path};
    const std::string request(100'000, 'x');
    std::string pending;
    for (int i = 0; i < 200; ++i) {
      if (pending.empty()) pending = request + '\n';
      pending.erase(0, flood.send(pending));
      server.loop.run_once(0ms);
    }
    const std::size_t served = server.requests;
    CHECK(served < 20);  // what two socket buffers take
    TestClient other{server.path};
    other.send("hello\n");
    CHECK(server.answered(other, "[hello]\n"));
    // When it reads at last it gets every answer.
    CHECK(server.until([&] {
      flood.receive();
      return flood.received.size() >= served * (request.size() + 3);
    }));
  }

  TEST_CASE("pipelined requests of one client take turns with the others") {
    Server server;
    TestClient many{server.path}, one{server.path};
    server.loop.run_once(10ms);
    std::string burst;
    for (int i = 0; i < 5'000; ++i) burst += "x\n";
    REQUIRE(many.send(burst) == burst.size());
    one.send("mine\n");
    CHECK(server.answered(one, "[mine]\n"));
    CHECK(server.requests < 100);
    CHECK(server.until([&] {
      many.receive();
      return many.received.size() == 5'000 * 4;
    }));
  }

  TEST_CASE("a request over the limit is refused and its client closed") {
    ControlSocket::Limits limits;
    limits.request_bytes = 1'000;
    Server server{limits};
    TestClient client{server.path};
    client.send(std::string(1'001, 'x'));
    CHECK(server.ended(client));
    CHECK(client.received.find("longer than 1000 bytes") != std::string::npos);
    CHECK(Json::parse(client.received).contains("error"));
    CHECK(server.requests == 0);
  }

  TEST_CASE("large requests in the making are bounded together") {
    ControlSocket::Limits limits;
    limits.request_bytes = 60'000;
    limits.total_bytes = 100'000;
    Server server{limits};
    TestClient first{server.path}, second{server.path};
    first.send(std::string(55'000, 'x'));
    server.loop.run_once(10ms);
    server.loop.run_once(10ms);
    second.send(std::string(55'000, 'x'));
    CHECK(server.ended(second));
    CHECK(second.received.find("try again") != std::string::npos);
    first.send("\n");
    CHECK(server.until([&] {
      first.receive();
      return first.received.size() == 55'003;
    }));
  }

  TEST_CASE("the rest of a request must come in time; silence between requests may last") {
    ControlSocket::Limits limits;
    limits.stall = 50ms;
    Server server{limits};
    TestClient idle{server.path}, partial{server.path};
    idle.send("first\n");
    partial.send("begun");
    CHECK(server.ended(partial));
    CHECK(partial.received.find("in time") != std::string::npos);
    idle.send("second\n");
    CHECK(server.answered(idle, "[first]\n[second]\n"));
  }

  TEST_CASE("a reply that its client does not take in time ends the connection") {
    ControlSocket::Limits limits;
    limits.stall = 50ms;
    Server server{limits};
    TestClient client{server.path};
    const std::string request(1 << 20, 'x');
    std::size_t sent = 0;
    REQUIRE(server.until([&] {
      sent += client.send(std::string_view{request}.substr(sent));
      return sent == request.size();
    }));
    client.send("\n");
    CHECK(server.until([&] { return server.requests == 1; }));
    CHECK(server.until([&] { return server.socket->client_count() == 0; }));
  }

  TEST_CASE("when all places are taken the client that is silent for the longest makes room") {
    ControlSocket::Limits limits;
    limits.clients = 3;
    Server server{limits};
    TestClient a{server.path}, b{server.path}, c{server.path};
    CHECK(server.until([&] { return server.socket->client_count() == 3; }));
    a.send("a\n");
    CHECK(server.answered(a, "[a]\n"));
    c.send("c\n");
    CHECK(server.answered(c, "[c]\n"));
    TestClient d{server.path};
    d.send("d\n");
    CHECK(server.answered(d, "[d]\n"));
    CHECK(server.ended(b));
    a.send("a\n");
    CHECK(server.answered(a, "[a]\n[a]\n"));
  }

  TEST_CASE("an older client that is silent survives a thousand connections, and all of them are answered") {
    rlimit files{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
    if (files.rlim_max < 4'096) {
      MESSAGE("left out: the process may not open 4096 files");
      return;
    }
    const rlimit before = files;
    files.rlim_cur = 4'096;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
    {
      Server server;
      TestClient older{server.path};
      older.send("first\n");
      CHECK(server.answered(older, "[first]\n"));
      std::vector<std::unique_ptr<TestClient>> clients;
      for (std::size_t i = 0; i < 1'000; ++i) {
        clients.push_back(std::make_unique<TestClient>(server.path));
        CHECK(server.until([&] { return server.socket->client_count() == i + 2; }));
      }
      for (const auto& client : clients) client->send("x\n");
      CHECK(std::ranges::all_of(clients, [&](const auto& client) { return server.answered(*client, "[x]\n"); }));
      older.send("second\n");
      CHECK(server.answered(older, "[first]\n[second]\n"));
    }
    CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  }

  TEST_CASE("clients leave half of the file descriptors to the rest of the daemon") {
    rlimit files{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
    const rlimit before = files;
    files.rlim_cur = 60;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
    Server server;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    std::vector<std::unique_ptr<TestClient>> clients;
    for (int i = 0; i < 40; ++i) clients.push_back(std::make_unique<TestClient>(server.path));
    clients.back()->send("last\n");
    CHECK(server.answered(*clients.back(), "[last]\n"));
    CHECK(server.socket->client_count() == 30);
  }

  TEST_CASE("a client that ends its side after a request still gets the answer") {
    Server server;
    TestClient client{server.path};
    client.send("last\nno end");
    client.shut_down();
    CHECK(server.ended(client));
    CHECK(client.received == "[last]\n");
    CHECK(server.socket->client_count() == 0);
  }

  TEST_CASE("a request that is put off is handled anew when it may go on, and all behind it after it") {
    Server server;
    TestClient waiting{server.path}, other{server.path};
    waiting.send("first\nlater\nbehind\n");
    CHECK(server.answered(waiting, "[first]\n"));
    CHECK(server.until([&] { return server.requests == 2; }));
    SUBCASE("others are answered meanwhile") {
      other.send("at once\n");
      CHECK(server.answered(other, "[at once]\n"));
    }
    SUBCASE("it may have to wait again") {
      server.socket->resume();
      server.socket->resume();
      for (int i = 0; i < 5; ++i) server.loop.run_once(0ms);
      CHECK(server.requests == 3);
    }
    SUBCASE("its client will send nothing more") { waiting.shut_down(); }
    for (int i = 0; i < 5; ++i) server.loop.run_once(0ms);
    waiting.receive();
    CHECK(waiting.received == "[first]\n");
    server.not_yet = false;
    server.socket->resume();
    CHECK(server.answered(waiting, "[first]\n[later]\n[behind]\n"));
  }

  TEST_CASE("a request that is put off is forgotten with its client") {
    Server server;
    {
      TestClient client{server.path};
      client.send("later\nbehind\n");
      CHECK(server.until([&] { return server.requests == 1; }));
    }
    CHECK(server.until([&] { return server.socket->client_count() == 0; }));
    server.not_yet = false;
    server.socket->resume();
    for (int i = 0; i < 5; ++i) server.loop.run_once(0ms);
    CHECK(server.requests == 1);
  }

  TEST_CASE("clients that vanish leave nothing behind") {
    Server server;
    for (int i = 0; i < 50; ++i) {
      TestClient client{server.path};
      client.send(i % 2 == 0 ? "asked\nand gone\n" : "half");
      if (i % 3 == 0) server.loop.run_once(0ms);
    }
    CHECK(server.until([&] { return server.socket->client_count() == 0; }));
    TestClient client{server.path};
    client.send("alive\n");
    CHECK(server.answered(client, "[alive]\n"));
  }
}

TEST_SUITE("instance lock") {
  TEST_CASE("a second daemon of the same instance is refused by name and pid; of another it is not") {
    TemporaryDirectory directory;
    const InstanceLock lock{directory.path(), "one"};
    const std::string pid = std::to_string(::getpid());
    CHECK_THROWS_WITH_AS((InstanceLock{directory.path(), "one"}), doctest::Contains("'one' is already running"), Error);
    CHECK_THROWS_WITH_AS((InstanceLock{directory.path(), "one"}), doctest::Contains(pid.c_str()), Error);
    CHECK_NOTHROW(InstanceLock{directory.path(), "two"});
  }

  TEST_CASE("the lock goes with its owner, also when the file stays") {
    TemporaryDirectory directory;
    const std::string file = directory / "one.pid";
    { const InstanceLock lock{directory.path(), "one"}; }
    CHECK(::access(file.c_str(), F_OK) != 0);
    std::ofstream{file} << "99999999\n";  // as after kill -9
    const InstanceLock lock{directory.path(), "one"};
    std::string pid;
    std::ifstream{file} >> pid;
    CHECK(pid == std::to_string(::getpid()));
  }

  TEST_CASE("the run directory is made; a parent that is missing is named") {
    TemporaryDirectory directory;
    CHECK_NOTHROW(InstanceLock{directory / "run", "one"});
    CHECK_THROWS_WITH_AS((InstanceLock{directory / "no/run", "one"}), doctest::Contains("parent directory"), Error);
  }
}
