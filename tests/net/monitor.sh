#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shunt monitor: a line for each port, MAC, rule and controller that comes, changes and goes; a reader that stands still
# misses some, is told how many, and holds up nobody.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch
bridge_of a

declare -A MONITOR=()
monitor() { # NAME OPTION…
  local as=$1
  shift
  (exec nsenter --net="/run/netns/$TAG-host" -- "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" monitor "$@" \
    >"$RUNDIR/$as.out" 2>"$RUNDIR/$as.err") &
  MONITOR[$as]=$!
  CHILDREN+=("$!")
  wait_until 10 "monitor $as watches" grep -q ^watching "$RUNDIR/$as.err"
}
says() { wait_until 5 "monitor $1 says '$2'; it says: $(cat "$RUNDIR/$1.out")" grep -qE -- "$2" "$RUNDIR/$1.out"; }

monitor all
monitor json --json
monitor macs macs
monitor others --bridge br0 ports,flows
monitor controllers controllers

note "ports"
attach b
says all 'br0 port attached port b ofport 2'
host ip link set dev b down
says all 'br0 port down port b'
host ip link set dev b up
says all 'br0 port up port b'
host ip link set dev b down
host ip link set dev b name bb
says all 'br0 port renamed port bb ofport 2 before b'
host ip link set dev bb name b
host ip link set dev b up
says all 'br0 port renamed port b ofport 2 before bb'
shunt port set br0 b --flood off
says all 'br0 port changed port b'
shunt port set br0 b --flood on

note "MACs"
expect_ping a 10.0.0.2
says all 'br0 mac learned 02:00:00:00:00:01 vlan 0 port a'
says macs 'br0 mac learned 02:00:00:00:00:02 vlan 0 port b'
send b --src 02:00:00:00:00:01 --count 1 >/dev/null
says macs 'br0 mac moved 02:00:00:00:00:01 vlan 0 port b before a'
shunt fdb set br0 --ageing 1 || shunt fdb set br0 --ageing 15
shunt fdb flush br0
says macs 'br0 mac removed 02:00:00:00:00:01'
shunt fdb add br0 02:00:00:00:00:77 a
says macs 'br0 mac set 02:00:00:00:00:77 vlan 0 port a'

note "rules"
shunt flow add br0 'priority=77,tcp,tp_dst=80,actions=output:b'
says all 'br0 flow added cookie=0x0, .*priority=77,tcp,tp_dst=80 actions=output:b'
shunt flow mod br0 'tcp,actions=drop'
says all 'br0 flow replaced .*priority=77,tcp,tp_dst=80 actions=drop'
shunt flow del br0 'tcp'
says all 'br0 flow removed .*priority=77,tcp,tp_dst=80 .*reason delete'
shunt flow add br0 'priority=78,udp,hard_timeout=1,actions=drop'
says all 'br0 flow removed .*priority=78,udp .*reason hard-timeout'

note "a port that goes"
shunt port detach br0 b
says all 'br0 port detached port b'

note "controllers"
cat >"$RUNDIR/controller.py" <<'PYTHON'
import socket, struct
listener = socket.create_server(("127.0.0.1", 6653))
switch, _ = listener.accept()
switch.sendall(struct.pack("!BBHI", 4, 0, 8, 1))  # HELLO of OpenFlow 1.3
while switch.recv(4096):
    pass
PYTHON
(exec nsenter --net="/run/netns/$TAG-host" -- python3 "$RUNDIR/controller.py") &
controller=$!
CHILDREN+=("$controller")
shunt controller add br0 tcp:127.0.0.1:6653
for as in all controllers; do says "$as" 'br0 controller connected tcp:127.0.0.1:6653$'; done
kill -KILL "$controller"
for as in all controllers; do says "$as" 'br0 controller lost tcp:127.0.0.1:6653 reason '; done
shunt controller del br0

note "who asked for some things hears of nothing else"
grep -qv ' controller ' "$RUNDIR/controllers.out" && fail "of controllers only: $(grep -v ' controller ' "$RUNDIR/controllers.out")"
grep -qv ' mac ' "$RUNDIR/macs.out" && fail "of MACs only: $(grep -v ' mac ' "$RUNDIR/macs.out")"
grep -q ' mac ' "$RUNDIR/others.out" && fail "not of MACs: $(grep ' mac ' "$RUNDIR/others.out")"
grep -q ' port detached' "$RUNDIR/others.out" || fail "others does not hear of ports"
python3 - "$RUNDIR/json.out" "$RUNDIR/all.out" <<'PYTHON'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert len(events) == len(open(sys.argv[2]).readlines()), "JSON and text differ"
assert all(e["bridge"] == "br0" and e["time"] > 1e9 for e in events)
assert {e["subject"] for e in events} == {"port", "mac", "flow", "controller"}
PYTHON

note "wrong words"
refused 2 "cannot be watched" shunt monitor ports,weather
refused 1 "br9" shunt monitor --bridge br9

note "a reader that stands still: bounded, told, and nobody waits for it"
monitor still flows
kill -STOP "${MONITOR[still]}"
python3 -c "
for i in range(30000): print(f'priority=5,ip,nw_dst=10.{i // 65536}.{i // 256 % 256}.{i % 256},actions=drop')" >"$RUNDIR/rules"
shunt flow add br0 --file "$RUNDIR/rules"
[ "$(json 'len(d["bridges"])' bridge list)" = 1 ] || fail "the daemon does not answer"
kill -CONT "${MONITOR[still]}"
says still 'missed: [0-9]+ events'
missed=$(python3 -c "
import re
print(sum(int(n) for n in re.findall(r'missed: (\d+)', open('$RUNDIR/still.out').read())))")
equal "told and missed" 30000 $((missed + $(grep -c 'flow added' "$RUNDIR/still.out")))

note "interrupted, a monitor ends well"
for as in "${!MONITOR[@]}"; do kill -INT "${MONITOR[$as]}"; done
for as in "${!MONITOR[@]}"; do wait "${MONITOR[$as]}" || fail "monitor $as: $(cat "$RUNDIR/$as.err")"; done
