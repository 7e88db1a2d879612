# SPDX-License-Identifier: Apache-2.0
"""The heart of os-ken's rest_router: a router between networks. ADDRESSES is its own, a port each:
"1=10.0.1.1/24 2=10.0.2.1/24". It answers ARP and pings to these addresses, asks for the host that a packet is for and
keeps the packet meanwhile, sets a rule a host that it has found, and says when a packet's time is exceeded."""
import ipaddress
import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import arp, ethernet, icmp, ipv4, packet
from os_ken.ofproto import ofproto_v1_3

ADDRESSES = {int(port): ipaddress.ip_interface(address)
             for port, address in (each.split("=") for each in os.environ["ADDRESSES"].split())}
BROADCAST, UNKNOWN = "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"
HOST, OWN, MISS = 3, 2, 1  # priorities


class Router(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.waiting = {}  # packets, by the address that was asked for

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_features(self, event):
        switch = event.msg.datapath
        parser, protocol = switch.ofproto_parser, switch.ofproto
        switch.send_msg(parser.OFPFlowMod(switch, command=protocol.OFPFC_DELETE, out_port=protocol.OFPP_ANY,
                                          out_group=protocol.OFPG_ANY))
        # Packets whose time is exceeded come too: the last of the reasons.
        reasons = (1 << protocol.OFPR_ACTION) | (1 << protocol.OFPR_NO_MATCH) | (1 << protocol.OFPR_INVALID_TTL)
        switch.send_msg(parser.OFPSetAsync(switch, [reasons, reasons], [7, 7], [15, 0]))
        to_controller = [parser.OFPActionOutput(protocol.OFPP_CONTROLLER, protocol.OFPCML_NO_BUFFER)]
        self.add_rule(switch, MISS, parser.OFPMatch(eth_type=0x0806), to_controller)
        for address in ADDRESSES.values():
            self.add_rule(switch, OWN, parser.OFPMatch(eth_type=0x0800, ipv4_dst=str(address.ip)), to_controller)
            network = (str(address.network.network_address), str(address.network.netmask))
            self.add_rule(switch, MISS, parser.OFPMatch(eth_type=0x0800, ipv4_dst=network), to_controller)
        switch.send_msg(parser.OFPBarrierRequest(switch))

    def add_rule(self, switch, priority, match, actions):
        parser, protocol = switch.ofproto_parser, switch.ofproto
        apply = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)
        switch.send_msg(parser.OFPFlowMod(switch, priority=priority, match=match, instructions=[apply]))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet(self, event):
        message = event.msg
        switch, port = message.datapath, message.match["in_port"]
        frame = packet.Packet(message.data)
        if port not in ADDRESSES:
            return
        question, datagram = frame.get_protocol(arp.arp), frame.get_protocol(ipv4.ipv4)
        if question:
            self.take_arp(switch, port, question)
        elif datagram and any(datagram.dst == str(address.ip) for address in ADDRESSES.values()):
            self.answer_ping(switch, port, frame)
        elif datagram and message.reason == switch.ofproto.OFPR_INVALID_TTL:
            self.say_exceeded(switch, port, frame, message.data)
        elif datagram:
            self.ask_for(switch, datagram.dst, message.data)

    def take_arp(self, switch, port, question):
        own = ADDRESSES[port]
        if question.dst_ip != str(own.ip):
            return
        if question.opcode == arp.ARP_REQUEST:
            self.send(switch, port, ethernet.ethernet(question.src_mac, self.mac(switch, port), 0x0806),
                      arp.arp_ip(arp.ARP_REPLY, self.mac(switch, port), str(own.ip), question.src_mac, question.src_ip))
        self.found_host(switch, port, question.src_ip, question.src_mac)

    def found_host(self, switch, port, address, mac):
        parser = switch.ofproto_parser
        actions = [parser.OFPActionDecNwTtl(), parser.OFPActionSetField(eth_src=self.mac(switch, port)),
                   parser.OFPActionSetField(eth_dst=mac), parser.OFPActionOutput(port)]
        self.add_rule(switch, HOST, parser.OFPMatch(eth_type=0x0800, ipv4_dst=address), actions)
        switch.send_msg(parser.OFPBarrierRequest(switch))
        for data in self.waiting.pop(address, []):
            switch.send_msg(parser.OFPPacketOut(switch, switch.ofproto.OFP_NO_BUFFER, switch.ofproto.OFPP_CONTROLLER,
                                                [parser.OFPActionOutput(switch.ofproto.OFPP_TABLE)], data))

    def ask_for(self, switch, address, data):
        for port, own in ADDRESSES.items():
            if ipaddress.ip_address(address) in own.network:
                self.waiting.setdefault(address, []).append(data)
                self.send(switch, port, ethernet.ethernet(BROADCAST, self.mac(switch, port), 0x0806),
                          arp.arp_ip(arp.ARP_REQUEST, self.mac(switch, port), str(own.ip), UNKNOWN, address))

    def answer_ping(self, switch, port, frame):
        link, datagram, echo = (frame.get_protocol(each) for each in (ethernet.ethernet, ipv4.ipv4, icmp.icmp))
        if not echo or echo.type != icmp.ICMP_ECHO_REQUEST:
            return
        self.send(switch, port, ethernet.ethernet(link.src, link.dst, 0x0800),
                  ipv4.ipv4(src=datagram.dst, dst=datagram.src, proto=1),
                  icmp.icmp(icmp.ICMP_ECHO_REPLY, 0, 0, echo.data))

    def say_exceeded(self, switch, port, frame, data):
        link, datagram = frame.get_protocol(ethernet.ethernet), frame.get_protocol(ipv4.ipv4)
        head = icmp.TimeExceeded(data=bytes(data[14:14 + 28]))
        self.send(switch, port, ethernet.ethernet(link.src, self.mac(switch, port), 0x0800),
                  ipv4.ipv4(src=str(ADDRESSES[port].ip), dst=datagram.src, proto=1),
                  icmp.icmp(icmp.ICMP_TIME_EXCEEDED, 0, 0, head))

    def mac(self, switch, port):
        return switch.ports[port].hw_addr

    def send(self, switch, port, *layers):
        frame = packet.Packet()
        for layer in layers:
            frame.add_protocol(layer)
        frame.serialize()
        parser, protocol = switch.ofproto_parser, switch.ofproto
        switch.send_msg(parser.OFPPacketOut(switch, protocol.OFP_NO_BUFFER, protocol.OFPP_CONTROLLER,
                                            [parser.OFPActionOutput(port)], bytes(frame.data)))
