#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What controller actions send: reason, table, cookie, port, length, userdata and the packet's bytes; for a rule, a table miss,
# a TTL that runs out. The packets that go on are not held up.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b; do add_guest "$name"; done
start_switch
bridge_of a b
UDP=(--dst 02:00:00:00:00:02 --src-ip 10.0.0.1 --dst-ip 10.0.0.2)
waiting=$RUNDIR/packets
taken() { # COUNT: so many have come; their JSON is in $waiting (asking takes them, so they are gathered)
  json 'd["packets"]' packet-in br0 >"$waiting.new" || return 1
  python3 - "$waiting" "$waiting.new" "$1" <<'PYTHON'
import ast, json, os, sys
old = json.load(open(sys.argv[1])) if os.path.exists(sys.argv[1]) else []
old += ast.literal_eval(open(sys.argv[2]).read())
json.dump(old, open(sys.argv[1], "w"))
sys.exit(len(old) < int(sys.argv[3]))
PYTHON
}
sent_up() { # COUNT EXPRESSION
  rm -f "$waiting"
  wait_until 5 "$1 packet-ins" taken "$1"
  python3 -c "import json
d = json.load(open('$waiting'))
print($2)"
}

note "a rule with controller and output: each packet goes up, and out"
shunt flow replace br0 --file - <<'RULES'
table=0,udp,cookie=0x5,actions=load:0x1234->NXM_NX_REG2[],resubmit(,6)
table=6,udp,cookie=0x66,actions=controller(max_len=32,userdata=ca.fe,id=7),output:b
RULES
listen b b
send a "${UDP[@]}" --count 10 --rate 100 >/dev/null
heard b
equal "frames that b hears" 10 "$(result b 'd["frames"]')"
equal "what the controller gets" "{('action', 6, '0x66', 'a', 'cafe', 7, 32, '0x1234')}" \
  "$(sent_up 10 '{(p["reason"], p["table"], p["cookie"], p["in_port"], p["userdata"], p["controller_id"], len(p["frame"]) // 2, p["fields"]["reg2"]) for p in d}')"
equal "packet-ins left" 0 "$(json 'len(d["packets"])' packet-in br0)"
equal "where such packets are served" "{('userspace', 'controller')}" \
  "$(json '{(f["where"], f["reason"]) for f in d["flows"] if f["packets"] or f["where"] == "userspace"}' cache list)"

note "shown as text: a line each, with the first bytes"
send a "${UDP[@]}" --count 1 >/dev/null
a_line() { shunt packet-in br0 >"$RUNDIR/text" && [ -s "$RUNDIR/text" ]; }
wait_until 5 "a packet-in" a_line
grep -q 'reason=action, table=6, cookie=0x66, in_port=a, .*userdata=cafe.*data=020000000002' "$RUNDIR/text" ||
  fail "packet-in shows: $(cat "$RUNDIR/text")"

note "a table's miss (that of goto_table: as in Open vSwitch, a resubmit that finds nothing is no miss)"
shunt flow replace br0 --file - <<'RULES'
table=0,priority=1,udp,actions=goto_table:8
RULES
shunt table set br0 8 --miss controller
send a "${UDP[@]}" --count 3 --rate 100 >/dev/null
equal "misses" "{('no_match', 8, None)}" "$(sent_up 3 '{(p["reason"], p["table"], p["cookie"]) for p in d}')"
shunt table set br0 8 --miss drop
send a "${UDP[@]}" --count 3 --rate 100 >/dev/null
sleep 0.3
equal "misses of a table that drops" 0 "$(json 'len(d["packets"])' packet-in br0)"

note "a TTL that runs out, where nothing is sent behind it: the kernel drops what has TTL left; who hears of it is the"
note "controller of the decrement that found it so"
shunt flow replace br0 --file - <<'RULES'
table=0,priority=2,udp,tp_dst=9,cookie=0x77,actions=mod_nw_ttl:2,dec_ttl(9),dec_ttl(3)
table=0,priority=1,udp,cookie=0x78,actions=dec_ttl
RULES
send a "${UDP[@]}" --dport 9 --count 10 --rate 100 >/dev/null
send a "${UDP[@]}" --dport 10 --count 3 --rate 100 >/dev/null
equal "expired" "{('invalid_ttl', '0x77', 3)}" \
  "$(sent_up 10 '{(p["reason"], p["cookie"], p["controller_id"]) for p in d}')"
equal "of the others" 0 "$(json 'len(d["packets"])' packet-in br0)"

note "the last 256 wait; what was lost is counted"
shunt flow replace br0 'udp,actions=controller'
send a "${UDP[@]}" --count 300 --rate 500 >/dev/null
all_counted() { [ "$(json 'd["packet_ins_lost"] + d["events_lost"]' cache stats)" -ge 44 ]; }
wait_until 5 "300 packet-ins are there or counted as lost" all_counted
equal "packet-ins that waited" 256 "$(json 'len(d["packets"])' packet-in br0)"
