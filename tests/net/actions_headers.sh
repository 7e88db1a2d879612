#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What actions make of headers, and matches that look deep into them: TTLs that run out, DSCPs that meters remark, label
# stacks, service instance tags, IPv6's extension headers, the stack.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch
bridge_of a b c

cases <<'PYTHON'
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from pipeline_cases import case, send, shunt

A, B = "02:00:00:00:aa:01", "02:00:00:00:00:02"
DATA = UDP(sport=1, dport=2) / Raw(bytes(range(40)))

def ethernet(payload, src=A, dst=B, **more):
    return Ether(src=src, dst=dst, **more) / payload

def tagged(frame):
    return ethernet(Dot1Q(vlan=10) / frame.payload)

def v4(ttl=64, tos=0):
    return ethernet(IP(src="10.0.0.1", dst="10.1.0.1", ttl=ttl, tos=tos) / DATA)

def v6(*extensions, hlim=64, tc=0, nh=None):
    packet = IPv6(src="fd00::1", dst="fd00::2", hlim=hlim, tc=tc)
    for header in extensions:
        packet /= header
    if nh is not None:  # nothing of UDP behind it
        packet.nh = nh
        return ethernet(packet)
    return ethernet(packet / DATA)

case("dec_ttl: a TTL that has run out goes nowhere, by the flow that forwards the others", """
cookie=1,in_port=a,actions=dec_ttl,output:b
cookie=2,in_port=b,ip,actions=output:c,dec_ttl,output:a
cookie=3,in_port=c,ip,actions=resubmit(,1),output:a
cookie=4,table=1,ip,actions=dec_ttl,output:b
""", [
    send("a", v4(ttl=64), {"b": [v4(ttl=63)]}, "kernel", [1]),
    send("a", v4(ttl=2), {"b": [v4(ttl=1)]}, "kernel", [1]),
    send("a", v4(ttl=1), {}, "ttl", [1]),
    send("a", v4(ttl=0), {}, "ttl", [1]),
    send("a", v6(hlim=2), {"b": [v6(hlim=1)]}, "kernel", [1]),
    send("a", v6(hlim=1), {}, "ttl", [1]),
    send("a", ethernet(Raw(bytes(50)), type=0x88b5), {"b": [ethernet(Raw(bytes(50)), type=0x88b5)]}, "kernel", [1]),
    send("b", v4(ttl=9), {"c": [v4(ttl=9)], "a": [v4(ttl=8)]}, "unsupported", [2]),
    send("b", v4(ttl=1), {"c": [v4(ttl=1)]}, "unsupported", [2]),  # what was sent before is sent
    send("c", v4(ttl=9), {"b": [v4(ttl=8)], "a": [v4(ttl=8)]}, "kernel", [3, 4]),
    send("c", v4(ttl=1), {"a": [v4(ttl=1)]}, "controller", [3, 4]),  # it ends its own list, and a controller hears of it
])

shunt("meter", "add", "br0", "meter=1,kbps,burst,bands=type=dscp_remark,rate=1,burst_size=1,prec_level=1")
shunt("meter", "add", "br0", "meter=2,kbps,burst,bands=type=dscp_remark,rate=1,burst_size=1,prec_level=2")
FULL = Raw(bytes(1486))  # 12 s of the rate: what follows is over it
case("dscp_remark: the drop precedence of assured forwarding rises, to 3; ECN and all else stay", """
priority=2,in_port=a,dl_type=0x88b5,actions=meter:1
priority=2,in_port=b,dl_type=0x88b5,actions=meter:2
cookie=1,priority=1,in_port=a,actions=meter:1,output:b
cookie=2,priority=1,in_port=b,actions=meter:2,output:c
""", [
    send("a", v4(tos=0x28), {"b": [v4(tos=0x30)]}, "kernel", [1]),  # AF11 -> AF12
    send("a", v4(tos=0x2b), {"b": [v4(tos=0x33)]}, "kernel", [1]),
    send("a", v4(tos=0x98), {"b": [v4(tos=0x98)]}, "kernel", [1]),  # AF43 stays
    send("a", v4(tos=0x03), {"b": [v4(tos=0x03)]}, "kernel", [1]),  # so do best effort
    send("a", v4(tos=0xb8), {"b": [v4(tos=0xb8)]}, "kernel", [1]),  # and expedited forwarding
    send("a", v6(tc=0x49), {"b": [v6(tc=0x51)]}, "kernel", [1]),  # AF21 -> AF22
    send("a", v6(tc=0x51), {"b": [v6(tc=0x59)]}, "kernel", [1]),
    send("a", tagged(v4(tos=0x28)), {"b": [tagged(v4(tos=0x30))]}, "kernel", [1]),
    send("b", v4(tos=0x6a), {"c": [v4(tos=0x7a)]}, "kernel", [2]),  # AF31 -> AF33
    send("b", v6(tc=0x70), {"c": [v6(tc=0x78)]}, "kernel", [2]),  # AF32: 3 is the highest
], before=[(port, ethernet(FULL, type=0x88b5)) for port in "ab"])

def labels(*entries, of=None):
    """Entries of (label, TC, TTL), the outer one first."""
    packet = ethernet(MPLS(label=entries[0][0], cos=entries[0][1], s=len(entries) == 1, ttl=entries[0][2]), type=0x8847)
    for i, (label, tc, ttl) in enumerate(entries[1:], 2):
        packet /= MPLS(label=label, cos=tc, s=i == len(entries), ttl=ttl)
    return packet / (of or v4(ttl=9)).payload

THREE = (300, 0, 9), (200, 5, 9), (100, 0, 9)
case("MPLS: three labels on and off", """
cookie=1,in_port=a,ip,actions=push_mpls:0x8847,set_field:100->mpls_label,push_mpls:0x8847,set_field:200->mpls_label,set_field:5->mpls_tc,push_mpls:0x8847,set_field:300->mpls_label,set_field:0->mpls_tc,output:b
cookie=2,in_port=b,priority=3,mpls,mpls_label=300,mpls_bos=0,actions=pop_mpls:0x8847,pop_mpls:0x8847,pop_mpls:0x0800,output:c
cookie=3,in_port=b,priority=2,mpls,mpls_label=301,actions=pop_mpls:0x8847,dec_mpls_ttl,output:c
cookie=4,in_port=c,mpls,actions=dec_mpls_ttl,output:a
""", [
    send("a", v4(ttl=9), {"b": [labels(*THREE)]}, "kernel", [1]),
    send("b", labels(*THREE), {"c": [v4(ttl=9)]}, "kernel", [2]),
    send("b", labels((301, 1, 2), (200, 5, 4), (100, 0, 9)), {"c": [labels((200, 5, 3), (100, 0, 9))]}, "unsupported", [3]),
    send("c", labels((16, 7, 2), (17, 0, 1)), {"a": [labels((16, 7, 1), (17, 0, 1))]}, "kernel", [4]),
    send("c", labels((16, 7, 1), (17, 0, 9)), {}, "ttl", [4]),
])

def service(isid, frame, **outer):
    """802.1ah: a backbone's Ethernet header and the service instance tag in front."""
    return Ether(**{"src": A, "dst": B} | outer, type=0x88e7) / Raw(isid.to_bytes(4, "big")) / Raw(bytes(frame))

case("PBB: a service instance tag on, matched, and off", """
cookie=1,in_port=a,actions=push_pbb:0x88e7,set_field:500->pbb_isid,mod_dl_dst:02:00:00:00:bb:01,output:b
cookie=2,in_port=b,priority=2,pbb,pbb_isid=500,actions=pop_pbb,output:c
cookie=3,in_port=b,priority=1,pbb,pbb_isid=0x100/0xfff100,actions=output:a
""", [
    send("a", v4(), {"b": [service(500, v4(), dst="02:00:00:00:bb:01")]}, "unsupported", [1]),
    send("a", tagged(v4()), {"b": [service(500, tagged(v4()), dst="02:00:00:00:bb:01")]}, "unsupported", [1]),
    send("b", service(500, v4(), dst="02:00:00:00:bb:01"), {"c": [v4()]}, "unsupported", [2]),
    send("b", service(501, v4()), {"a": [service(501, v4())]}, "kernel", [3]),
])

PAD = PadN(optdata=bytes(4))
HOP, DEST, FRAG = IPv6ExtHdrHopByHop(options=PAD), IPv6ExtHdrDestOpt(options=PAD), IPv6ExtHdrFragment(m=0, offset=0)
SIGNED = AH(nh=17, payloadlen=4, icv=bytes(12))
ROUTER = IPv6ExtHdrRouting(addresses=["fd00::9"])
IN_ORDER, REPEATED, OTHERWISE = v6(HOP, ROUTER, FRAG), v6(DEST, DEST, DEST), v6(DEST, HOP)
case("ipv6_exthdr: which headers there are, whether in order and once", """
cookie=1,priority=9,ipv6,ipv6_exthdr=+unseq,actions=mod_nw_tos:4,output:b
cookie=2,priority=8,ipv6,ipv6_exthdr=+unrep,actions=mod_nw_tos:8,output:b
cookie=3,priority=7,ipv6,ipv6_exthdr=hop|router|frag,actions=mod_nw_tos:12,output:b
cookie=4,priority=6,ipv6,ipv6_exthdr=+hop-dest,actions=mod_nw_tos:16,output:b
cookie=5,priority=5,ipv6,ipv6_exthdr=+nonext,actions=mod_nw_tos:20,output:b
cookie=6,priority=4,ipv6,ipv6_exthdr=+auth-esp,actions=mod_nw_tos:24,output:b
cookie=7,priority=3,ipv6,ipv6_exthdr=+esp,actions=mod_nw_tos:28,output:b
cookie=8,priority=2,ipv6,ipv6_exthdr=+dest,actions=mod_nw_tos:32,output:b
cookie=9,priority=1,ipv6,ipv6_exthdr=0,actions=output:c
""", [
    send("a", OTHERWISE, {"b": [v6(DEST, HOP, tc=4)]}, "kernel", [1]),
    send("a", REPEATED, {"b": [v6(DEST, DEST, DEST, tc=8)]}, "kernel", [2]),
    send("a", IN_ORDER, {"b": [v6(HOP, ROUTER, FRAG, tc=12)]}, "kernel", [3]),
    send("a", v6(HOP), {"b": [v6(HOP, tc=16)]}, "kernel", [4]),
    send("a", v6(nh=59), {"b": [v6(nh=59, tc=20)]}, "kernel", [5]),
    send("a", v6(SIGNED), {"b": [v6(SIGNED, tc=24)]}, "kernel", [6]),
    send("a", v6(ESP(data=bytes(40)), nh=50), {"b": [v6(ESP(data=bytes(40)), nh=50, tc=28)]}, "kernel", [7]),
    send("a", v6(DEST), {"b": [v6(DEST, tc=32)]}, "kernel", [8]),
    send("a", v6(), {"c": [v6()]}, "kernel", [9]),
])

case("the stack: what is pushed comes back in turn, over tables; a clone's is its own", """
cookie=1,in_port=a,actions=push:eth_src,push:eth_dst,pop:eth_src,pop:eth_dst,IN_PORT
cookie=2,in_port=b,ip,actions=load:0xb8->reg1[0..7],push:reg1[2..7],load:0->reg1[],clone(pop:reg2[0..5]),resubmit(,1)
cookie=3,table=1,ip,actions=pop:OXM_OF_IP_DSCP[],push:reg2[0..5],output:c
cookie=4,in_port=c,actions=pop:reg0[],output:a
""", [
    send("a", v4(), {"a": [ethernet(v4().payload, src=B, dst=A)]}, "kernel", [1]),
    send("b", v4(tos=1), {"c": [v4(tos=0xb9)]}, "kernel", [2, 3]),
    send("c", v4(), {"a": [v4()]}, "kernel", [4]),  # an empty stack: the register stays
])
PYTHON

note "each packet whose TTL ran out and that went nowhere is counted"
equal "drops by port" "[('a', 12), ('c', 4)]" \
  "$(json 'sorted((r["port"], r["packets"]) for r in d["drops"] if r["reason"] == "ttl-expired")' drops br0)"
