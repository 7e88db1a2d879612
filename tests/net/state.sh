#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What was set by command is there after the daemon's end, by SIGTERM and by kill -9: bridges, ports with their numbers
# and settings, rules of all tables, groups, meters, tables, flood VLANs, the FDB's settings, static and learned MACs.
. "$(dirname "$0")/../support/netns.sh"
begin ping ethtool
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
add_guest c 10.0.0.3/24
offloads() { # GUEST: what attach changes, both ends
  host ethtool -k "$1"
  guest "$1" ethtool -k eth0
}
for name in a b; do offloads $name >"$RUNDIR/before-$name"; done

everything() { # all that is configured, as the commands show it, without counters and ages
  json 'sorted((p["bridge"], p["name"], p["ofport"], p["dp_port"], p["vlan_mode"], p["tag"], p["trunks"],
    p["flood"], p["protected"], p["priority_tags"], p["mode"], sorted(p["changes"])) for p in d["ports"])' port list
  json '[(r["table"], r["priority"], r["cookie"], r["match"], r["actions"], r["idle_timeout"], r["hard_timeout"],
    r["importance"], r["flags"]) for r in d["rules"]]' flow list br0
  json '[g["text"] for g in d["groups"]]' group list br0
  json '[m["text"] for m in d["meters"]]' meter list br0
  json '[(t["table"], t["name"], t["max_rules"], t["evict"], t["miss"]) for t in d["tables"]
    if t["name"] or t["max_rules"] or t["miss"] != "drop"]' table list br0
  json '[(b["name"], b["mac_limit"], b["mac_ageing_s"], b["flood_vlans"]) for b in d["bridges"]]' bridge list
  json 'sorted((m["vlan"], m["mac"], m["port"], m["static"]) for m in d["macs"])' fdb list br0
  json '[(c["target"], c["auxiliary"]) for c in d["controllers"]]' controller list br0
  json '(d["datapath_id"], d["fail_mode"])' bridge show br0
}

start_switch
shunt bridge add br1
shunt bridge add br0
attach a --ofport 7
attach b --ofport 9 --protected on
attach c --vlan-mode native-untagged --tag 5 --trunks 5,10-20 --flood off --priority-tags always
shunt port attach br1 "$(host sh -c 'ip link add lone type veth peer name lone1 && echo lone')" --mode generic >/dev/null
shunt bridge set br0 --flood-vlans 100-102
shunt fdb set br0 --ageing 600 --limit 5000
shunt fdb add br0 02:00:00:00:0f:01 b --vlan 30
shunt controller add br0 tcp:127.0.0.1:6699 --auxiliary 2
shunt controller add br0 "punix:$RUNDIR/controller"
shunt bridge set br0 --datapath-id 00000000000000aa --fail-mode secure
shunt flow add br0 'priority=0,actions=normal' # which went with the first controller
shunt meter add br0 'meter=3,kbps,burst,bands=type=drop,rate=500000,burst_size=9000'
printf '%s\n' 'group_id=1,type=select,bucket=weight:2,actions=output:a,bucket=weight:1,actions=output:b' \
  'group_id=9,type=ff,bucket=watch_port:a,actions=group:1,bucket=watch_port:b,actions=output:b' |
  shunt group add br0 --file -
# The first group gets to refer to a later one.
shunt group add br0 'group_id=20,type=all,bucket=actions=output:c'
shunt group mod br0 'group_id=1,type=select,bucket=weight:2,actions=group:20,bucket=weight:1,actions=output:b'
shunt table set br0 4 --name four --max-rules 1 --miss continue
shunt flow add br0 'table=4,priority=7,tcp,tp_dst=80,actions=meter:3,output:b'
shunt flow add br0 'table=4,priority=0,actions=drop' 2>/dev/null && fail "table 4 took a second rule"
shunt flow add br0 'cookie=0x1234,priority=500,udp,in_port=a,tp_dst=4789,idle_timeout=300,importance=5,send_flow_rem,actions=group:9'
shunt flow add br0 'priority=501,udp,in_port=a,tp_dst=9999,hard_timeout=600,check_overlap,actions=drop'
shunt flow add br0 'priority=50,arp,in_port=c,actions=learn(table=7,hard_timeout=60,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),normal'
expect_ping a 10.0.0.2
wait_until 3 "the learned MACs are stored" python3 - "$RUNDIR/state/$INSTANCE.db" <<'PY'
import os, sys
sys.exit(0 if os.path.exists(sys.argv[1]) else 1)
PY
sleep 1.5
everything >"$RUNDIR/before"
[ "$(stat -c %a "$RUNDIR/state")" = 750 ] || fail "the state directory's mode"
for file in "$RUNDIR/state"/*; do [ "$(stat -c %a "$file")" = 640 ] || fail "$file has another mode"; done

note "SIGTERM: interfaces are given back, and taken again"
stop_switch || fail "the daemon's exit status"
for name in a b; do diff "$RUNDIR/before-$name" <(offloads $name) || fail "$name was not restored"; done
start_switch
everything >"$RUNDIR/after"
diff "$RUNDIR/before" "$RUNDIR/after" || fail "not as before SIGTERM"
expect_ping a 10.0.0.2

note "kill -9: the same, and detach restores what the killed daemon changed"
sleep 1.2
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
start_switch
everything >"$RUNDIR/after"
diff "$RUNDIR/before" "$RUNDIR/after" || fail "not as before kill -9"
expect_ping a 10.0.0.2
left=$(json '[r for r in d["rules"] if r["hard_timeout"] == 600][0]["duration_s"] >= 2' flow list br0)
equal "the hard timeout goes on where it was" True "$left"
shunt port detach br0 a
diff "$RUNDIR/before-a" <(offloads a) || fail "detach left a as the killed daemon had changed it"

note "what was taken back stays away"
shunt bridge del br1
shunt group del br0 group_id=9
shunt fdb del br0 02:00:00:00:0f:01 --vlan 30
stop_switch || fail "the daemon's exit status"
start_switch
equal "bridges" "['br0']" "$(json '[b["name"] for b in d["bridges"]]' bridge list)"
equal "ports" "['b', 'br0', 'c']" "$(json 'sorted(p["name"] for p in d["ports"])' port list)"
equal "groups" "[1, 20]" "$(json '[g["id"] for g in d["groups"]]' group list br0)"
equal "rules of the group" 0 "$(json 'sum("group:9" in r["actions"] for r in d["rules"])' flow list br0)"
equal "static MACs" 0 "$(json 'sum(m["static"] for m in d["macs"])' fdb list br0)"

note "reboot: everything that was pinned or attached is gone; an interface comes late"
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
rm -rf "/sys/fs/bpf/shunt/$INSTANCE"
host ip link del dev c
host ip link del dev b
host ip link del dev br0
make_link b 10.0.0.2/24
start_switch
equal "the port that waits" "['gone']" "$(json '[p["state"] for p in d["ports"] if p["name"] == "c"]' port list br0)"
equal "the port that is there" "['up']" "$(json '[p["state"] for p in d["ports"] if p["name"] == "b"]' port list br0)"
attach a --ofport 7
make_link c 10.0.0.3/24
wait_until 5 "the late port is up" test "$(json '[p["state"] for p in d["ports"] if p["name"] == "c"]' port list br0)" != "['gone']"
equal "its settings" "[(5, '5,10-20', False)]" \
  "$(json '[(p["tag"], p["trunks"], p["flood"]) for p in d["ports"] if p["name"] == "c"]' port list br0)"
