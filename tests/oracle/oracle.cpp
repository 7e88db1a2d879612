// SPDX-License-Identifier: Apache-2.0
// The oracle: random rules into Shunt's pipeline and into Open vSwitch, the same frames into both. What comes out must
// be the same, port by port and byte by byte. A failing case is made as small as it goes before it is shown.
//
//   oracle [--seed N] [--cases N] [--frames N] [--seconds N]   many cases
//   oracle --seed N --case N                                   one of them
// Exits 77 where Open vSwitch is missing.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <sstream>
#include <string>

#include "tests/oracle/action_text.h"
#include "tests/oracle/known_differences.h"
#include "tests/oracle/open_vswitch.h"
#include "tests/oracle/scenario.h"
#include "tests/oracle/shunt_switch.h"
#include "user/base/error.h"
#include "user/pipeline/rule_text.h"

namespace shunt::test {
namespace {

constexpr std::size_t kMinFrame = 60;

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t first = 0, cases = 400;
  std::size_t frames = 30;
  std::chrono::seconds limit{3600};
  std::size_t failures = 1;  // stop after so many
  bool verbose = false;
};

std::string vlan_words(const VlanSet& set) {
  std::string text;
  for (std::size_t vid = 0; vid < set.size(); ++vid)
    if (set.test(vid)) text += (text.empty() ? "" : ",") + std::to_string(vid);
  return text;
}

std::vector<std::string> port_words(const PortSetting& port) {
  static constexpr const char* kModes[] = {"trunk", "access", "native-tagged", "native-untagged", "dot1q-tunnel"};
  const std::string name = OpenVswitch::port_name(port.number);
  const VlanConfig& vlan = port.vlan;
  std::vector<std::string> words{"--",     "clear",        "port", name,  "tag",  "vlan_mode", "trunks",
                                 "cvlans", "other_config", "--",   "set", "port", name};
  words.push_back(std::string{"vlan_mode="} + kModes[static_cast<int>(vlan.mode)]);
  words.push_back(std::string{"protected="} + (port.is_protected ? "true" : "false"));
  if (vlan.tag) words.push_back(fmt::format("tag={}", vlan.tag->value));
  if (vlan.trunks) words.push_back("trunks=" + vlan_words(*vlan.trunks));
  if (vlan.cvlans) words.push_back("cvlans=" + vlan_words(*vlan.cvlans));
  if (vlan.mode == VlanMode::kDot1qTunnel)
    words.push_back(std::string{"other_config:qinq-ethtype="} + (vlan.qinq_ethtype == 0x8100 ? "802.1q" : "802.1ad"));
  if (vlan.priority_tags != PriorityTags::kNo)
    words.push_back(std::string{"other_config:priority-tags="} +
                    (vlan.priority_tags == PriorityTags::kAlways ? "always" : "if-nonzero"));
  return words;
}

std::string hex(const Bytes& bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

// The head of a frame says enough.
std::string head(const Bytes& bytes) {
  constexpr std::size_t kShown = 100;
  if (bytes.size() <= kShown) return hex(bytes);
  return fmt::format("{}... ({} bytes)", hex(Bytes(bytes.begin(), bytes.begin() + kShown)), bytes.size());
}

std::string describe(const Outputs& outputs) {
  if (outputs.empty()) return "      nothing\n";
  std::string text;
  for (const auto& [port, frames] : outputs)
    for (const Bytes& frame : frames) text += fmt::format("      {}: {}\n", OpenVswitch::port_name(port), head(frame));
  return text;
}

// Short frames are padded by the device, or by Shunt itself.
void pad(Outputs& outputs) {
  for (auto& [port, frames] : outputs)
    for (Bytes& frame : frames) frame.resize(std::max(frame.size(), kMinFrame));
}

bool changes_rules(const Scenario& scenario) {
  return std::any_of(scenario.rules.begin(), scenario.rules.end(), [](const std::string& rule) {
    return rule.find("learn(") != std::string::npos || rule.find("fin_timeout(") != std::string::npos;
  });
}

// Their rules, read as ours are. What they make of matches and actions that were given is not the question.
std::vector<FlowMod> dumped_rules(const std::string& dump) {
  std::vector<FlowMod> mods;
  std::istringstream lines{dump};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t actions = line.find("actions=");
    if (actions == std::string::npos) continue;
    FlowMod mod = parse_flow(line.substr(0, actions) + "actions=drop", FlowMod::Command::kAdd, {});
    if (mod.priority >= kLearnedPriority) mod = parse_flow(line, FlowMod::Command::kAdd, {});
    mods.push_back(std::move(mod));
  }
  return mods;
}

// A line a rule: table, priority, cookie, timeouts, flags; of those that were learned match and actions, too.
std::vector<std::string> rule_lines(std::vector<FlowMod> mods) {
  std::vector<std::string> lines;
  for (FlowMod& mod : mods) {
    if (mod.priority < kLearnedPriority) {
      mod.match = {};
      mod.actions = {DropAction{}};
    }
    lines.push_back(format_flow_spec(mod));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

// Of the lines of one, those that the other has not.
std::string lines_of_one(const std::vector<std::string>& one, const std::vector<std::string>& other,
                         const char* whose) {
  std::vector<std::string> left;
  std::set_difference(one.begin(), one.end(), other.begin(), other.end(), std::back_inserter(left));
  std::string text;
  for (const std::string& line : left) text += fmt::format("    {} {}\n", whose, line);
  return text;
}

class Oracle {
 public:
  explicit Oracle(const Options& options) : options_{options}, ours_{kPortCount} { start_theirs(); }
  int run();

 private:
  const Options options_;
  std::optional<OpenVswitch> theirs_;
  ShuntSwitch ours_;
  std::optional<Layout> layout_;
  std::uint64_t frames_ = 0, cached_ = 0, forwarded_ = 0, rules_ = 0, failures_ = 0, crashes_ = 0;
  std::map<std::string, std::uint64_t> known_;
  bool rules_agree_ = true;  // no frame of the case was handled otherwise for a known reason

  void start_theirs() {
    theirs_.reset();
    theirs_.emplace(kPortCount);
    layout_.reset();
    theirs_->configure({"set", "Open_vSwitch", ".", "other_config:vlan-limit=2"});
    // As OpenFlow has it: the first fragment has ports. Theirs are 0 unless told so.
    theirs_->ofctl("set-frags", {"nx-match"});
    theirs_->command("vlog/set", {"ANY:file:err"});
  }
  void configure(const Layout& layout);
  void load(const Scenario& scenario);
  // What is wrong, of the first frame of which anything is; empty: nothing. `at`: that frame.
  std::string compare(const Scenario& scenario, std::size_t& at, bool count);
  std::string compare_frame(const Scenario& scenario, const Input& input, bool count);
  std::string compare_rules();
  Scenario shrink(Scenario scenario, std::size_t at);
  bool still_fails(const Scenario& scenario);
  void report(std::uint64_t number, const Scenario& scenario, const std::string& fault);
};

void Oracle::configure(const Layout& layout) {
  if (layout_ == layout) return;
  std::vector<std::string> words;
  for (const PortSetting& port : layout.ports) {
    const auto more = port_words(port);
    words.insert(words.end(), more.begin(), more.end());
  }
  words.insert(words.end(), {"--", "clear", "bridge", OpenVswitch::bridge(), "flood_vlans"});
  std::string vlans;
  for (const std::uint16_t vlan : layout.flood_vlans) vlans += (vlans.empty() ? "" : ",") + std::to_string(vlan);
  if (!vlans.empty()) words.insert(words.end(), {"--", "set", "bridge", OpenVswitch::bridge(), "flood_vlans=" + vlans});
  words.erase(words.begin());  // the first "--"
  theirs_->configure(words);
  for (std::size_t i = 0; i < layout.ports.size(); ++i) {
    const PortSetting& port = layout.ports[i];
    const std::string name = OpenVswitch::port_name(port.number);
    if (!layout_ || layout_->ports[i].flood != port.flood)
      theirs_->ofctl("mod-port", {name, port.flood ? "flood" : "no-flood"});
    if (!layout_ || layout_->ports[i].up != port.up)
      theirs_->command("netdev-dummy/set-admin-state", {name, port.up ? "up" : "down"});
  }
  theirs_->settle();
  ours_.configure(layout);
  layout_ = layout;
}

void Oracle::load(const Scenario& scenario) {
  configure(scenario.layout);
  theirs_->command("revalidator/purge");
  std::string bundle = "flow delete\ngroup delete\n";
  for (const std::string& group : scenario.groups) bundle += "group add " + group + "\n";
  for (const std::string& rule : scenario.rules) bundle += "flow add " + rule + "\n";
  std::string refusal;
  try {
    theirs_->apply(bundle);
  } catch (const Error& error) {
    refusal = error.what();
  }
  theirs_->command("fdb/flush", {OpenVswitch::bridge()});
  theirs_->settle();
  if (!refusal.empty()) throw Error("Open vSwitch refuses the rules: {}", refusal);
  try {
    ours_.load(scenario.groups, scenario.rules);
  } catch (const std::exception& error) {
    throw Error("Shunt refuses the rules: {}", error.what());
  }
}

std::string Oracle::compare_frame(const Scenario& scenario, const Input& input, bool count) {
  theirs_->command("revalidator/purge");  // every frame of theirs is translated: their cache follows only later
  const bool comes_in = input.packet_out.empty();
  Outputs theirs =
      comes_in ? theirs_->send(PortNo{input.in_port}, input.frame) : theirs_->packet_out(input.frame, input.packet_out);
  ShuntSwitch::Result result =
      comes_in ? ours_.send(PortNo{input.in_port}, input.frame) : ours_.packet_out(input.frame, input.packet_out);
  for (const PortSetting& port : scenario.layout.ports)
    if (!port.up) theirs.erase(port.number);  // they leave it to the device to drop
  pad(theirs);
  pad(result.outputs);
  if (count) {
    ++frames_;
    cached_ += result.cached ? 1 : 0;
    forwarded_ += result.outputs.empty() ? 0 : 1;
  }
  if (options_.verbose && count)
    fmt::print("  in_port={} {}\n    {}\n{}", input.in_port, head(input.frame), result.explanation,
               describe(result.outputs));
  std::string fault = result.fault;
  if (result.outputs != theirs) {
    if (const auto reason = known_difference(scenario, input, result, theirs)) {
      rules_agree_ = false;
      if (count) ++known_[*reason];
    } else {
      fault += fmt::format("{}the outputs differ", fault.empty() ? "" : "\n    ");
    }
  }
  if (result.met.fin_timeout_of_nd) {
    rules_agree_ = false;
    if (count) ++known_["Open vSwitch takes the type of an ND option for TCP flags: the first one's for FIN"];
  }
  if (fault.empty()) return {};
  return fmt::format("in_port={} {}\n    {}\n    {}\n    Shunt sends\n{}    Open vSwitch sends\n{}", input.in_port,
                     head(input.frame), fault, result.explanation, describe(result.outputs), describe(theirs));
}

std::string Oracle::compare(const Scenario& scenario, std::size_t& at, bool count) {
  load(scenario);
  rules_agree_ = true;
  for (at = 0; at < scenario.inputs.size(); ++at)
    if (std::string fault = compare_frame(scenario, scenario.inputs[at], count); !fault.empty()) return fault;
  return rules_agree_ && changes_rules(scenario) ? compare_rules() : std::string{};
}

// What the frames have made of the rules.
std::string Oracle::compare_rules() {
  theirs_->command("revalidator/purge");
  const auto ours = rule_lines(ours_.rules()), theirs = rule_lines(dumped_rules(theirs_->ofctl("dump-flows", {})));
  const std::string fault = lines_of_one(ours, theirs, "Shunt has") + lines_of_one(theirs, ours, "Open vSwitch has");
  return fault.empty() ? fault : "the rules differ\n" + fault;
}

bool Oracle::still_fails(const Scenario& scenario) {
  try {
    std::size_t at = 0;
    return !compare(scenario, at, false).empty();
  } catch (const Error&) {
    if (!theirs_->alive()) start_theirs();
    return false;  // what is left is no whole any more
  }
}

// Leaves out what the difference does not need.
Scenario Oracle::shrink(Scenario scenario, std::size_t at) {
  if (at < scenario.inputs.size()) scenario.inputs.resize(at + 1);
  const auto leave_out = [&](auto member) {
    for (std::size_t i = (scenario.*member).size(); i-- > 0;) {
      Scenario less = scenario;
      (less.*member).erase((less.*member).begin() + static_cast<std::ptrdiff_t>(i));
      if (still_fails(less)) scenario = std::move(less);
    }
  };
  leave_out(&Scenario::inputs);
  leave_out(&Scenario::rules);
  leave_out(&Scenario::groups);
  leave_out(&Scenario::rules);
  // Then single actions.
  for (auto member : {&Scenario::rules, &Scenario::groups}) {
    for (std::size_t i = 0; i < (scenario.*member).size(); ++i) {
      for (std::size_t from = (scenario.*member)[i].find("actions="); from != std::string::npos;) {
        const std::string& text = (scenario.*member)[i];
        const std::size_t start = text.find(',', from);
        if (start == std::string::npos) break;
        std::size_t end = start + 1;
        // Without these, what is a difference already known would take the place of the one that is looked for.
        const std::string word = text.substr(start + 1, 60);
        const bool belongs_together =
            word.starts_with("bucket=") || word.starts_with("push_") || word.starts_with("set_mpls_ttl") ||
            (word.starts_with("set_field") && (word.substr(0, word.find(',')).find("->vlan_") != std::string::npos ||
                                               word.substr(0, word.find(',')).find("->mpls_") != std::string::npos));
        if (belongs_together) {
          from = start + 1;
          continue;
        }
        for (int depth = 0; end < text.size() && (depth > 0 || text[end] != ','); ++end)
          depth += text[end] == '(' ? 1 : text[end] == ')' ? -1 : 0;
        Scenario less = scenario;
        (less.*member)[i].erase(start, end - start);
        if (still_fails(less))
          scenario = std::move(less);
        else
          from = start + 1;
      }
    }
  }
  return scenario;
}

void Oracle::report(std::uint64_t number, const Scenario& scenario, const std::string& fault) {
  fmt::print("FAILED: --seed {} --frames {} --case {}; the smallest that still fails:\n", options_.seed,
             options_.frames, number);
  for (const PortSetting& port : scenario.layout.ports) {
    std::string words;
    const auto all = port_words(port);
    for (std::size_t i = 12; i < all.size(); ++i) words += " " + all[i];
    fmt::print("  port{}{}{}\n", words, port.up ? "" : " down", port.flood ? "" : " no-flood");
  }
  for (const auto vlan : scenario.layout.flood_vlans) fmt::print("  flood_vlans={}\n", vlan);
  for (const std::string& group : scenario.groups) fmt::print("  group {}\n", group);
  for (const std::string& rule : scenario.rules) fmt::print("  rule {}\n", rule);
  for (const Input& input : scenario.inputs)
    fmt::print("  frame {} {}\n",
               input.packet_out.empty() ? fmt::format("in_port={}", input.in_port) : input.packet_out,
               hex(input.frame));
  fmt::print("  {}", fault);
  if (!scenario.inputs.empty()) {
    const Input& last = scenario.inputs.back();
    fmt::print("  ofproto/trace says\n{}\n",
               theirs_->command("ofproto/trace",
                                {OpenVswitch::bridge(), fmt::format("in_port={}", last.in_port), hex(last.frame)}));
  }
  std::fflush(stdout);
}

int Oracle::run() {
  const auto end = std::chrono::steady_clock::now() + options_.limit;
  std::uint64_t done = 0;
  for (; done < options_.cases && std::chrono::steady_clock::now() < end && failures_ < options_.failures; ++done) {
    const std::uint64_t number = options_.first + done;
    const Scenario scenario = random_scenario(options_.seed, number, options_.frames);
    rules_ += scenario.rules.size();
    std::size_t at = 0;
    std::string fault;
    try {
      fault = compare(scenario, at, true);
    } catch (const Error& error) {
      // Open vSwitch 3.1 aborts on some rules (recirc_alloc_id__'s assertion): nothing to compare with.
      if (!theirs_->alive() && ++crashes_ * 20 < options_.cases + 20) {
        start_theirs();
        continue;
      }
      ++failures_;
      fmt::print("FAILED: --seed {} --frames {} --case {}: {}\n", options_.seed, options_.frames, number, error.what());
      if (options_.verbose)
        for (const std::string& rule : scenario.rules) fmt::print("  rule {}\n", rule);
      continue;
    }
    if (fault.empty()) continue;
    ++failures_;
    const Scenario small = shrink(scenario, at);
    std::size_t again = 0;
    const std::string small_fault = compare(small, again, false);
    report(number, small, small_fault.empty() ? fault : small_fault);
  }
  fmt::print(
      "oracle: seed {}: {} cases, {} rules, {} frames ({} forwarded, {} by a flow of an earlier frame), {} failed\n",
      options_.seed, done, rules_, frames_, forwarded_, cached_, failures_);
  if (crashes_ != 0) fmt::print("oracle: {} cases left where Open vSwitch aborted\n", crashes_);
  for (const auto& [reason, times] : known_) fmt::print("oracle: {} times: {}\n", times, reason);
  return failures_ == 0 ? 0 : 1;
}

Options parse(int argc, char** argv) {
  Options options;
  const auto number = [&](int& i) -> std::uint64_t {
    if (i + 1 >= argc) throw Error("{} wants a number", argv[i]);
    char* rest = nullptr;
    const std::uint64_t value = std::strtoull(argv[++i], &rest, 10);
    if (rest == argv[i] || *rest != '\0') throw Error("{}: not a number: {}", argv[i - 1], argv[i]);
    return value;
  };
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seed") {
      options.seed = number(i);
    } else if (word == "--cases") {
      options.cases = number(i);
    } else if (word == "--case") {
      options.first = number(i);
      options.cases = 1;
    } else if (word == "--first") {
      options.first = number(i);
    } else if (word == "--frames") {
      options.frames = number(i);
    } else if (word == "--seconds") {
      options.limit = std::chrono::seconds{number(i)};
    } else if (word == "--failures") {
      options.failures = number(i);
    } else if (word == "--random-seed") {
      options.seed = std::random_device{}();
    } else if (word == "--verbose") {
      options.verbose = true;
    } else {
      throw Error("what is '{}'? See the head of tests/oracle/oracle.cpp", word);
    }
  }
  return options;
}

}  // namespace
}  // namespace shunt::test

int main(int argc, char** argv) {
  using namespace shunt::test;
  try {
    const Options options = parse(argc, argv);
    if (const auto missing = OpenVswitch::missing()) {
      fmt::print("skipped: {}\n", *missing);
      return 77;
    }
    fmt::print("oracle: seed {}\n", options.seed);
    return Oracle{options}.run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "oracle: {}\n", error.what());
    return 1;
  }
}
