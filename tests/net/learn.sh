#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rules that packets make: a learning switch out of learn, refreshed by traffic that only the kernel sees; a limit;
# delete_learned; and fin_timeout, which ends a rule soon after its connection.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name" "10.0.0.$((${#GUESTS[@]} + 1))/24"; done
start_switch
bridge_of a b c
learned() { json 'len(d["rules"])' flow list br0 "table=10${1:+,$1}"; }
learned_are() { [ "$(learned)" -eq "$1" ]; }

note "a learning switch: table 10 is what table 0 has learned, by source and port"
shunt flow replace br0 --file - <<'RULES'
table=0,priority=10,actions=learn(table=10,hard_timeout=4,cookie=0x10,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]),goto_table:1
table=1,priority=10,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=flood
table=1,priority=5,actions=resubmit(,10),goto_table:2
table=2,priority=10,reg0=0,actions=flood
table=2,priority=5,actions=output:NXM_NX_REG0[0..15]
RULES
guest a ping -q -c 1 -W 2 10.0.0.2 >/dev/null || fail "no answer while learning"
wait_until 5 "both MACs are learned" learned_are 2
listen c c --dst 02:00:00:00:00:02
send a --dst 02:00:00:00:00:02 --src 02:00:00:00:00:01 --count 20 --rate 200 >/dev/null
heard c
equal "frames of the two that the third hears" 0 "$(result c 'd["frames"]')"

note "packets that the kernel answers keep what they have taught"
mac=02:00:00:00:00:01
silent=02:00:00:00:0c:01
send c --dst 02:00:00:00:00:02 --src $silent --count 1 >/dev/null
background a python3 "$FRAMES" send eth0 --dst 02:00:00:00:00:02 --src $mac --rate 50 --seconds 30 >/dev/null
sender=$CHILD
sleep 1
misses=$(json 'd["misses"]' cache stats)
sleep 6
equal "rules for the MAC that speaks, 7 s after it was learned with hard_timeout=4" 1 "$(learned "dl_dst=$mac")"
equal "rules for the MAC that is silent" 0 "$(learned dl_dst=$silent)"
at_most "misses meanwhile" $((misses + 20)) "$(json 'd["misses"]' cache stats)"
kill -TERM "$sender"
wait_until 20 "who has fallen silent is forgotten" learned_are 0

note "what was learned goes with the rule that learns"
send a --dst 02:00:00:00:00:02 --src $mac --count 3 >/dev/null
wait_until 5 "it is learned again" learned_are 1
shunt flow del br0 table=0
learned_are 0 || fail "the learned rule is still there"

note "a limit"
shunt flow replace br0 'table=0,udp,actions=learn(table=10,limit=5,cookie=0x11,eth_type=0x800,nw_proto=17,NXM_OF_UDP_SRC[])'
send a --dst 02:00:00:00:00:02 --count 40 --flows 40 --rate 200 >/dev/null
wait_until 5 "as many rules as may be" learned_are 5
sleep 0.5
equal "rules" 5 "$(learned)"

note "fin_timeout: a rule ends soon after its connection"
shunt flow replace br0 --file - <<'RULES'
priority=20,tcp,tp_dst=7000,idle_timeout=300,actions=fin_timeout(idle_timeout=2),normal
priority=20,tcp,tp_src=7000,idle_timeout=300,actions=normal
priority=0,actions=normal
RULES
background b python3 "$SUPPORT/talk.py" serve 10.0.0.2 7000
tcp_rules() { [ "$(json "len(d['rules'])" flow list br0 "tcp,$1")" -eq "$2" ]; }
sleep 0.5
guest a python3 "$SUPPORT/talk.py" talk 10.0.0.2 7000 50 || fail "no conversation"
wait_until 10 "the rule towards the server is gone" tcp_rules tp_dst=7000 0
tcp_rules tp_src=7000 1 || fail "the rule without fin_timeout is gone, too"
