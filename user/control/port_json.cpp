// SPDX-License-Identifier: Apache-2.0
#include "user/control/port_json.h"

#include "user/control/port_vlans.h"
#include "user/control/text.h"
#include "user/stats/snapshot.h"

namespace shunt {

Json port_json(const PortStatus& port) {
  Json json = {
      {"bridge", port.bridge},
      {"name", port.name},
      {"ofport", port.number.value},
      {"dp_port", port.dp.value},
      {"ifindex", nullptr},
      {"kind", port.kind},
      {"mac", port.mac},
      {"peer", nullptr},
      {"state", port.ifindex.value == 0 ? "gone"
                : port.up               ? "up"
                                        : "down"},
      {"mode", name_of(port.mode)},
      {"mode_wanted", port.mode_wanted ? name_of(*port.mode_wanted) : "auto"},
      {"zero_copy", port.zero_copy},
      {"queues", port.queues},
      {"queue_workers", format_queue_workers(port.queue_workers)},
      {"mtu", port.mtu},
      {"xdp_transmit", port.xdp_transmit},
      {"vlan_mode", name_of(port.vlan.mode)},
      {"tag", nullptr},
      {"trunks", nullptr},
      {"cvlans", nullptr},
      {"qinq_ethtype", nullptr},
      {"priority_tags", name_of(port.vlan.priority_tags)},
      {"flood", port.flags.flood},
      {"receive", port.flags.receive},
      {"forward", port.flags.forward},
      {"packet_in", port.flags.packet_in},
      {"protected", port.flags.protected_port},
      {"changes", port.changes},
      {"rx_packets", port.stats.rx_packets},
      {"rx_bytes", port.stats.rx_bytes},
      {"tx_packets", port.tx_packets},
      {"tx_bytes", port.tx_bytes},
      {"drops", total_drops(port.stats)},
  };
  if (port.ifindex.value != 0) json["ifindex"] = port.ifindex.value;
  if (port.peer) json["peer"] = {{"interface", port.peer->interface}, {"place", port.peer->place}};
  if (port.vlan.tag) json["tag"] = port.vlan.tag->value;
  if (port.vlan.trunks) json["trunks"] = format_vlans(*port.vlan.trunks);
  if (port.vlan.cvlans) json["cvlans"] = format_vlans(*port.vlan.cvlans);
  if (port.vlan.mode == VlanMode::kDot1qTunnel)
    json["qinq_ethtype"] = port.vlan.qinq_ethtype == 0x8100 ? "802.1q" : "802.1ad";
  return json;
}

}  // namespace shunt
