#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a bridge does without its controller. Standalone: 15 s after it was lost, a learning switch; when it is back, its
# rules are in force again, as they were. Secure: its rules and nothing else, all the time.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c d e f; do add_guest "$name" "10.0.0.$((${#GUESTS[@]} + 1))/24"; done
start_switch
bridge_of a b c
shunt bridge add br1
shunt bridge set br1 --fail-mode secure
for name in d e f; do shunt port attach br1 "$name" >/dev/null; done

# A controller that lets the ports 1 and 2 talk to each other, and nobody else.
cat >"$RUNDIR/controller.py" <<PYTHON
import sys
sys.path.insert(0, "$SUPPORT")
import openflow_peer as of
peer = of.Peer(("127.0.0.1", int(sys.argv[1])), timeout=None)
for port in 1, 2:
    peer.send(of.flow_mod([(0, port.to_bytes(4, "big"))], of.output(3 - port)))
peer.barrier()
open(sys.argv[2], "w").close()
peer.wait_for(of.PACKET_IN)
PYTHON
start_controllers() {
  CONTROLLERS=()
  local port
  for port in 6653 6654; do
    rm -f "$RUNDIR/up$port"
    (exec nsenter --net="/run/netns/$TAG-host" -- python3 "$RUNDIR/controller.py" "$port" "$RUNDIR/up$port") &
    CONTROLLERS+=($!)
    CHILDREN+=($!)
  done
  for port in 6653 6654; do wait_until 10 "the rules are there" test -e "$RUNDIR/up$port"; done
}
end_controllers() {
  kill "${CONTROLLERS[@]}"
  wait "${CONTROLLERS[@]}" 2>/dev/null || true
}
is_controlled() {
  expect_ping a 10.0.0.2
  expect_no_ping a 10.0.0.3
  expect_ping d 10.0.0.5
  expect_no_ping d 10.0.0.6
}
stands_alone() { shunt flow list br0 | grep -q 'cookie=0xfa110be7.*priority=65535 actions=NORMAL'; }
is_its_own() { ! stands_alone; }

shunt controller add br0 ptcp:6653:127.0.0.1
shunt controller add br1 ptcp:6654:127.0.0.1
start_controllers
is_controlled

note "the controllers are lost"
end_controllers
BEGIN=$SECONDS
is_controlled
wait_until 20 "br0 is a learning switch" stands_alone
at_least "seconds until then" 13 $((SECONDS - BEGIN))
expect_ping a 10.0.0.3
expect_ping d 10.0.0.5
expect_no_ping d 10.0.0.6
equal "rules of br1" 2 "$(shunt flow list br1 | wc -l)"

note "they are back"
start_controllers
wait_until 5 "br0 is its controller's" is_its_own
is_controlled

note "a daemon that ends while it is alone: its successor goes on, until a controller comes"
end_controllers
wait_until 20 "br0 is a learning switch" stands_alone
stop_switch
start_switch
stands_alone || fail "br0 is no learning switch any more: $(shunt flow list br0)"
expect_ping a 10.0.0.3
[ "$(json 'len(d["controllers"])' controller list br0)" = 1 ] || shunt controller add br0 ptcp:6653:127.0.0.1
[ "$(json 'len(d["controllers"])' controller list br1)" = 1 ] || shunt controller add br1 ptcp:6654:127.0.0.1
start_controllers
wait_until 5 "br0 is its controller's" is_its_own
expect_ping a 10.0.0.2
expect_no_ping a 10.0.0.3
