// SPDX-License-Identifier: Apache-2.0
// The command itself: `shunt` as a process, against the control socket and a switch without a kernel.
#ifdef SHUNT_CLI

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/control/fake_instance.h"
#include "user/control/commands.h"
#include "user/control/control_socket.h"

using namespace shunt;
using namespace std::chrono_literals;
using shunt::test::FakeInstance;

namespace {

struct Outcome {
  int status = -1;
  std::string out, err;
};

// A daemon without a kernel, and the command run against it. Both share this thread: the loop turns while the process
// runs.
class Session {
 public:
  Session() {
    REQUIRE(::mkdtemp(directory.data()) != nullptr);
    socket = std::make_unique<ControlSocket>(loop, directory + "/test.sock",
                                             [this](std::string_view line) { return commands.handle(line); });
  }
  ~Session() {
    socket.reset();
    std::filesystem::remove_all(directory);
  }

  Outcome run(const std::vector<std::string>& words, const std::string& input = "") {
    std::vector<std::string> all{SHUNT_CLI, "--rundir", directory, "--instance", "test", "--timeout", "20"};
    all.insert(all.end(), words.begin(), words.end());
    const std::string in = directory + "/in", out = directory + "/out", err = directory + "/err";
    std::ofstream{in} << input;
    std::vector<char*> arguments;
    for (std::string& word : all) arguments.push_back(word.data());
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, in.c_str(), O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid = -1;
    REQUIRE(::posix_spawn(&pid, SHUNT_CLI, &actions, nullptr, arguments.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);

    const TimePoint end = Clock::now() + 30s;
    int status = 0;
    while (::waitpid(pid, &status, WNOHANG) == 0) {
      loop.run_once(5ms);
      if (Clock::now() > end) ::kill(pid, SIGKILL);
    }
    Outcome outcome;
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    outcome.out = text_of(out);
    outcome.err = text_of(err);
    return outcome;
  }
  std::string file(const char* name, const std::string& text) const {
    const std::string path = directory + "/" + name;
    std::ofstream{path} << text;
    return path;
  }
  void with_ports() {
    REQUIRE(run({"bridge", "add", "br0"}).status == 0);
    REQUIRE(run({"port", "attach", "br0", "eth1"}).status == 0);
    REQUIRE(run({"port", "attach", "br0", "eth2", "--tag", "10"}).status == 0);
  }

  FakeInstance instance;
  std::string directory = "/tmp/shunt-cli-XXXXXX";
  EventLoop loop;
  Commands commands{instance, {"test", "9.9", 77, Clock::now()}};
  std::unique_ptr<ControlSocket> socket;

 private:
  static std::string text_of(const std::string& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
  }
};

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_SUITE("shunt") {
  TEST_CASE("what the command line cannot mean ends with 2 and names the fault") {
    Session session;
    const auto fault = [&](const std::vector<std::string>& words, const char* part) {
      const Outcome outcome = session.run(words);
      INFO(outcome.err);
      CHECK(outcome.status == 2);
      CHECK(outcome.out.empty());
      CHECK(has(outcome.err, part));
    };
    fault({}, "no command");
    fault({"prot"}, "'prot'");
    fault({"port"}, "'port'");
    fault({"port", "atach"}, "'port atach'");
    fault({"--bogus", "port", "list"}, "--bogus");
    fault({"port", "list", "--bogus"}, "--bogus");
    fault({"port", "attach", "br0"}, "IFACE is missing");
    fault({"port", "attach", "br0", "eth1", "eth2"}, "too many arguments");
    fault({"port", "attach", "br0", "eth1", "--ofport", "x"}, "--ofport x");
    fault({"port", "attach", "br0", "eth1", "--ofp", "1"}, "--ofp");
    fault({"port", "attach", "br0", "eth1", "--tag", "1", "--trunks", "2"}, "--trunks");
    fault({"port", "set", "br0", "eth1"}, "--all-vlans");
    fault({"flow", "add", "br0"}, "RULE or --file");
    fault({"flow", "add", "br0", "actions=drop", "--file", "-"}, "not both");
    fault({"fdb", "set", "br0"}, "--ageing");
    fault({"bridge", "add", "br0", "--json"}, "--json");
    fault({"--timeout", "-1", "version"}, "--timeout");
    CHECK(session.instance.bridge_map.empty());
  }

  TEST_CASE("a refusal ends with 1 and its reason on stderr") {
    Session session;
    const Outcome outcome = session.run({"bridge", "del", "br7"});
    CHECK(outcome.status == 1);
    CHECK(outcome.err == "shunt: no bridge 'br7'\n");
    CHECK(outcome.out.empty());
    CHECK(session.run({"port", "attach", "br7", "eth1", "--ofport", "65280"}).status == 1);
  }

  TEST_CASE("without a daemon the socket and the remedy are named") {
    Session session;
    session.socket.reset();
    const Outcome outcome = session.run({"bridge", "list"});
    CHECK(outcome.status == 1);
    CHECK(has(outcome.err, (session.directory + "/test.sock").c_str()));
    CHECK(has(outcome.err, "shuntd"));
    const Outcome version = session.run({"version"});
    CHECK(version.status == 1);
    CHECK(has(version.out, "shunt " SHUNT_VERSION));
  }

  TEST_CASE("each command has a help of its own, which needs no daemon") {
    Session session;
    session.socket.reset();
    for (const auto& method : session.commands.method_names()) {
      std::string name{method};
      std::replace(name.begin(), name.end(), '_', '-');
      const std::size_t dot = name.find('.');
      std::vector<std::string> words{name.substr(0, dot)};
      if (dot != std::string::npos) words.push_back(name.substr(dot + 1));
      words.push_back("--help");
      const Outcome outcome = session.run(words);
      INFO(name);
      CHECK(outcome.status == 0);
      CHECK(has(outcome.out, ("Usage: shunt [OPTION]... " + words[0]).c_str()));
    }
    CHECK(has(session.run({"-h"}).out, "port attach"));
    CHECK_FALSE(has(session.run({"port", "--help"}).out, "flow add"));
  }

  TEST_CASE("a bridge with ports is built, shown and taken down") {
    Session session;
    session.with_ports();
    CHECK(session.instance.at("br0").ports[1].vlan.tag == VlanId{10});
    const Outcome list = session.run({"port", "list", "br0"});
    CHECK(list.status == 0);
    CHECK(has(list.out, "BRIDGE"));
    CHECK(has(list.out, "access 10"));
    CHECK(has(session.run({"bridge", "list"}).out, "br0"));
    CHECK(has(session.run({"bridge", "show", "br0"}).out, "eth2"));
    CHECK(has(session.run({"port", "set", "br0", "eth2", "--trunks", "1,4-6"}).out, "trunk 1,4-6"));
    CHECK(has(session.run({"port", "set", "br0", "eth2", "--all-vlans"}).out, "trunk all"));
    CHECK(session.run({"port", "detach", "br0", "eth2"}).status == 0);
    CHECK(session.run({"bridge", "del", "br0"}).status == 0);
    CHECK(session.instance.bridge_map.empty());
  }

  TEST_CASE("--json shows what the daemon answered, before or behind the command") {
    Session session;
    session.with_ports();
    const Outcome behind = session.run({"port", "list", "--json"});
    CHECK(Json::parse(behind.out).at("ports").size() == 2);
    CHECK(session.run({"--json", "port", "list"}).out == behind.out);
    CHECK(Json::parse(session.run({"version", "--json"}).out).at("daemon").at("pid") == 77);
  }

  TEST_CASE("an error in a rule is shown with a caret under its column") {
    Session session;
    session.with_ports();
    const Outcome one = session.run({"flow", "add", "br0", "priority=1,tcp_dts=80,actions=drop"});
    CHECK(one.status == 1);
    CHECK(has(one.err, "  priority=1,tcp_dts=80,actions=drop\n             ^\n"));
    const std::string path = session.file("rules", "# good\narp,actions=normal\n\tip,foo,actions=drop\n");
    const Outcome file = session.run({"flow", "add", "br0", "--file", path});
    CHECK(file.status == 1);
    CHECK(has(file.err, "line 3"));
    CHECK(has(file.err, "  \tip,foo,actions=drop\n  \t   ^\n"));
    const std::string deep = "priority=1," + std::string(3'000, ' ') + "foo,actions=drop";
    const Outcome wide = session.run({"flow", "add", "br0", deep});
    CHECK(wide.status == 1);
    CHECK(wide.err.size() < 600);
    CHECK(session.instance.at("br0").rules.empty());
  }

  TEST_CASE("rules go in from a file or standard input, and come out as text") {
    Session session;
    session.with_ports();
    CHECK(session.run({"flow", "add", "br0", "--file", "-"}, "arp,actions=normal\nip,actions=eth2\n").status == 0);
    CHECK(session.instance.at("br0").rules.size() == 2);
    CHECK(
        session.run({"flow", "replace", "br0", "--file", session.file("r", "priority=9,ipv6,actions=drop\n")}).status ==
        0);
    const Outcome list = session.run({"flow", "list", "br0"});
    CHECK(has(list.out, "n_packets=0, n_bytes=0, priority=9,ipv6 actions=drop\n"));
    CHECK(session.run({"flow", "add", "br0", "--file", "/no/such/file"}).status == 1);
    CHECK(has(session.run({"flow", "add", "br0", "\xff\xfe"}).err, "UTF-8"));
  }

  TEST_CASE("a hundred thousand rules of a file reach the switch as one change") {
    Session session;
    session.with_ports();
    std::string text;
    for (int i = 0; i < 100'000; ++i)
      text += fmt::format("priority={},tcp,nw_dst=10.{}.{}.{},tp_dst=80,actions=eth2\n", i % 65'000 + 1, i >> 16,
                          i >> 8 & 255, i & 255);
    CHECK(session.run({"flow", "add", "br0", "--file", session.file("big", text)}).status == 0);
    CHECK(session.instance.last_mods.size() == 100'000);
  }

  TEST_CASE("static MACs, drops, cache and rates have their tables") {
    Session session;
    session.with_ports();
    CHECK(session.run({"fdb", "add", "br0", "02:00:00:00:00:07", "eth2", "--vlan", "10"}).status == 0);
    CHECK(has(session.run({"fdb", "list", "br0"}).out, "02:00:00:00:00:07"));
    CHECK(session.run({"fdb", "flush", "br0", "--port", "eth2"}).status == 0);
    CHECK(session.run({"fdb", "set", "br0", "--ageing", "30"}).status == 0);
    CHECK(session.instance.at("br0").fdb.ageing == 30s);
    CHECK(session.run({"fdb", "del", "br0", "02:00:00:00:00:07", "--vlan", "10"}).status == 0);
    session.instance.at("br0").ports[0].stats.drops[SHUNT_DROP_RULE] = 3;
    CHECK(has(session.run({"drops"}).out, "a rule says drop"));
    CHECK_FALSE(has(session.run({"drops", "br0"}).out, "ttl-expired"));
    CHECK(has(session.run({"drops", "br0", "--all"}).out, "ttl-expired"));
    CHECK(has(session.run({"cache", "stats"}).out, "flows"));
    CHECK(session.run({"cache", "list"}).out.empty());
    CHECK(session.run({"cache", "flush"}).status == 0);
    CHECK(has(session.run({"stats", "--interval", "0.05"}).out, "RX-PPS"));
  }
}

#endif
