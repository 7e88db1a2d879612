// SPDX-License-Identifier: Apache-2.0
// The endpoint over a switch without a kernel, asked by httplib's own client and by raw sockets.
#include "user/web/endpoint.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/control/fake_instance.h"
#include "user/base/unique_fd.h"

using namespace shunt;

namespace {

// Control's loop runs in a thread of its own; the test is the client.
struct Served {
  test::FakeInstance instance;
  EventLoop loop;
  StatsSource figures{instance, {"default", "0.1.0", 1, Clock::now()}};
  std::atomic<bool> stop{false};
  Endpoint endpoint{{}, loop, instance, figures};
  std::thread control{[this] {
    while (!stop) loop.run_once(std::chrono::milliseconds{20});
  }};
  httplib::Client client{"127.0.0.1", endpoint.address().port};

  ~Served() {
    stop = true;
    control.join();
  }
  int status(const std::string& path) {
    const auto result = client.Get(path);
    return result ? result->status : -1;
  }
};

std::string raw(std::uint16_t port, const std::string& request) {
  const UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  (void)!::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
  ::shutdown(fd.get(), SHUT_WR);
  std::string answer;
  char buffer[4096];
  for (ssize_t count = 0; (count = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;)
    answer.append(buffer, static_cast<std::size_t>(count));
  return answer;
}

}  // namespace

TEST_SUITE("web endpoint") {
  TEST_CASE("metrics, data and the page are there, under a policy that runs nobody else's script") {
    Served served;
    served.instance.add_bridge("br0");
    PortRequest request;
    request.interface = "veth1";
    (void)served.instance.attach_port("br0", request);
    const auto metrics = served.client.Get("/metrics");
    REQUIRE(metrics);
    CHECK(metrics->get_header_value("Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
    CHECK(metrics->body.find("shunt_port_up{bridge=\"br0\",port=\"veth1\"} 1\n") != std::string::npos);
    const auto stats = served.client.Get("/api/stats?flows=0");
    REQUIRE(stats);
    CHECK(nlohmann::json::parse(stats->body).at("ports").at(0).at("name") == "veth1");
    const auto page = served.client.Get("/");
    REQUIRE(page);
    const std::string policy = page->get_header_value("Content-Security-Policy");
    const auto at = policy.find("script-src 'nonce-");
    REQUIRE(at != std::string::npos);
    const std::string nonce = policy.substr(at + 18, 32);
    CHECK(page->body.find("<script nonce=\"" + nonce + "\">") != std::string::npos);
    CHECK(page->body.find("@NONCE@") == std::string::npos);
    CHECK(served.client.Get("/")->get_header_value("Content-Security-Policy") != policy);
  }

  TEST_CASE("a flow's rules are found by its id") {
    Served served;
    served.instance.add_bridge("br0");
    CacheWhy why;
    why.bridge = "br0";
    why.flow.id = 0xabc000000000001;
    served.instance.why = why;
    CHECK(served.status("/api/flow?id=abc000000000001") == 200);
    CHECK(served.status("/api/flow?id=abc000000000002") == 404);
  }

  TEST_CASE("what is not asked for rightly is refused by name") {
    Served served;
    for (const char* path : {"/api/stats?flows=101", "/api/stats?flows=-1", "/api/stats?flows=", "/api/stats?order=x",
                             "/api/stats?x=1", "/api/stats?flows=1&flows=2", "/api/flow",
                             "/api/flow?id=", "/api/flow?id=g", "/api/flow?id=11111111111111111", "/metrics?x"}) {
      CAPTURE(path);
      CHECK(served.status(path) == 400);
    }
    CHECK(served.status("/nothing") == 404);
  }

  TEST_CASE("nothing but GET and HEAD is answered") {
    Served served;
    CHECK(served.client.Post("/metrics", "x", "text/plain")->status == 405);
    CHECK(served.client.Delete("/")->status == 405);
    CHECK(served.client.Head("/metrics")->status == 200);
    CHECK(served.client.Head("/metrics")->body.empty());
  }

  TEST_CASE("many at once make the control thread count once, and look into a flow once") {
    Served served;
    served.instance.add_bridge("br0");
    served.instance.why.emplace().bridge = "br0";
    served.instance.why->flow.id = 0xabc;
    for (const char* path : {"/metrics", "/api/flow?id=abc"}) {
      CAPTURE(path);
      const int before = served.instance.readings;
      std::vector<std::thread> clients;
      std::atomic<int> good{0};
      for (int i = 0; i < 8; ++i)
        clients.emplace_back([&] {
          httplib::Client client{"127.0.0.1", served.endpoint.address().port};
          const auto result = client.Get(path);
          if (result && result->status == 200) ++good;
        });
      for (std::thread& client : clients) client.join();
      CHECK(good == 8);
      CHECK(served.instance.readings - before <= 2);
    }
    CHECK(served.instance.flows_explained <= 2);
  }

  TEST_CASE("on loopback a request by another name is refused: a web page elsewhere must not read the switch") {
    Served served;
    const auto status_as = [&](const std::string& host) {
      return raw(served.endpoint.address().port, "GET /healthz HTTP/1.1\r\nHost: " + host + "\r\n\r\n").substr(9, 3);
    };
    for (const char* host : {"localhost", "localhost:9101", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::1]:9101"}) {
      CAPTURE(host);
      CHECK(status_as(host) == "200");
    }
    // The last ones are names in somebody's DNS, as may resolve to 127.0.0.1.
    for (const char* host : {"evil.example", "evil.example:80", "192.0.2.1", "[::2]:80", "localhost.evil.example",
                             "127.evil.example", "127.0.0.1.evil.example:9101", "127.1.evil.example"}) {
      CAPTURE(host);
      CHECK(status_as(host) == "403");
    }
  }

  TEST_CASE("a daemon that is busy is said to be, and the endpoint ends all the same") {
    test::FakeInstance instance;
    EventLoop loop;  // nobody runs it
    StatsSource figures{instance, {"default", "0.1.0", 1, Clock::now()}};
    Endpoint endpoint{{}, loop, instance, figures};
    httplib::Client client{"127.0.0.1", endpoint.address().port};
    client.set_read_timeout(10);
    CHECK(client.Get("/metrics")->status == 503);
  }

  TEST_CASE("requests of random bytes get an answer or the door, and the next good one is served") {
    Served served;
    std::uint64_t state = 1;
    const auto random = [&] { return state = state * 6364136223846793005 + 1442695040888963407, state >> 33; };
    const std::string alphabet = "GET /api/flow?id=%&stats\r\n\r\n: HTTP/1.1\0\xff\"'<";
    for (int round = 0; round < 200; ++round) {
      std::string request = random() % 2 == 0 ? "GET /api/stats?" : "";
      for (std::uint64_t i = random() % 200; i > 0; --i) request += alphabet[random() % alphabet.size()];
      if (random() % 2 == 0) request += " HTTP/1.1\r\nHost: localhost\r\n\r\n";
      (void)raw(served.endpoint.address().port, request);
    }
    CHECK(served.status("/metrics") == 200);
  }

  TEST_CASE("an address that is taken is refused by name") {
    Served served;
    EventLoop loop;
    CHECK_THROWS_WITH_AS(Endpoint(served.endpoint.address(), loop, served.instance, served.figures),
                         doctest::Contains("cannot listen on 127.0.0.1:"), Error);
  }
}
