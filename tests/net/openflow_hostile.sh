#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Controllers that send garbage, stall, do not read, flood, come in crowds or ask for more than there is: each gets its error
# and is closed, memory stays bounded, and meanwhile forwarding and the other controllers go on.
. "$(dirname "$0")/../support/netns.sh"
begin
add_guest a 10.0.0.2/24
add_guest b 10.0.0.3/24
start_switch
bridge_of a b
shunt controller add br0 ptcp:6653:127.0.0.1
shunt flow add br0 'priority=1,in_port=1,actions=output:2'
shunt flow add br0 'priority=1,in_port=2,actions=output:1'
HOSTILE="$(dirname "$0")/openflow_hostile.py"
expect_ping a 10.0.0.3

(exec python3 "$HOSTILE" watch "$RUNDIR/br0.mgmt" "$RUNDIR/watching" >"$RUNDIR/watch") &
WATCH=$!
CHILDREN+=("$WATCH")
wait_until 5 "one that means well is served" test -e "$RUNDIR/watching"
(exec ip netns exec "$TAG-a" ping -n -q -i 0.01 -W 2 10.0.0.3 >"$RUNDIR/ping") &
PING=$!
CHILDREN+=("$PING")

host timeout 75 python3 "$HOSTILE" attack 127.0.0.1 6653 "$DAEMON" || fail "the switch did not stand it"

kill "$WATCH"
wait "$WATCH" || fail "one that means well was closed"
note "longest wait of another controller: $(cat "$RUNDIR/watch") ms"
at_most "longest wait of another controller, ms" 2000 "$(cat "$RUNDIR/watch")"
kill -INT "$PING"
wait "$PING" || true
note "ping meanwhile: $(grep loss "$RUNDIR/ping")"
grep -qE ' 0% packet loss|\+0 errors' "$RUNDIR/ping" || fail "packets were lost: $(cat "$RUNDIR/ping")"
equal "connections left" 0 "$(json 'd["controllers"][0]["connections"]' controller list br0)"
expect_ping a 10.0.0.3
