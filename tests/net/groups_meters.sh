#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Groups and meters over real traffic: who gets what, what counted it, failover without a controller, loops refused; a meter
# lets its rate through and counts the rest.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c d; do add_guest "$name"; done
start_switch
bridge_of a b c d

UDP=(--dst 02:00:00:00:00:02 --src-ip 10.0.0.1 --dst-ip 10.0.0.2)
burst() { # COUNT OPTION…
  local count=$1 name
  shift
  for name in b c d; do listen "$name" "$name"; done
  send a "${UDP[@]}" --count "$count" "$@" >/dev/null
  heard b c d
}
frames() { result "$1" 'd["frames"]'; }
hears() { equal "frames that $1 hears ($3)" "$2" "$(frames "$1")"; }
bucket_packets() { json "[b['packets'] for g in d['groups'] if g['id'] == $1 for b in g['buckets']]" group list br0; }
group_packets() { json "[g['packets'] for g in d['groups'] if g['id'] == $1]" group list br0; }

note "all: a copy for each bucket, with its own edits"
shunt group add br0 'group_id=1,type=all,bucket=actions=output:b,bucket=actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:c'
shunt flow replace br0 --file - <<'RULES'
priority=10,in_port=a,udp,actions=group:1
priority=0,actions=drop
RULES
burst 25 --rate 500
hears b 25 "group of type all"
equal "tags that b and c see" "{'': 25} {'10@0x8100': 25}" "$(result b 'd["tags"]') $(result c 'd["tags"]')"
equal "packets of the group" "[25]" "$(group_packets 1)"
equal "packets of its buckets" "[25, 25]" "$(bucket_packets 1)"
shunt group stats br0 1 >"$RUNDIR/text"
grep -q 'packet_count=25' "$RUNDIR/text" || fail "group stats shows no packets"

note "indirect, changed under the rule that names it"
shunt group add br0 'group_id=2,type=indirect,bucket=actions=output:b'
shunt flow replace br0 --file - <<'RULES'
priority=10,in_port=a,udp,actions=group:2
RULES
burst 10 --rate 500
hears b 10 "indirect"
shunt group mod br0 'group_id=2,type=indirect,bucket=actions=output:d'
burst 10 --rate 500
hears b 0 "indirect, changed"
hears d 10 "indirect, changed"

note "select: weights, and each flow keeps its bucket"
shunt group add br0 'group_id=3,type=select,bucket=bucket_id:1,weight:1,actions=output:b,bucket=bucket_id:2,weight:3,actions=output:c'
shunt flow replace br0 --file - <<'RULES'
priority=10,in_port=a,udp,actions=group:3
RULES
burst 4000 --flows 2000 --rate 8000
equal "frames that came out" 4000 "$(($(frames b) + $(frames c)))"
at_least "frames by weight 1 of 4 (of 2000 flows)" 840 "$(frames b)"
at_most "frames by weight 1 of 4 (of 2000 flows)" 1160 "$(frames b)"
equal "buckets counted what came out" "[$(frames b), $(frames c)]" "$(bucket_packets 3)"
equal "frames out of order within a flow" "0 0" "$(result b 'd["missing"]') $(result c 'd["missing"]')"

note "buckets come and go"
shunt group insert-bucket br0 'group_id=3,command_bucket_id=last,bucket=bucket_id:3,weight:100,actions=output:d'
burst 200 --flows 200 --rate 4000
at_least "frames by the new, heavy bucket" 150 "$(frames d)"
shunt group remove-bucket br0 'group_id=3,command_bucket_id=3'
equal "buckets" "[1, 2]" "$(json '[b["id"] for g in d["groups"] if g["id"] == 3 for b in g["buckets"]]' group list br0)"
burst 50 --flows 50 --rate 4000
hears d 0 "its bucket is gone"

note "fast failover follows the port, at once"
shunt group add br0 'group_id=4,type=ff,bucket=watch_port:b,actions=output:b,bucket=watch_port:c,actions=output:c'
shunt flow replace br0 --file - <<'RULES'
priority=10,in_port=a,udp,actions=group:4
RULES
burst 20 --rate 500
hears b 20 "both are up"
hears c 0 "both are up"
guest b ip link set dev eth0 down
b_is_down() { [ "$(json "[p['state'] for p in d['ports'] if p['name'] == 'b']" port list br0)" = "['down']" ]; }
wait_until 5 "b is down" b_is_down
listen c c
send a "${UDP[@]}" --count 20 --rate 500 >/dev/null
heard c
hears c 20 "b is down"
guest b ip link set dev eth0 up
b_is_up() { [ "$(json "[p['state'] for p in d['ports'] if p['name'] == 'b']" port list br0)" = "['up']" ]; }
wait_until 5 "b is up again" b_is_up
burst 20 --rate 500
hears b 20 "b is back"

note "what is refused leaves all as it was"
before=$(shunt group list br0)
refused 1 'OFPET_GROUP_MOD_FAILED/OFPGMFC_GROUP_EXISTS' shunt group add br0 'group_id=4,type=all,bucket=actions=output:b'
refused 1 'OFPET_GROUP_MOD_FAILED/OFPGMFC_UNKNOWN_GROUP' shunt group mod br0 'group_id=77,type=all,bucket=actions=output:b'
refused 1 'OFPGMFC_LOOP' shunt group mod br0 'group_id=1,type=all,bucket=actions=group:1'
printf 'group_id=8,type=all,bucket=actions=output:b\ngroup_id=1,type=all,bucket=actions=output:b\n' >"$RUNDIR/groups"
refused 1 'line 2.*' shunt group add br0 --file "$RUNDIR/groups"
equal "groups after refusals" "$before" "$(shunt group list br0)"

note "deleting a group takes the rules that use it"
shunt group del br0 group_id=4
equal "rules left" 0 "$(json 'len(d["rules"])' flow list br0)"
shunt group del br0
equal "groups left" 0 "$(json 'len(d["groups"])' group list br0)"

note "a meter lets its rate through and counts what it drops"
shunt meter add br0 'meter=1,pktps,burst,bands=type=drop,rate=100,burst_size=20'
shunt flow replace br0 --file - <<'RULES'
priority=10,in_port=a,udp,actions=meter:1,output:b
RULES
burst 3000 --rate 2000
sent=3000 passed=$(frames b)
at_least "packets that passed (a burst of 20 and 100 a second for 1.5 s and more)" 60 "$passed"
at_most "packets that passed" 700 "$passed"
stats() { json "(lambda m: (m['flows'], m['packets'], m['bands'][0]['packets']))(d['meters'][0])" meter stats br0 1; }
equal "rules, packets and drops of the meter" "(1, $sent, $((sent - passed)))" "$(stats)"
equal "drops by reason" "[$((sent - passed))]" \
  "$(json "[r['packets'] for r in d['drops'] if r['reason'] == 'meter' and r['port'] == 'a']" drops br0)"
equal "metered flows that the kernel does not run" 0 \
  "$(json 'sum(f["where"] != "kernel" for f in d["flows"] if "meter" in f["actions"])' cache list)"
shunt meter list br0 >"$RUNDIR/text"
grep -q 'pktps' "$RUNDIR/text" || fail "meter list shows no meter"

note "a changed meter is in force on return; a deleted one takes its rules"
shunt meter mod br0 'meter=1,pktps,bands=type=drop,rate=1000000'
burst 500 --rate 4000
hears b 500 "far below the new rate"
refused 1 'OFPET_METER_MOD_FAILED/OFPMMFC_METER_EXISTS' shunt meter add br0 'meter=1,kbps,bands=type=drop,rate=1'
refused 1 'OFPMMFC_UNKNOWN_METER' shunt meter mod br0 'meter=2,kbps,bands=type=drop,rate=1'
shunt meter del br0 meter=1
equal "rules left" 0 "$(json 'len(d["rules"])' flow list br0)"
