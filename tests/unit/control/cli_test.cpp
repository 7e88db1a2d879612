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
    socket = std::make_unique<ControlSocket>(
        loop, directory + "/test.sock",
        [this](std::string_view line, ClientStream& client) { return commands.handle(line, &client); });
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
    fault({"port", "set", "br0", "eth1", "--flood", "maybe"}, "--flood maybe");
    fault({"port", "set", "br0", "eth1", "--vlan-mode", "hybrid"}, "--vlan-mode hybrid");
    fault({"port", "set", "br0", "eth1", "--priority-tags", "yes"}, "--priority-tags yes");
    fault({"bridge", "set", "br0"}, "--flood-vlans");
    fault({"group", "add", "br0"}, "GROUP or --file");
    fault({"group", "stats", "br0", "x"}, "ID x");
    fault({"meter", "mod", "br0"}, "METER or --file");
    fault({"table", "set", "br0", "0"}, "--max-rules");
    fault({"table", "set", "br0", "zero", "--evict", "on"}, "N zero");
    fault({"table", "set", "br0", "0", "--miss", "fly"}, "--miss fly");
    fault({"trace", "br0"}, "FLOW or --pcap");
    fault({"trace", "br0", "in_port=1", "--pcap", "x"}, "FLOW or --pcap");
    fault({"trace", "br0", "--pcap", "x"}, "--in-port");
    fault({"trace", "br0", "in_port=1", "--in-port", "1"}, "--in-port");
    fault({"cache", "why"}, "KEY is missing");
    fault({"packet-in"}, "BR is missing");
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
    for (const Method* method : session.commands.methods()) {
      std::string name{method->name};
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
    CHECK(has(one.err, "shunt: refused (OFPET_BAD_MATCH/OFPBMC_BAD_FIELD): column 12: "));
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
    CHECK(has(list.out, ", n_packets=0, n_bytes=0, "));
    CHECK(has(list.out, ", priority=9,ipv6 actions=drop\n"));
    CHECK(session.run({"flow", "add", "br0", "--file", "/no/such/file"}).status == 1);
    CHECK(has(session.run({"flow", "add", "br0", "\xff\xfe"}).err, "UTF-8"));
  }

  TEST_CASE("a refusal of the switch has OpenFlow's name, and shows the line that it is about") {
    Session session;
    session.with_ports();
    session.instance.refusal = OfError(OfErrorCode::kOverlap, "it overlaps a rule that is there");
    const Outcome one = session.run({"flow", "add", "br0", "arp,actions=drop"});
    CHECK(one.status == 1);
    CHECK(one.err ==
          "shunt: refused (OFPET_FLOW_MOD_FAILED/OFPFMFC_OVERLAP): column 1: it overlaps a rule that is there\n"
          "  arp,actions=drop\n  ^\n");
    session.instance.refusal->set_line(2);
    const Outcome file =
        session.run({"flow", "add", "br0", "--file", session.file("r", "arp,actions=drop\nip,actions=drop\n")});
    CHECK(has(file.err, "line 2, column 1: it overlaps"));
    CHECK(has(file.err, "\n  ip,actions=drop\n  ^\n"));
  }

  TEST_CASE("groups, meters and tables are changed and shown") {
    Session session;
    session.with_ports();
    CHECK(session.run({"group", "add", "br0", "group_id=1,type=all,bucket=actions=eth1"}).status == 0);
    CHECK(session.run({"group", "add-or-mod", "br0", "--file", "-"}, "group_id=2,type=indirect,bucket=actions=eth2\n")
              .status == 0);
    REQUIRE(session.instance.group_mods.size() == 2);
    CHECK(session.instance.group_mods[1].command == GroupMod::Command::kAddOrModify);
    CHECK(session.run({"group", "del", "br0"}).status == 0);
    CHECK(session.instance.group_mods[2].group == kGroupAll);
    const Outcome bad = session.run({"group", "add", "br0", "group_id=1,type=some"});
    CHECK(bad.status == 1);
    CHECK(has(bad.err, "  group_id=1,type=some\n"));
    CHECK(has(bad.err, "^\n"));
    auto group = std::make_shared<Group>();
    group->id = 9;
    session.instance.groups = {{group, 0}};
    CHECK(has(session.run({"group", "list", "br0"}).out, "group_id=9"));
    CHECK(has(session.run({"group", "stats", "br0", "9"}).out, "packet_count=0"));

    CHECK(session.run({"meter", "add", "br0", "meter=1,kbps,bands=type=drop,rate=100"}).status == 0);
    CHECK(session.run({"meter", "del", "br0", "meter=1"}).status == 0);
    CHECK(session.instance.meter_mods.size() == 2);
    CHECK(session.run({"meter", "stats", "br0", "4"}).status == 1);

    CHECK(session.run({"table", "set", "br0", "3", "--max-rules", "10", "--evict", "on", "--name", "acl"}).status == 0);
    CHECK(session.instance.table_configs.at(3).max_rules == 10u);
    session.instance.tables = {{3, session.instance.table_configs.at(3), 1, 5, 4}};
    CHECK(session.run({"table", "set", "br0", "3", "--max-rules", "none", "--miss", "continue"}).status == 0);
    CHECK_FALSE(session.instance.table_configs.at(3).max_rules);
    CHECK(session.instance.table_configs.at(3).name == "acl");
    const Outcome tables = session.run({"table", "list", "br0"});
    CHECK(has(tables.out, "LOOKUPS"));
    CHECK(has(tables.out, "acl"));
  }

  TEST_CASE("port and bridge settings go in as words and come out as words") {
    Session session;
    session.with_ports();
    const Outcome set = session.run({"port", "set", "br0", "eth1", "--vlan-mode", "native-untagged", "--tag", "5",
                                     "--trunks", "5-7", "--flood", "off", "--protected", "on"});
    CHECK(set.status == 0);
    CHECK(has(set.out, "native-untagged 5 of 5-7"));
    CHECK(has(set.out, "no flood, protected"));
    CHECK(has(session.run({"port", "set", "br0", "eth1", "--flood", "on"}).out, "flags        protected"));
    CHECK(session.run({"bridge", "set", "br0", "--flood-vlans", "3,9"}).status == 0);
    CHECK(has(session.run({"bridge", "show", "br0"}).out, "flood VLANs: 3,9"));
  }

  TEST_CASE("a trace is shown step by step, and its error under the text") {
    Session session;
    session.with_ports();
    Trace& trace = session.instance.traced.trace;
    trace.steps = {{TraceStep::Kind::kTable, 0, "table 0", nullptr},
                   {TraceStep::Kind::kRule, 0, "priority=5,ip, cookie=0x7", nullptr},
                   {TraceStep::Kind::kAction, 0, "dec_ttl", nullptr},
                   {TraceStep::Kind::kChange, 0, "nw_ttl 64 -> 63", nullptr},
                   {TraceStep::Kind::kNote, 1, "a note", nullptr}};
    trace.translation.drop = SHUNT_DROP_RULE;
    auto rule = std::make_shared<Rule>();
    rule->actions = {OutputAction{PortNo{2}}};
    trace.near_miss = NearMiss{rule, 0, {"tp_dst is 81, the rule wants 80"}};
    session.instance.traced.reason = SHUNT_UPCALL_CONTROLLER;
    const Outcome shown = session.run({"trace", "br0", "in_port=eth1,tcp,tp_dst=81"});
    CHECK(shown.status == 0);
    CHECK(has(shown.out,
              "\ntable 0\n  priority=5,ip, cookie=0x7\n    dec_ttl\n      nw_ttl 64 -> 63\n            >> a note\n"));
    CHECK(has(shown.out, "dropped: rule: a rule says drop"));
    CHECK(has(shown.out, "priority=32768 actions=output:eth2\n    tp_dst is 81, the rule wants 80\n"));
    CHECK(has(shown.out, "served by: userspace (controller)"));
    const Outcome error = session.run({"trace", "br0", "in_port=eth1,tcp,tp_dst=80/0xff"});
    CHECK(error.status == 1);
    CHECK(has(error.err, "  in_port=eth1,tcp,tp_dst=80/0xff\n                            ^\n"));
    CHECK(Json::parse(session.run({"trace", "br0", "in_port=eth1", "--json"}).out).at("steps").size() == 5);
  }

  TEST_CASE("each frame of a capture is traced") {
    Session session;
    session.with_ports();
    // pcap, little-endian, snap length 65535, Ethernet; two records, the second cut from 100 bytes to 16.
    std::string capture{"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0", 24};
    capture += std::string{"\0\0\0\0\0\0\0\0\x10\0\0\0\x10\0\0\0", 16} + std::string(16, '\x0a');
    capture += std::string{"\0\0\0\0\0\0\0\0\x10\0\0\0\x64\0\0\0", 16} + std::string(16, '\x0b');
    const std::string path = session.file("two.pcap", capture);
    const Outcome shown = session.run({"trace", "br0", "--pcap", path, "--in-port", "eth2"});
    CHECK(shown.status == 0);
    CHECK(has(shown.out, "frame 1, 16 bytes\n"));
    CHECK(has(shown.out, "frame 2, 100 bytes\n"));
    CHECK(session.instance.last_trace.frame == std::vector<std::uint8_t>(16, 0x0b));
    CHECK(session.instance.last_trace.length == 100);
    CHECK(session.instance.last_trace.in_port == PortNo{2});
    CHECK(session.run({"trace", "br0", "--pcap", session.file("not.pcap", "hello"), "--in-port", "1"}).status == 1);
    CHECK(Json::parse(session.run({"trace", "br0", "--pcap", path, "--in-port", "2", "--json"}).out).size() == 2);
    std::string ppp = capture;
    ppp[20] = 9;
    const Outcome other = session.run({"trace", "br0", "--pcap", session.file("ppp.pcap", ppp), "--in-port", "1"});
    CHECK(has(other.err, "not Ethernet but PPP"));
  }

  TEST_CASE("packet-ins are shown once; what made a cached flow is told") {
    Session session;
    session.with_ports();
    PacketInRecord record;
    record.when = Clock::now();
    record.event.what.in_port = PortNo{1};
    record.event.what.action.userdata = {1, 2};
    record.event.frame.assign(100, 0xab);
    record.event.length = 100;
    session.instance.waiting = {record};
    const Outcome packets = session.run({"packet-in", "br0"});
    CHECK(has(packets.out, "reason=action, table=0, cookie=-, in_port=eth1, length=100, userdata=0102, data=abab"));
    CHECK(has(packets.out, "...\n"));
    CHECK(session.run({"packet-in", "br0"}).out.empty());

    CacheWhy why;
    why.bridge = "br0";
    auto rule = std::make_shared<Rule>();
    rule->cookie = 0x77;
    why.trace.translation.rules = {rule};
    session.instance.why = why;
    CHECK(has(session.run({"cache", "why", "in_port=eth1,arp"}).out, "made by: table=0, cookie=0x77"));
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

  TEST_CASE("queues are placed, and workers listed") {
    Session session;
    session.with_ports();
    CHECK(has(session.run({"port", "set", "br0", "eth2", "--queue-workers", "1:0,0:1"}).out, "0:1,1:0"));
    CHECK(session.run({"port", "set", "br0", "eth2", "--flood", "off"}).status == 0);
    CHECK(session.instance.at("br0").ports[1].queue_workers == QueueWorkers{{0, 1}, {1, 0}});
    CHECK(has(session.run({"port", "set", "br0", "eth2", "--queue-workers", "0-1"}).err, "QUEUE:WORKER"));
    CHECK(session.run({"port", "set", "br0", "eth2", "--queue-workers", "auto"}).status == 0);
    CHECK(session.instance.at("br0").ports[1].queue_workers.empty());
    session.instance.worker_places = {{.core = 3, .load = 0.5, .queues = {{"br0", "eth2", QueueId{1}, 0.25, true}}},
                                    {.core = {}, .load = 0, .queues = {{"", "", QueueId{0}, 0, false}}}};
    const std::string list = session.run({"worker", "list"}).out;
    for (const char* text : {"50.0 %", "eth2", "25.0 %", "as set", "(lane)", "any"}) CHECK(has(list, text));
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

  TEST_CASE("configurations are shown, compared, tried, loaded and taken back; an error points into the file") {
    Session session;
    const std::string file = session.file("c.toml", "[bridge.br3]\nmac-ageing = 77\n");
    const std::string changes = "+ bridge br3\n~ bridge br3: mac-ageing 300 -> 77\n";
    CHECK(session.run({"config", "diff", file}).out.starts_with(changes));
    CHECK(session.run({"config", "load", file, "--dry-run"}).out.starts_with(changes));
    CHECK(session.instance.bridges().empty());
    CHECK(session.run({"config", "load", file}).out.starts_with(changes));
    CHECK(has(session.run({"config", "show"}).out, "[bridge.br3]\nmac-ageing = 77\n"));
    CHECK(Json::parse(session.run({"config", "undo", "--dry-run", "--json"}).out).at("changes").at(0) ==
          "- bridge br3");
    CHECK(session.run({"config", "undo"}).out == "- bridge br3\n");
    CHECK(session.run({"config", "undo"}).status == 1);
    const Outcome wrong = session.run({"config", "load", "-"}, "[bridge.br3]\nmac-agein = 77\n");
    CHECK(wrong.status == 1);
    CHECK(has(wrong.err,
              "line 2, column 1: bridge.br3.mac-agein: unknown key (did you mean 'mac-ageing'?)\n"
              "  mac-agein = 77\n  ^\n"));
    CHECK(session.run({"config", "load", "/no/such/file"}).status == 1);
  }

  TEST_CASE("what was done and not stored ends with 3") {
    Session session;
    session.instance.storing_fails = "the disk is full";
    const Outcome outcome = session.run({"bridge", "add", "br0"});
    CHECK(outcome.status == 3);
    CHECK(has(outcome.err, "in force, but not stored: the disk is full"));
    CHECK(session.instance.bridges().size() == 1);
  }
}

#endif
