// SPDX-License-Identifier: Apache-2.0
// shunt port attach|detach|list|show|set
#include <algorithm>
#include <initializer_list>
#include <iostream>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/commands/port_text.h"

namespace shunt::cli {
namespace {

// "access 10", "trunk all", "native-tagged 5 of 1,5-7", "dot1q-tunnel 100"
std::string vlan_text(const Json& port) {
  const std::string mode = cell(port.at("vlan_mode"));
  const std::string trunks = port.at("trunks").is_null() ? "all" : cell(port.at("trunks"));
  if (mode == "trunk") return "trunk " + trunks;
  std::string text = fmt::format("{} {}", mode, cell(port.at("tag")));
  if (mode.starts_with("native")) text += " of " + trunks;
  return text;
}

// What is not as a new port has it: "no flood, protected".
std::string flags_text(const Json& port) {
  std::string text;
  const auto add = [&](const std::string& word) { text += (text.empty() ? "" : ", ") + word; };
  for (const char* name : {"flood", "receive", "forward"})
    if (!port.at(name).get<bool>()) add(std::string{"no "} + name);
  if (!port.at("packet_in").get<bool>()) add("no packet-in");
  if (port.at("protected").get<bool>()) add("protected");
  return text.empty() ? "-" : text;
}

std::string mode_text(const Json& port) {
  const std::string mode = cell(port.at("mode"));
  if (mode == "tcx") return mode;
  return mode + (port.at("zero_copy").get<bool>() ? " zero-copy" : " copy");
}

std::string ofport_text(const Json& port) {
  constexpr std::uint32_t kLocal = 0xfffffffe;  // OpenFlow's OFPP_LOCAL
  return port.at("ofport") == kLocal ? "LOCAL" : cell(port.at("ofport"));
}

Json place(const Invocation& invocation) {
  return {{"bridge", invocation.text("BR")}, {"port", invocation.text("IFACE")}};
}

struct SettingOption {
  Option option;
  const char* parameter;
  enum class Kind { kWord, kNumber, kList, kSwitch } kind;
};
using Kind = SettingOption::Kind;

// What attach and set take alike.
constexpr SettingOption kSettings[] = {
    {{"vlan-mode", "MODE",
      "trunk, access, native-tagged, native-untagged or dot1q-tunnel; without: by --tag, --trunks"},
     "vlan_mode",
     Kind::kWord},
    {{"tag", "V", "the VLAN of an access port, of a native mode, of a tunnel"}, "tag", Kind::kNumber},
    {{"trunks", "A,B-C", "the VLANs of a trunk and of the native modes; without: all"}, "trunks", Kind::kList},
    {{"cvlans", "A,B-C", "dot1q-tunnel: customer VLANs that it takes; without: all"}, "cvlans", Kind::kList},
    {{"qinq-ethtype", "TYPE", "dot1q-tunnel: its tag's type, 802.1ad (default) or 802.1q"},
     "qinq_ethtype",
     Kind::kWord},
    {{"priority-tags", "WHEN", "frames without a VLAN leave with a tag of VID 0: no (default), if-nonzero, always"},
     "priority_tags",
     Kind::kWord},
    {{"flood", "on|off", "'flood' and floods of 'normal' reach it (default on)"}, "flood", Kind::kSwitch},
    {{"receive", "on|off", "frames that come in are taken (default on)"}, "receive", Kind::kSwitch},
    {{"forward", "on|off", "frames go out (default on)"}, "forward", Kind::kSwitch},
    {{"packet-in", "on|off", "a table miss goes to the controller (default on)"}, "packet_in", Kind::kSwitch},
    {{"protected", "on|off", "nothing is forwarded between two protected ports (default off)"},
     "protected",
     Kind::kSwitch},
    {{"queue-workers", "PLACES", "which worker serves which receive queue: 0:1,1:0, or auto (default): by load"},
     "queue_workers",
     Kind::kWord},
};

std::vector<Option> with_settings(std::vector<Option> options) {
  for (const SettingOption& setting : kSettings) options.push_back(setting.option);
  return options;
}

void check_word(const std::string& option, const std::string& word, std::initializer_list<std::string_view> words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return;
  throw UsageError("--{} {}: must be one of {}", option, word, fmt::join(words, ", "));
}

void add_settings(const Invocation& invocation, Json& params) {
  for (const SettingOption& setting : kSettings) {
    const std::string name{setting.option.name};
    if (!invocation.has(name.c_str())) continue;
    switch (setting.kind) {
      case Kind::kNumber:
        params[setting.parameter] = *invocation.number(name.c_str());
        break;
      case Kind::kSwitch:
        params[setting.parameter] = *invocation.on_or_off(name.c_str());
        break;
      case Kind::kWord:
      case Kind::kList:
        params[setting.parameter] = invocation.text(name.c_str());
        break;
    }
  }
  if (const auto mode = invocation.optional_text("vlan-mode"))
    check_word("vlan-mode", *mode, {"trunk", "access", "native-tagged", "native-untagged", "dot1q-tunnel"});
  if (const auto type = invocation.optional_text("qinq-ethtype"))
    check_word("qinq-ethtype", *type, {"802.1ad", "802.1q"});
  if (const auto when = invocation.optional_text("priority-tags"))
    check_word("priority-tags", *when, {"no", "if-nonzero", "always"});
}

int attach(const Invocation& invocation) {
  Json params = place(invocation);
  if (invocation.has("tag") && invocation.has("trunks") && !invocation.has("vlan-mode"))
    throw UsageError(
        "--tag makes an access port and --trunks a trunk: give one of them, or a --vlan-mode that has both");
  add_settings(invocation, params);
  if (const auto number = invocation.number("ofport")) params["ofport"] = *number;
  if (const auto mode = invocation.optional_text("mode")) {
    check_word("mode", *mode, {"auto", "native", "generic", "tcx"});
    params["mode"] = *mode;
  }
  if (const auto queues = invocation.number("queues")) params["queues"] = *queues;
  if (invocation.is_on("create-tap")) params["create_tap"] = true;
  if (invocation.is_on("force")) params["force"] = true;
  return invocation.show("port.attach", params, show_port);
}

int detach(const Invocation& invocation) {
  invocation.call("port.detach", place(invocation));
  return kDone;
}

int list(const Invocation& invocation) {
  Json params = Json::object();
  if (const auto bridge = invocation.optional_text("BR")) params["bridge"] = *bridge;
  return invocation.show("port.list", params, [](const Json& answer) { show_ports(answer.at("ports")); });
}

int show(const Invocation& invocation) { return invocation.show("port.show", place(invocation), show_port); }

int set(const Invocation& invocation) {
  Json params = place(invocation);
  add_settings(invocation, params);
  if (invocation.is_on("all-vlans")) params["all_vlans"] = true;
  if (params.size() < 3) throw UsageError("give a setting: --tag, --trunks, --all-vlans, --vlan-mode, --flood, ...");
  return invocation.show("port.set", params, show_port);
}

}  // namespace

void show_ports(const Json& ports) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& port : ports)
    rows.push_back({cell(port.at("bridge")), cell(port.at("name")), ofport_text(port), cell(port.at("kind")),
                    cell(port.at("state")), mode_text(port), cell(port.at("queues")), cell(port.at("mtu")),
                    vlan_text(port), cell(port.at("rx_packets")), cell(port.at("tx_packets")), cell(port.at("drops"))});
  show_table({"BRIDGE", "PORT", ">OFPORT", "KIND", "STATE", "MODE", ">QUEUES", ">MTU", "VLAN", ">RX", ">TX", ">DROPS"},
             rows);
}

void show_port(const Json& port) {
  const auto line = [](std::string_view name, const std::string& value) {
    std::cout << fmt::format("  {:<13}{}\n", name, value);
  };
  std::cout << fmt::format("port {} of bridge {}\n", cell(port.at("name")), cell(port.at("bridge")));
  line("ofport", ofport_text(port));
  line("kind", cell(port.at("kind")));
  line("mac", cell(port.at("mac")));
  line("state", cell(port.at("state")));
  line("mode",
       fmt::format("{} ({})", mode_text(port), port.at("mode_wanted") == "auto" ? "what suits it" : "as asked for"));
  line("queues", cell(port.at("queues")));
  if (port.at("queue_workers") != "auto") line("workers", cell(port.at("queue_workers")));
  line("mtu", cell(port.at("mtu")));
  line("output",
       port.at("xdp_transmit").get<bool>() ? "by the kernel" : "by userspace: the kernel cannot redirect to it");
  line("vlan", vlan_text(port));
  if (!port.at("cvlans").is_null()) line("cvlans", cell(port.at("cvlans")));
  if (!port.at("qinq_ethtype").is_null()) line("qinq-ethtype", cell(port.at("qinq_ethtype")));
  if (port.at("priority_tags") != "no") line("priority tags", cell(port.at("priority_tags")));
  line("flags", flags_text(port));
  line("received", fmt::format("{} packets, {} bytes", cell(port.at("rx_packets")), cell(port.at("rx_bytes"))));
  line("sent", fmt::format("{} packets, {} bytes", cell(port.at("tx_packets")), cell(port.at("tx_bytes"))));
  line("dropped", fmt::format("{} packets", cell(port.at("drops"))));
  for (const Json& change : port.at("changes")) line("changed", cell(change) + " (restored by detach)");
}

std::span<const Command> port_commands() {
  static const std::vector<Command> commands = {
      {"port",
       "attach",
       {"BR", "IFACE"},
       "make an interface a port of a bridge",
       with_settings({{"ofport", "N", "its OpenFlow number, 1 to 65279; without: the lowest free one"},
                      {"mode", "MODE",
                       "native: XDP; tcx: TC, which keeps a local stack's large packets whole; generic: XDP without "
                       "driver support, slow; auto (default): tcx for a veth with a stack behind it, else native"},
                      {"queues", "N", "serve at most this many receive queues"},
                      {"create-tap", "", "make the interface, a TAP; detach removes it"},
                      {"force", "", "remove an XDP program that somebody else put there"}}),
       true,
       attach},
      {"port", "detach", {"BR", "IFACE"}, "give an interface back as it was", {}, false, detach},
      {"port", "list", {"[BR]"}, "ports of a bridge, or of all", {}, true, list},
      {"port", "show", {"BR", "IFACE"}, "all that is known of a port", {}, true, show},
      {"port",
       "set",
       {"BR", "IFACE"},
       "change a port's VLANs and flags; what is not given stays",
       with_settings({{"all-vlans", "", "a trunk, or a native mode, of all VLANs"}}),
       true,
       set},
  };
  return commands;
}

}  // namespace shunt::cli
