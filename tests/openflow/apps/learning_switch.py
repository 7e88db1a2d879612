# SPDX-License-Identifier: Apache-2.0
"""What os-ken's simple_switch_13 does: a table-miss rule to the controller, which learns where MACs are and sets a rule
a pair of them. With SPANNING_TREE in the environment, what its simple_switch_stp_13 does: only where os-ken's stplib
lets packets through; what was learned is forgotten when the tree changes."""
import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import stplib
from os_ken.lib.packet import ethernet, packet
from os_ken.lib.packet.ether_types import ETH_TYPE_LLDP
from os_ken.ofproto import ofproto_v1_3

TREE = "SPANNING_TREE" in os.environ


class LearningSwitch(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]
    _CONTEXTS = {"stp": stplib.Stp} if TREE else {}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ports = {}  # of a MAC, a switch
        if TREE:  # its default delays are made for people
            times = {"hello_time": 1, "max_age": 6, "fwd_delay": 2}
            kwargs["stp"].set_config({n: {"bridge": {"priority": 0x1000 * n, **times}} for n in range(1, 4)})

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_switch(self, event):
        switch = event.msg.datapath
        self.add_rule(switch, 0, switch.ofproto_parser.OFPMatch(), switch.ofproto.OFPP_CONTROLLER)

    def add_rule(self, switch, priority, match, port, buffer_id=None):
        parser, protocol = switch.ofproto_parser, switch.ofproto
        apply = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS,
                                             [parser.OFPActionOutput(port, protocol.OFPCML_NO_BUFFER)])
        switch.send_msg(parser.OFPFlowMod(
            datapath=switch, priority=priority, match=match, instructions=[apply],
            buffer_id=protocol.OFP_NO_BUFFER if buffer_id is None else buffer_id))

    @set_ev_cls(stplib.EventPacketIn if TREE else ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet(self, event):
        message = event.msg
        switch, in_port = message.datapath, message.match["in_port"]
        parser, protocol = switch.ofproto_parser, switch.ofproto
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        if frame.ethertype == ETH_TYPE_LLDP:
            return  # the topology service's
        known = self.ports.setdefault(switch.id, {})
        known[frame.src] = in_port
        port = known.get(frame.dst, protocol.OFPP_FLOOD)
        if port != protocol.OFPP_FLOOD:
            match = parser.OFPMatch(in_port=in_port, eth_dst=frame.dst, eth_src=frame.src)
            self.add_rule(switch, 1, match, port, message.buffer_id)
            if message.buffer_id != protocol.OFP_NO_BUFFER:
                return  # the rule took the packet along
        data = message.data if message.buffer_id == protocol.OFP_NO_BUFFER else None
        switch.send_msg(parser.OFPPacketOut(datapath=switch, buffer_id=message.buffer_id, in_port=in_port,
                                            actions=[parser.OFPActionOutput(port)], data=data))

    @set_ev_cls(stplib.EventTopologyChange, MAIN_DISPATCHER)
    def on_tree(self, event):
        switch = event.dp
        parser, protocol = switch.ofproto_parser, switch.ofproto
        for mac in self.ports.pop(switch.id, {}):
            switch.send_msg(parser.OFPFlowMod(
                datapath=switch, command=protocol.OFPFC_DELETE, priority=1, match=parser.OFPMatch(eth_dst=mac),
                out_port=protocol.OFPP_ANY, out_group=protocol.OFPG_ANY))
