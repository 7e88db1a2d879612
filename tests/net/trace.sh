#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A trace tells what the datapath does: its actions, and where they run, are those of the flow that a real packet of the same
# fields has made; cache why names the rules; and for a drop the rule that nearly let it pass.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch
bridge_of a b c
FIELDS=dl_src=02:00:00:00:aa:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1024,tp_dst=9
PACKET="in_port=a,udp,$FIELDS"

# compare WHAT RULES: both must say the same of the same packet.
compare() {
  local what=$1 traced cached
  shunt flow replace br0 --file -
  shunt cache flush
  send a --dst 02:00:00:00:00:02 --src-ip 10.0.0.1 --dst-ip 10.0.0.2 --count 3 --rate 50 >/dev/null
  traced=$(json '(d["actions"], d["where"], d["reason"])' trace br0 "$PACKET")
  is_cached() { shunt cache why "$PACKET" >/dev/null; }
  wait_until 5 "the flow is cached ($what)" is_cached
  cached=$(json '(d["cached"]["actions"], d["cached"]["where"], d["cached"]["reason"])' cache why "$PACKET")
  equal "$what: trace and cached flow" "$traced" "$cached"
  printf '   %s: %s\n' "$what" "$traced"
}

compare "output" <<<'actions=output:b'
compare "edits" <<<'udp,actions=dec_ttl,mod_nw_dst:10.9.9.9,mod_tp_dst:99,mod_dl_src:02:00:00:00:00:77,output:b'
compare "VLAN push" <<<'udp,actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:b'
compare "MPLS push" <<<'udp,actions=push_mpls:0x8847,set_field:100->mpls_label,output:b'
compare "several outputs" <<<'actions=output:b,output:c'
compare "different bytes" <<<'udp,actions=output:c,mod_nw_tos:32,output:b'
compare "flood" <<<'actions=flood'
compare "normal" <<<'actions=normal'
compare "drop" <<<'udp,actions=drop'
compare "controller" <<<'udp,actions=output:b,controller'
shunt group add br0 'group_id=1,type=select,bucket=weight:1,actions=output:b,bucket=weight:1,actions=output:c'
compare "select group" <<<'actions=group:1'
shunt meter add br0 'meter=1,pktps,bands=type=drop,rate=100000'
compare "meter" <<<'actions=meter:1,output:b'
compare "tables" <<'RULES'
table=0,udp,cookie=0x1,actions=load:7->NXM_NX_REG3[],resubmit(,2)
table=2,reg3=7,cookie=0x2,actions=mod_nw_ttl:9,goto_table:3
table=3,nw_ttl=9,ip,cookie=0x3,actions=output:b
RULES

note "what a trace shows"
shunt trace br0 "$PACKET" >"$RUNDIR/trace"
for part in '^flow: udp,' '^table 0$' 'cookie=0x1' 'reg3 0 -> 0x7|reg3 0x0 -> 0x7' 'nw_ttl 64 -> 9' 'cookie=0x3' '^mask: in_port' \
  '^datapath actions: ' '^served by: kernel$'; do
  grep -qE -- "$part" "$RUNDIR/trace" || fail "trace does not show '$part': $(cat "$RUNDIR/trace")"
done

note "the rules that made a cached flow, by its fields and by its line"
equal "cookies" "['0x1', '0x2', '0x3']" "$(json '[r["cookie"] for r in d["trace"]["rules"]]' cache why "$PACKET")"
shunt cache list >"$RUNDIR/text"
line=$(grep -m 1 'in_port(a)' "$RUNDIR/text")
equal "cookies by the line of cache list" "['0x1', '0x2', '0x3']" \
  "$(json '[r["cookie"] for r in d["trace"]["rules"]]' cache why "$line")"
shunt cache why "$PACKET" >"$RUNDIR/text"
grep -q '^made by: table=3, cookie=0x3' "$RUNDIR/text" || fail "cache why shows no rules"
refused 1 'no cached flow' shunt cache why 'in_port=c,arp,arp_tpa=10.7.7.7,dl_src=02:00:00:00:00:55'

note "a drop: why, and the rule that nearly let it pass"
shunt flow replace br0 --file - <<'RULES'
priority=100,udp,nw_dst=10.0.1.0/24,tp_dst=9,actions=output:b
priority=90,udp,nw_dst=10.0.2.0/24,tp_dst=7,actions=output:b
priority=80,udp,nw_src=10.0.0.1,actions=drop
priority=0,actions=output:c
RULES
equal "why" "rule" "$(json 'd["drop"]["reason"]' trace br0 "$PACKET")"
equal "the nearest rule" "100 ['nw_dst is 10.0.0.2, the rule wants 10.0.1.0/24']" \
  "$(json 'str(d["nearest"]["priority"]) + " " + str(d["nearest"]["differences"])' trace br0 "$PACKET")"
shunt trace br0 "$PACKET" >"$RUNDIR/text"
grep -q 'the rule wants 10.0.1.0/24' "$RUNDIR/text" || fail "trace shows no nearest rule"

note "a trace changes nothing"
before=$(json '[r["packets"] for r in d["rules"]]' flow list br0)
equal "MACs" 0 "$(json 'sum(m["mac"] == "02:00:00:00:bb:01" for m in d["macs"])' fdb list br0)"
shunt flow add br0 'priority=200,dl_src=02:00:00:00:bb:01,actions=normal'
shunt trace br0 'in_port=a,dl_src=02:00:00:00:bb:01,dl_dst=02:00:00:00:00:03' >"$RUNDIR/text"
grep -q 'learns 02:00:00:00:bb:01' "$RUNDIR/text" ||
  fail "trace does not say what normal learns"
equal "MACs after the trace" 0 "$(json 'sum(m["mac"] == "02:00:00:00:bb:01" for m in d["macs"])' fdb list br0)"
equal "packets after traces" "$before" "$(json '[r["packets"] for r in d["rules"] if r["priority"] != 200]' flow list br0)"

note "frames of a capture"
python3 - "$RUNDIR/frames.pcap" <<'PYTHON'
import struct, sys

def frame(dport):
    udp = struct.pack("!HHHH", 1024, dport, 8, 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 1, 5]))
    return bytes.fromhex("0200000000020200000000010800") + ip + udp

with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for dport in (9, 10):
        out.write(struct.pack("<IIII", 0, 0, len(frame(dport)), len(frame(dport))) + frame(dport))
PYTHON
equal "what becomes of the frames" "['b', 'drop(rule)']" \
  "$(json '[t["actions"] for t in d]' trace br0 --pcap "$RUNDIR/frames.pcap" --in-port a)"
refused 1 'no port|nosuch' shunt trace br0 --pcap "$RUNDIR/frames.pcap" --in-port nosuch
refused 1 'OFPBMC_BAD_MASK' shunt trace br0 'in_port=a,ip,nw_dst=10.0.0.0/8'
