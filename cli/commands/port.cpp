// SPDX-License-Identifier: Apache-2.0
// shunt port attach|detach|list|show|set
#include <iostream>

#include "cli/command.h"
#include "cli/commands/port_text.h"

namespace shunt::cli {
namespace {

// "access 10", "trunk all", "trunk 1,5-7"
std::string vlan_text(const Json& port) {
  if (!port.at("tag").is_null()) return fmt::format("access {}", cell(port.at("tag")));
  return fmt::format("trunk {}", port.at("trunks").is_null() ? "all" : cell(port.at("trunks")));
}

std::string ofport_text(const Json& port) {
  constexpr std::uint32_t kLocal = 0xfffffffe;  // OpenFlow's OFPP_LOCAL
  return port.at("ofport") == kLocal ? "LOCAL" : cell(port.at("ofport"));
}

Json place(const Invocation& invocation) {
  return {{"bridge", invocation.text("BR")}, {"port", invocation.text("IFACE")}};
}

void add_vlans(const Invocation& invocation, Json& params) {
  if (invocation.has("tag") && invocation.has("trunks"))
    throw UsageError("--tag makes an access port and --trunks a trunk: give one of them");
  if (const auto tag = invocation.number("tag")) params["tag"] = *tag;
  if (const auto trunks = invocation.optional_text("trunks")) params["trunks"] = *trunks;
}

int attach(const Invocation& invocation) {
  Json params = place(invocation);
  add_vlans(invocation, params);
  if (const auto number = invocation.number("ofport")) params["ofport"] = *number;
  if (const auto mode = invocation.optional_text("mode")) {
    if (*mode != "native" && *mode != "generic") throw UsageError("--mode {}: must be native or generic", *mode);
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
  add_vlans(invocation, params);
  if (invocation.is_on("all-vlans")) params["all_vlans"] = true;
  if (params.size() != 3) throw UsageError("give one of --tag, --trunks and --all-vlans");
  return invocation.show("port.set", params, show_port);
}

}  // namespace

void show_ports(const Json& ports) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& port : ports)
    rows.push_back({cell(port.at("bridge")), cell(port.at("name")), ofport_text(port), cell(port.at("kind")),
                    cell(port.at("state")),
                    cell(port.at("mode")) + (port.at("zero_copy").get<bool>() ? " zero-copy" : " copy"),
                    cell(port.at("queues")), cell(port.at("mtu")), vlan_text(port), cell(port.at("rx_packets")),
                    cell(port.at("tx_packets")), cell(port.at("drops"))});
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
  line("mode", fmt::format("{} XDP, AF_XDP by {}", cell(port.at("mode")),
                           port.at("zero_copy").get<bool>() ? "zero-copy" : "copy"));
  line("queues", cell(port.at("queues")));
  line("mtu", cell(port.at("mtu")));
  line("output",
       port.at("xdp_transmit").get<bool>() ? "by the kernel" : "by userspace: the kernel cannot redirect to it");
  line("vlan", vlan_text(port));
  line("received", fmt::format("{} packets, {} bytes", cell(port.at("rx_packets")), cell(port.at("rx_bytes"))));
  line("sent", fmt::format("{} packets, {} bytes", cell(port.at("tx_packets")), cell(port.at("tx_bytes"))));
  line("dropped", fmt::format("{} packets", cell(port.at("drops"))));
  for (const Json& change : port.at("changes")) line("changed", cell(change) + " (restored by detach)");
}

std::span<const Command> port_commands() {
  static const Option kTag{"tag", "V", "access port of this VLAN"};
  static const Option kTrunks{"trunks", "A,B-C", "trunk port of these VLANs; without it and --tag: of all"};
  static const std::vector<Command> commands = {
      {"port",
       "attach",
       {"BR", "IFACE"},
       "make an interface a port of a bridge",
       {{"ofport", "N", "its OpenFlow number, 1 to 65279; without: the lowest free one"},
        kTag,
        kTrunks,
        {"mode", "MODE", "native (default) or generic: XDP without driver support, slow"},
        {"queues", "N", "serve at most this many receive queues"},
        {"create-tap", "", "make the interface, a TAP; detach removes it"},
        {"force", "", "remove an XDP program that somebody else put there"}},
       true,
       attach},
      {"port", "detach", {"BR", "IFACE"}, "give an interface back as it was", {}, false, detach},
      {"port", "list", {"[BR]"}, "ports of a bridge, or of all", {}, true, list},
      {"port", "show", {"BR", "IFACE"}, "all that is known of a port", {}, true, show},
      {"port",
       "set",
       {"BR", "IFACE"},
       "change a port's VLANs",
       {kTag, kTrunks, {"all-vlans", "", "trunk port of all VLANs"}},
       true,
       set},
  };
  return commands;
}

}  // namespace shunt::cli
