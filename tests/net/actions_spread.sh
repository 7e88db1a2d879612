#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Actions that choose: multipath, bundle and bundle_load spread flows over links, the same in the kernel and in userspace, and
# leave out ports that are down; learn says by result_dst whether its limit left room.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c d; do add_guest "$name"; done
start_switch
bridge_of a b c d
cat >"$RUNDIR/flows.py" <<'PYTHON'
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

def frame(n=0, kind=UDP, src="10.0.0.1", dst="10.0.0.2", mac="02:00:00:00:aa:01", tos=0):
    ethernet = Ether(src=mac, dst="02:00:00:00:00:02")
    return ethernet / IP(src=src, dst=dst, tos=tos) / kind(sport=1000 + n, dport=80) / Raw(bytes(30))
PYTHON

cases <<'PYTHON'
from flows import TCP, frame
from pipeline_cases import case, send, spread

BY_PORT = [frame(n) for n in range(9)]
BY_ADDRESS = [frame(src=f"10.0.1.{n}") for n in range(9)]
BY_MAC = [frame(mac=f"02:00:00:00:aa:{n:02x}") for n in range(9)]

MULTIPATH = """
table=0,actions=multipath({fields},50,{algorithm},3,0,reg1[4..5]),resubmit(,1)
table=1,reg1=0,actions=output:b
table=1,reg1=0x10,actions=output:c
table=1,reg1=0x20,actions=output:d
"""
def multipath(what, fields, algorithm, flows, together=False):
    rules = MULTIPATH.format(fields=fields, algorithm=algorithm)
    spread(f"multipath({fields}) by {algorithm}: {what}", rules, "a", flows, "bcd", "kernel", together)

for algorithm in "modulo_n", "hash_threshold", "hrw", "iter_hash":
    multipath("over all links", "symmetric_l3l4+udp", algorithm, BY_PORT)
multipath("over all links", "nw_src", "hrw", BY_ADDRESS)
multipath("over all links", "eth_src", "hrw", BY_MAC)
multipath("ports do not matter", "nw_src", "hrw", BY_PORT, together=True)
multipath("nor do those of UDP here", "symmetric_l4", "hrw", BY_PORT, together=True)
multipath("but those of TCP", "symmetric_l4", "hrw", [frame(n, TCP) for n in range(9)])

spread("bundle by hrw", "actions=bundle(symmetric_l3l4+udp,0,hrw,ofport,members:b,c,d)", "a", BY_PORT, "bcd", "kernel")
spread("bundle_load by hrw", """
table=0,actions=bundle_load(eth_src,7,hrw,ofport,reg0[8..23],members:c,d),resubmit(,1)
table=1,reg0=0x300,actions=output:c
table=1,reg0=0x400,actions=output:d
""", "a", BY_MAC, "cd", "kernel")


case("bundle and bundle_load by active_backup: the first member", """
cookie=1,in_port=a,actions=bundle(eth_src,0,active_backup,ofport,members:b,c)
cookie=2,in_port=d,actions=bundle_load(eth_src,0,active_backup,ofport,reg0[0..15],members:b,c),mod_nw_tos:4,output:reg0[0..15]
""", [
    send("a", frame(), {"b": [frame()]}, "kernel", [1]),
    send("d", frame(), {"b": [frame(tos=4)]}, "kernel", [2]),
])

LEARN = """
cookie=1,table=0,udp,actions=learn(table=9,limit=2,hard_timeout=300,fin_idle_timeout=5,eth_type=0x800,nw_proto=17,NXM_OF_UDP_SRC[],load:5->reg7[8..15],result_dst=reg0[0]),resubmit(,1)
cookie=2,table=1,reg0=1/1,actions=output:b
cookie=3,table=1,reg0=0/1,actions=output:c
"""
case("learn with limit and result_dst: there is room for two, and for what is learned again", LEARN, [
    send("a", frame(0), {"b": [frame(0)]}, "packet", [1, 2]),
    send("a", frame(1), {"b": [frame(1)]}, "packet", [1, 2]),
    send("a", frame(2), {"c": [frame(2)]}, "packet", [1, 3]),
    send("a", frame(1), {"b": [frame(1)]}, "packet", [1, 2]),
    send("a", frame(2), {"c": [frame(2)]}, "packet", [1, 3]),
])
PYTHON
equal "what was learned" "['udp,tp_src=1000', 'udp,tp_src=1001'] {'fin_timeout(idle_timeout=5),set_field:0x500/0xff00->reg7'}" \
  "$(json 'str(sorted(r["match"] for r in d["rules"])) + " " + str({r["actions"] for r in d["rules"]})' flow list br0 table=9)"

note "a member goes down"
guest b ip link set dev eth0 down
b_is_down() { [ "$(json "[p['state'] for p in d['ports'] if p['name'] == 'b']" port list br0)" = "['down']" ]; }
wait_until 5 "b is down" b_is_down
cases a c d <<'PYTHON'
from flows import frame
from pipeline_cases import case, send, spread

spread("bundle by hrw: over the members that are up", "actions=bundle(symmetric_l3l4+udp,0,hrw,ofport,members:b,c,d)", "a",
       [frame(n) for n in range(9)], "cd", "kernel")
case("active_backup: the first member that is up; none is", """
cookie=1,in_port=a,actions=bundle(eth_src,0,active_backup,ofport,members:b,c)
cookie=2,in_port=d,actions=bundle_load(eth_src,0,active_backup,ofport,reg0[0..15],members:b),resubmit(,1)
cookie=3,table=1,reg0=0xffff,actions=mod_nw_tos:4,output:c
""", [
    send("a", frame(), {"c": [frame()]}, "kernel", [1]),
    send("d", frame(), {"c": [frame(tos=4)]}, "kernel", [2, 3]),
])
PYTHON
