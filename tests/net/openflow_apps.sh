#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# os-ken's controllers. Debian's python3-os-ken has the library (stplib, ofctl_v1_3, the topology service), not the
# applications on top of it (simple_switch_13, simple_switch_stp_13, ofctl_rest, rest_router): tests/openflow/apps has
# what they do, with the same calls. tshark finds nothing wrong in what is said.
. "$(dirname "$0")/../support/netns.sh"
begin osken-manager tshark
/usr/bin/python3 -c 'import os_ken.lib.stplib' 2>/dev/null || skip "needs python3-os-ken"
APPS=$SUPPORT/../openflow/apps
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
add_guest c 10.0.0.3/24
start_switch
for i in 1 2 3; do shunt bridge add "s$i" --datapath-id "000000000000000$i" --fail-mode secure; done
shunt port attach s1 a --ofport 1 >/dev/null
shunt port attach s2 b --ofport 1 >/dev/null
shunt port attach s3 c --ofport 1 >/dev/null
cable() { # SWITCH PORT SWITCH PORT
  host ip link add "w$1$3" type veth peer name "w$3$1"
  host ip link set "w$1$3" up
  host ip link set "w$3$1" up
  shunt port attach "s$1" "w$1$3" --ofport "$2" >/dev/null
  shunt port attach "s$3" "w$3$1" --ofport "$4" >/dev/null
}
cable 1 2 2 2
capture_openflow

app() { # SWITCHES VARIABLE=VALUE… -- OPTION…
  local switches=$1 variables=() i
  shift
  while [ "$1" != -- ]; do variables+=("$1") && shift; done
  shift
  (exec nsenter --net="/run/netns/$TAG-host" -- env PYTHONDONTWRITEBYTECODE=1 "${variables[@]}" /usr/bin/python3 /usr/bin/osken-manager \
    --ofp-listen-host 127.0.0.1 --ofp-tcp-listen-port 6653 "$@" >"$RUNDIR/app.log" 2>&1) &
  APP=$!
  CHILDREN+=("$APP")
  wait_until 20 "os-ken listens" host sh -c 'ss -Hltn sport = :6653 | grep -q .'
  SWITCHES=$switches
  for i in $SWITCHES; do shunt controller add "s$i" tcp:127.0.0.1:6653; done
  for i in $SWITCHES; do wait_until 10 "s$i is connected" connected "s$i"; done
}
connected() { [ "$(json 'd["controllers"][0]["connected"]' controller list "$1")" = True ]; }
end_app() {
  local i
  for i in $SWITCHES; do
    shunt controller del "s$i"
    shunt flow del "s$i"
  done
  kill "$APP"
  wait "$APP" 2>/dev/null || true
  no_traceback
}
no_traceback() { if grep -q Traceback "$RUNDIR/app.log"; then fail "the application failed: $(tail -20 "$RUNDIR/app.log")"; fi; }
pings() { guest "$1" ping -n -q -c 1 -W 1 "$2"; }

note "ofctl_rest's requests"
cat >"$RUNDIR/script" <<'SCRIPT'
get_desc_stats
mod_flow_entry ["add", {"cookie": 7, "table_id": 0, "priority": 11, "match": {"in_port": 1, "dl_type": 2048, "nw_dst": "10.0.0.0/24", "nw_proto": 6, "tp_dst": 80}, "actions": [{"type": "DEC_NW_TTL"}, {"type": "SET_FIELD", "field": "eth_dst", "value": "02:00:00:00:00:09"}, {"type": "OUTPUT", "port": 2}]}]
mod_flow_entry ["add", {"priority": 12, "match": {"dl_vlan": "0x1005"}, "actions": [{"type": "POP_VLAN"}, {"type": "GOTO_TABLE", "table_id": 3}]}]
mod_flow_entry ["modify_strict", {"priority": 11, "match": {"in_port": 1, "dl_type": 2048, "nw_dst": "10.0.0.0/24", "nw_proto": 6, "tp_dst": 80}, "actions": [{"type": "OUTPUT", "port": "NORMAL"}]}]
get_flow_stats [{"table_id": 0}]
get_aggregate_flow_stats
mod_group_entry ["add", {"type": "SELECT", "group_id": 4, "buckets": [{"weight": 2, "actions": [{"type": "OUTPUT", "port": 1}]}, {"weight": 1, "actions": [{"type": "OUTPUT", "port": 2}]}]}]
mod_group_entry ["add", {"type": "ALL", "group_id": 4, "buckets": []}]
get_group_desc
get_group_stats
get_group_features
mod_meter_entry ["add", {"meter_id": 6, "flags": ["KBPS", "BURST", "STATS"], "bands": [{"type": "DROP", "rate": 1000, "burst_size": 100}]}]
get_meter_config
get_meter_stats
get_meter_features
get_table_stats
get_table_features
get_port_desc
get_port_stats
get_queue_stats
get_queue_config
mod_port_behavior [{"port_no": 2, "hw_addr": "MAC", "config": 32, "mask": 32, "advertise": 0}]
get_port_desc
mod_port_behavior [{"port_no": 2, "hw_addr": "MAC", "config": 0, "mask": 32, "advertise": 0}]
set_role [{"role": "MASTER"}]
get_role
mod_flow_entry ["delete", {"match": {}}]
mod_group_entry ["delete", {"group_id": 4}]
mod_meter_entry ["delete", {"meter_id": 6}]
get_flow_stats
SCRIPT
sed -i "s/MAC/$(host ip -br link show w12 | awk "{ print \$3 }")/" "$RUNDIR/script"
app 1 SCRIPT="$RUNDIR/script" OUTPUT="$RUNDIR/answers" -- "$APPS/control_script.py"
wait_until 40 "all is answered, or the application has failed" grep -q '^end\|Traceback' "$RUNDIR/answers" "$RUNDIR/app.log"
no_traceback
python3 - "$RUNDIR/answers" <<'PYTHON' || fail "an answer is not as it should be"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1]) if line != "end\n"]
lines = [line.get("1") if isinstance(line, dict) else line for line in lines]
changes, deletes = [lines.pop(1) for _ in range(3)], [lines.pop(-4), lines.pop(-3), lines.pop(-2)]
(desc, flows, sums, group, again, groups, group_stats, group_features, meter, meters, meter_stats, meter_features, tables,
 features, ports, port_stats, queues, queue_config, port_mod, after, port_back, role, role_is, empty) = lines
assert desc["hw_desc"] == "Linux XDP", desc
assert changes == [[], [], []] and group == meter == port_mod == port_back == role == [] and deletes == [[], [], []], lines
assert again == [[6, 0]], again  # OFPGMFC_GROUP_EXISTS
by_priority = {flow["priority"]: flow for flow in flows}
assert set(by_priority) == {11, 12}, flows
assert by_priority[11]["actions"] == ["OUTPUT:NORMAL"] and by_priority[11]["cookie"] == 7, flows
assert by_priority[11]["match"] == {"in_port": 1, "dl_type": 2048, "nw_dst": "10.0.0.0/255.255.255.0", "nw_proto": 6, "tp_dst": 80}, flows
assert by_priority[12]["actions"] == ["POP_VLAN", "GOTO_TABLE:3"] and by_priority[12]["match"] == {"dl_vlan": "5"}, flows
assert sums[0]["flow_count"] == 2, sums
assert [bucket["weight"] for bucket in groups[0]["buckets"]] == [2, 1] and groups[0]["type"] == "SELECT", groups
assert group_stats[0]["group_id"] == 4 and len(group_stats[0]["bucket_stats"]) == 2, group_stats
assert "SELECT" in group_features[0]["types"], group_features
assert meters[0]["bands"] == [{"type": "DROP", "rate": 1000, "burst_size": 100}], meters
assert meter_stats[0]["meter_id"] == 6 and meter_features[0]["max_bands"] >= 1, meter_stats
assert len(tables) == 254 and tables[0]["active_count"] == 2, tables[0]
assert features[0]["table_id"] == 0 and features[0]["max_entries"] > 0, features[0]
assert {port["port_no"] for port in ports} >= {1, 2} and {port["port_no"] for port in port_stats} >= {1, 2}, ports
assert queues == [], queues
assert [port["config"] for port in after if port["port_no"] == 2] == [32], after  # OFPPC_NO_FWD
assert role_is[0]["role"] == "MASTER", role_is
assert empty == [], empty
PYTHON
end_app

note "simple_switch_13, over two switches"
app '1 2' -- "$APPS/learning_switch.py"
wait_until 10 "a reaches b" pings a 10.0.0.2
expect_ping a 10.0.0.2
shunt flow list s1 | grep -q 'priority=1,in_port=a,.*dl_dst' || fail "no rule of the controller: $(shunt flow list s1)"
end_app

note "the topology service finds the cable and the hosts, and that the cable is cut"
app '1 2' OUTPUT="$RUNDIR/topology" -- --observe-links "$APPS/learning_switch.py" "$APPS/topology.py"
wait_until 15 "the link, there" grep -q 'link 1:2 2:2' "$RUNDIR/topology"
wait_until 15 "the link, back" grep -q 'link 2:2 1:2' "$RUNDIR/topology"
wait_until 10 "a reaches b" pings a 10.0.0.2
wait_until 10 "the host a" grep -q "host $(mac_of a) 1:1" "$RUNDIR/topology"
wait_until 10 "the host b" grep -q "host $(mac_of b) 2:1" "$RUNDIR/topology"
equal "links" 2 "$(grep -c link "$RUNDIR/topology")"
host ip link set w12 down
no_link() { ! grep -q link "$RUNDIR/topology"; }
wait_until 15 "no link" no_link
host ip link set w12 up
wait_until 20 "the link is back" grep -q 'link 1:2 2:2' "$RUNDIR/topology"
end_app

note "rest_router"
add_guest n1 10.0.1.2/24
add_guest n2 10.0.2.2/24
shunt port attach s1 n1 --ofport 11 >/dev/null
shunt port attach s1 n2 --ofport 12 >/dev/null
guest n1 ip route add default via 10.0.1.1
guest n2 ip route add default via 10.0.2.1
app 1 ADDRESSES="11=10.0.1.1/24 12=10.0.2.1/24" -- "$APPS/router.py"
wait_until 10 "n1 reaches its router" pings n1 10.0.1.1
wait_until 10 "n1 reaches n2" pings n1 10.0.2.2
expect_ping n1 10.0.2.2
expect_ping n2 10.0.1.2
guest n1 ping -n -c 1 -W 2 -t 1 10.0.2.2 >"$RUNDIR/exceeded" || true
grep -q 'From 10.0.1.1 .*Time to live exceeded' "$RUNDIR/exceeded" || fail "no time exceeded: $(cat "$RUNDIR/exceeded")"
end_app

note "simple_switch_stp_13, over a ring of three"
cable 2 3 3 2
cable 3 3 1 3
app '1 2 3' SPANNING_TREE=1 -- "$APPS/learning_switch.py"
wait_until 30 "a reaches b" pings a 10.0.0.2
wait_until 20 "a reaches c" pings a 10.0.0.3
equal "ports that the tree blocks" 1 "$(grep -c 'BLOCK' <(tac "$RUNDIR/app.log" | grep -o 'dpid=[0-9]*: \[port=[0-9]*\] .*/ .*' | sort -u -t' ' -k1,2))"
expect_ping a 10.0.0.3
host ip link set w12 down
wait_until 40 "a reaches b the other way" pings a 10.0.0.2
expect_ping a 10.0.0.2
end_app

note "tshark finds nothing malformed, and no error of OpenFlow"
end_capture
openflow_heard -Y openflow_v4 -T fields -e openflow_v4.type | tr ',' '\n' | sort -n | uniq -c >"$RUNDIR/types"
at_least "kinds of messages seen" 15 "$(wc -l <"$RUNDIR/types")"
expect_none_heard "what tshark finds wrong" \
  '_ws.malformed || (openflow && _ws.expert.severity >= warning && !tcp.analysis.flags)'
