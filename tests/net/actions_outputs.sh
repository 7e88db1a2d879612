#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where actions and matches of the pipeline send packets, in the kernel and in userspace: conjunctions, action sets and
# matches on their output, clones, exit, outputs by register, cut outputs, queues, samples, lengths, notes.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c d; do add_guest "$name"; done
start_switch
bridge_of a b c d

cases <<'PYTHON'
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from pipeline_cases import case, send

def ip(**fields):
    return Ether(src="02:00:00:00:aa:01", dst="02:00:00:00:00:02") / IP(**{"src": "10.0.0.1", "dst": "10.1.0.1"} | fields)

def udp(size=80, dport=2, **fields):
    return ip(**fields) / UDP(sport=1, dport=dport) / Raw(bytes(size - 42))

def tcp():
    return ip() / TCP(sport=1, dport=2) / Raw(bytes(20))

def icmp():
    return ip() / ICMP() / Raw(bytes(20))

def tagged(vid, frame):
    return Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=vid) / frame.payload

CONJUNCTION = """
cookie=1,priority=100,ip,nw_src=10.0.0.1,actions=conjunction(7,1/2)
cookie=2,priority=100,ip,nw_src=10.0.0.2,actions=conjunction(7,1/2),conjunction(8,1/2)
cookie=3,priority=100,ip,nw_dst=10.1.0.0/16,actions=conjunction(7,2/2)
cookie=4,priority=100,udp,tp_dst=2,nw_dst=10.2.0.0/16,actions=conjunction(8,2/2),note:01.02.03
cookie=5,conj_id=7,ip,actions=output:b
cookie=6,conj_id=8,ip,actions=mod_nw_tos:32,output:c
cookie=7,priority=1,actions=output:d
"""
case("conjunction: a packet that meets both clauses, one of them, none", CONJUNCTION, [
    send("a", udp(), {"b": [udp()]}, "kernel", [5]),
    send("a", udp(src="10.0.0.2"), {"b": [udp(src="10.0.0.2")]}, "kernel", [5]),
    send("a", udp(src="10.0.0.2", dst="10.2.0.1"), {"c": [udp(src="10.0.0.2", dst="10.2.0.1", tos=32)]}, "kernel", [6]),
    send("a", udp(src="10.0.0.1", dst="10.2.0.1"), {"d": [udp(src="10.0.0.1", dst="10.2.0.1")]}, "kernel", [7]),
    send("a", udp(src="10.0.0.9"), {"d": [udp(src="10.0.0.9")]}, "kernel", [7]),
    send("a", udp(src="10.0.0.2", dst="10.9.0.1"), {"d": [udp(src="10.0.0.2", dst="10.9.0.1")]}, "kernel", [7]),
])

case("actset_output: what the set holds when a table is entered", """
cookie=1,table=0,udp,actions=write_actions(output:b),goto_table:1
cookie=2,table=0,tcp,actions=goto_table:1
cookie=3,table=0,icmp,actions=write_actions(output:c),goto_table:2
cookie=4,table=1,actset_output=b,actions=output:d
cookie=5,table=1,actset_output=unset,actions=output:c
cookie=6,table=2,actset_output=c,actions=clear_actions,goto_table:3
cookie=7,table=3,priority=2,actset_output=c,actions=output:b
cookie=8,table=3,priority=1,actions=output:d
""", [
    send("a", udp(), {"d": [udp()], "b": [udp()]}, "kernel", [1, 4]),
    send("a", tcp(), {"c": [tcp()]}, "kernel", [2, 5]),
    send("a", icmp(), {"d": [icmp()]}, "kernel", [3, 6, 8]),
])

CLONED = udp(tos=32)
case("clone: what it edits, keeps in registers and writes into the action set is its own", """
cookie=1,in_port=a,actions=clone(mod_nw_tos:32,output:b),output:c
cookie=2,in_port=b,actions=clone(mod_nw_tos:32,output:c)
cookie=3,in_port=c,actions=clone(load:1->reg0[],resubmit(,1)),resubmit(,1)
cookie=4,in_port=d,actions=clone(resubmit(,2)),output:c
cookie=5,table=1,priority=2,reg0=1,actions=output:a
cookie=6,table=1,priority=1,actions=output:b
cookie=7,table=2,actions=write_actions(mod_nw_tos:32,output:a)
""", [
    send("a", udp(), {"b": [CLONED], "c": [udp()]}, "unsupported", [1]),
    send("b", udp(), {"c": [CLONED]}, "kernel", [2]),
    send("c", udp(), {"a": [udp()], "b": [udp()]}, "kernel", [3, 5, 6]),
    send("d", udp(), {"a": [CLONED], "c": [udp()]}, "unsupported", [4, 7]),
])

DEEP = 40
NESTED = [f"cookie={n + 1},table={n},ip,actions=clone(mod_nw_tos:{4 * n + 4},resubmit(,{n + 1})),output:b" for n in range(DEEP)]
case(f"clone: {DEEP} within one another", "\n".join([*NESTED, f"cookie={DEEP + 1},table={DEEP},actions=output:b"]), [
    send("a", udp(), {"b": [udp(tos=4 * n) for n in range(DEEP + 1)]}, "unsupported", range(1, DEEP + 2)),
])

case("exit: ends the lists around it too, and not the action set", """
cookie=1,in_port=a,actions=resubmit(,1),output:d
cookie=2,in_port=b,actions=write_actions(output:c),goto_table:1
cookie=3,in_port=c,actions=output:b,exit,output:d
cookie=4,table=1,actions=output:b,exit,output:d
""", [
    send("a", udp(), {"b": [udp()]}, "kernel", [1, 4]),
    send("b", udp(), {"c": [udp()]}, "kernel", [2, 4]),  # b: not back where it came from
    send("c", udp(), {"b": [udp()]}, "kernel", [3]),
])

case("output by field: a register, bits of the packet, no such port, the port it came from", """
cookie=1,in_port=a,actions=load:2->reg3[8..23],output:reg3[8..23]
cookie=2,in_port=b,udp,actions=output:NXM_OF_UDP_DST[]
cookie=3,in_port=c,actions=load:77->reg0[],output:reg0[]
cookie=4,in_port=d,actions=move:NXM_OF_IN_PORT[]->reg0[0..15],output:reg0[]
""", [
    send("a", udp(), {"b": [udp()]}, "kernel", [1]),
    send("b", udp(dport=3), {"c": [udp(dport=3)]}, "kernel", [2]),
    send("b", udp(dport=4), {"d": [udp(dport=4)]}, "kernel", [2]),
    send("c", udp(), {}, "kernel", [3]),
    send("d", udp(), {}, "kernel", [4]),
])

def cut(frame, length):
    return Raw(bytes(frame)[:length])

case("max_len: the first bytes, for that output alone; a frame goes out with 60 at least", """
cookie=1,in_port=a,actions=output(port=b,max_len=64)
cookie=2,in_port=b,actions=output(port=c,max_len=64),output:d
cookie=3,in_port=c,actions=output(port=d,max_len=14)
cookie=4,in_port=d,actions=push_vlan:0x8100,mod_vlan_vid:10,output(port=a,max_len=70)
""", [
    send("a", udp(size=200), {"b": [cut(udp(size=200), 64)]}, "kernel", [1]),
    send("a", udp(size=63), {"b": [udp(size=63)]}, "kernel", [1]),
    send("b", udp(size=200), {"c": [cut(udp(size=200), 64)], "d": [udp(size=200)]}, "unsupported", [2]),
    send("c", udp(size=200), {"d": [cut(udp(size=200), 14)]}, "kernel", [3]),
    send("d", udp(size=200), {"a": [cut(tagged(10, udp(size=200)), 70)]}, "kernel", [4]),
])

case("set_queue, enqueue, pop_queue, note, sample: the packet goes its way", """
cookie=1,in_port=a,actions=set_queue:3,output:b,pop_queue,output:c
cookie=2,in_port=b,actions=enqueue:c:1
cookie=3,in_port=c,actions=note:de.ad.be.ef,output:d,note:00
cookie=4,in_port=d,actions=sample(probability=65535,collector_set_id=1,obs_domain_id=2,obs_point_id=3),mod_nw_tos:32,output:a
""", [
    send("a", udp(), {"b": [udp()], "c": [udp()]}, "kernel", [1]),
    send("b", udp(), {"c": [udp()]}, "kernel", [2]),
    send("c", udp(), {"d": [udp()]}, "kernel", [3]),
    send("d", udp(), {"a": [udp(tos=32)]}, "sample", [4]),
])

case("check_pkt_larger: of what is sent, tags that were pushed included", """
cookie=1,in_port=a,actions=check_pkt_larger(100)->reg0[5],resubmit(,1)
cookie=2,in_port=b,actions=push_vlan:0x8100,mod_vlan_vid:10,check_pkt_larger(100)->reg0[5],resubmit(,1)
cookie=3,table=1,reg0=0x20/0x20,actions=output:c
cookie=4,table=1,reg0=0/0x20,actions=output:d
""", [
    send("a", udp(size=100), {"d": [udp(size=100)]}, "packet", [1, 4]),
    send("a", udp(size=101), {"c": [udp(size=101)]}, "packet", [1, 3]),
    send("b", udp(size=96), {"d": [tagged(10, udp(size=96))]}, "packet", [2, 4]),
    send("b", udp(size=97), {"c": [tagged(10, udp(size=97))]}, "packet", [2, 3]),
])
PYTHON
