#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rules over several tables: goto_table, resubmit, registers, learning, timeouts, limits of a table; and counters of rules and
# tables that equal what was sent. Each burst's first frame goes through userspace and the rest through the kernel.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch
bridge_of a b c

UDP=(--dst 02:00:00:00:00:02 --src-ip 10.0.0.1 --dst-ip 10.0.0.2)
burst() { # NAME COUNT OPTION…: frames from a; b's and c's answers are in .json files
  local count=$1
  shift
  listen b b
  listen c c
  send a "${UDP[@]}" --count "$count" --rate 500 "$@" >/dev/null
  heard b c
}
hears() { equal "frames that $1 hears ($3)" "$2" "$(result "$1" 'd["frames"]')"; }
packets_of() { json "sum(r['packets'] for r in d['rules'])" flow list br0 "$1"; }
table_counts() { json "[(t['lookups'], t['matches']) for t in d['tables'] if t['table'] == $1]" table list br0; }

note "goto_table, write_actions, metadata"
shunt flow replace br0 --file - <<'RULES'
table=0,priority=10,udp,tp_dst=9,actions=write_metadata:0x7,goto_table:3
table=0,priority=0,actions=drop
table=3,priority=10,metadata=0x7,udp,actions=write_actions(output:b),goto_table:4
table=3,priority=5,udp,actions=drop
table=4,priority=1,udp,cookie=0x44,actions=mod_nw_tos:32
RULES
burst 40
hears b 40 "by the action set"
hears c 0 "by the action set"
equal "packets of the rule in table 0" 40 "$(packets_of 'table=0,udp')"
equal "packets of the rule in table 3" 40 "$(packets_of 'table=3,metadata=7,udp')"
equal "packets of the rule in table 4" 40 "$(packets_of 'table=4')"
equal "look-ups and matches of table 3" "[(40, 40)]" "$(table_counts 3)"
equal "rule by cookie" 1 "$(json 'len(d["rules"])' flow list br0 'cookie=0x44/-1')"

note "a miss counts as a look-up, not as a match"
shunt flow del br0 table=4
burst 10
equal "look-ups and matches of table 4" "[(50, 40)]" "$(table_counts 4)"

note "resubmit, registers, the stack"
shunt flow replace br0 --file - <<'RULES'
table=0,udp,actions=load:0x5->NXM_NX_REG0[],push:NXM_NX_REG0[],resubmit(,7),pop:NXM_NX_REG2[],resubmit(,8)
table=7,reg0=5,actions=load:0->NXM_NX_REG0[],output:b
table=8,reg2=5,reg0=0,actions=output:c
RULES
burst 30
hears b 30 "by table 7"
hears c 30 "by table 8"
equal "packets of the rule in table 8" 30 "$(packets_of 'table=8')"
resubmitting=$(json 'sum(f["where"] == "kernel" for f in d["flows"] if f["packets"])' cache list)
at_least "flows of such rules in the kernel" 1 "$resubmitting"

note "learn: the way back is a rule that the way there has made"
shunt flow replace br0 --file - <<'RULES'
table=0,priority=10,in_port=a,udp,actions=learn(table=9,idle_timeout=60,cookie=0x99,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),output:b
table=0,priority=9,in_port=b,actions=resubmit(,9)
RULES
burst 5 --src 02:00:00:00:00:01
hears b 5 "while it is learned"
learned() { [ "$(json 'len(d["rules"])' flow list br0 'table=9,dl_dst=02:00:00:00:00:01')" = 1 ]; }
wait_until 5 "the rule is learned" learned
equal "what was learned" "['cookie 0x99: a']" \
  "$(json '["cookie " + r["cookie"] + ": " + r["actions"].replace("output:", "") for r in d["rules"]]' flow list br0 table=9)"
listen a a
send b --dst 02:00:00:00:00:01 --src 02:00:00:00:00:02 --count 10 --rate 200 >/dev/null
heard a
hears a 10 "by the learned rule"
equal "packets of the learned rule" 10 "$(packets_of 'table=9')"

note "timeouts: rules go by themselves, used ones stay"
background a python3 "$FRAMES" send eth0 "${UDP[@]}" --rate 20 >/dev/null
sender=$CHILD
shunt flow replace br0 --file - <<'RULES'
priority=30,udp,tp_dst=9,idle_timeout=3,actions=output:b
priority=20,tcp,idle_timeout=2,actions=output:b
priority=10,arp,hard_timeout=2,actions=output:b
priority=0,actions=drop
RULES
shunt flow list br0 >"$RUNDIR/rules"
grep -q 'idle_timeout=3, .*priority=30' "$RUNDIR/rules" || fail "flow list shows: $(cat "$RUNDIR/rules")"
only_the_used() { [ "$(json 'sorted(r["priority"] for r in d["rules"])' flow list br0)" = "[0, 30]" ]; }
wait_until 10 "the unused rules are gone, the used one is there" only_the_used
sleep 4
only_the_used || fail "a rule in use has expired"
kill "$sender"
only_the_last() { [ "$(json 'sorted(r["priority"] for r in d["rules"])' flow list br0)" = "[0]" ]; }
wait_until 20 "the rule goes when its packets have ended" only_the_last

note "a table's limit: full tables refuse, or make room by importance"
shunt flow del br0
shunt table set br0 5 --max-rules 2 --name small
shunt flow add br0 'table=5,importance=7,hard_timeout=600,udp,tp_dst=1,actions=drop'
shunt flow add br0 'table=5,importance=3,hard_timeout=600,udp,tp_dst=2,actions=drop'
refused 1 'OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL' shunt flow add br0 'table=5,udp,tp_dst=3,actions=drop'
shunt table set br0 5 --evict on
shunt flow add br0 'table=5,importance=9,udp,tp_dst=3,actions=drop'
equal "who is left" "[7, 9]" "$(json 'sorted(r["importance"] for r in d["rules"])' flow list br0 table=5)"
equal "the table in the list" "[('small', 2, True)]" \
  "$(json '[(t["name"], t["max_rules"], t["evict"]) for t in d["tables"] if t["table"] == 5]' table list br0)"
