#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# After a crash a daemon that cannot start leaves alone what still forwards, and the next one that can takes it over. An
# interface that could not be attached at a start is attached when what was in its way has gone, without a word of its own.
. "$(dirname "$0")/../support/netns.sh"
begin bpftool ping
: "${BPF_OBJECTS:?folder of the BPF object files}"
for i in 1 2 3; do add_guest "g$i" "10.0.0.$i/24"; done
program=/sys/fs/bpf/$TAG-foreign
trap 'rm -f "$program"; clean_up $?' EXIT
start_switch
bridge_of g1 g2
# Without a daemon nobody answers what is new: neighbours that are known ask nothing.
guest g1 ip neighbour replace 10.0.0.2 lladdr "$(mac_of g2)" dev eth0 nud permanent
guest g2 ip neighbour replace 10.0.0.1 lladdr "$(mac_of g1)" dev eth0 nud permanent
expect_ping g1 10.0.0.2
still_forwards() { guest g1 ping -q -c 3 -i 0.1 -W 1 10.0.0.2 | grep -q ' 0% packet loss' || fail "$1: nothing forwards any more"; }
start_refused() { # EXPRESSION OPTION…
  local status=0 said
  said=$(host timeout 20 "$SHUNTD" --rundir "$RUNDIR" --instance "$INSTANCE" --statedir "$RUNDIR/state" "${@:2}" 2>&1) || status=$?
  [ "$status" -ne 0 ] && [ "$status" -ne 124 ] || fail "a start with ${*:2} ended with $status"
  grep -Eq "$1" <<<"$said" || fail "a start with ${*:2} says: $said"
}

kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
still_forwards "after the crash"
note "no memory for the packet buffers"
(
  ulimit -v 3000000 # KiB
  start_refused 'available|address space' --umem-frames 1048576
)
still_forwards "after a start that was refused its memory"
note "a taken port for the metrics, when all is attached already"
host python3 -c '
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 9099)); s.listen(); time.sleep(60)' &
CHILDREN+=("$!")
taken() { host ss -ltn | grep -q :9099; }
wait_until 5 "the port is taken" taken
start_refused 'in use' --metrics 9099
still_forwards "after a start that found its port taken"
start_switch
grep -q "cached flows taken over" "$RUNDIR/shuntd.log" || fail "nothing was taken over"
expect_ping g1 10.0.0.2
note "another flow limit, and no start either: what is there then is for a daemon with that limit"
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
start_refused 'in use' --metrics 9099 --flow-limit 1000
start_switch --flow-limit 1000
expect_ping g1 10.0.0.2
stop_switch
[ ! -e "/sys/fs/bpf/shunt/$INSTANCE" ] || fail "pins are left: $(ls "/sys/fs/bpf/shunt/$INSTANCE")"

note "a first start that is refused leaves nothing behind"
start_refused 'in use' --metrics 9099
[ ! -e "/sys/fs/bpf/shunt/$INSTANCE" ] || fail "pins are left: $(ls "/sys/fs/bpf/shunt/$INSTANCE")"
[ -z "$(host ip -d link show dev g1 | grep -o 'prog/xdp' || true)" ] || fail "a program is left on g1"

note "an interface that is under somebody else's program at the start"
bpftool prog load "$BPF_OBJECTS/foreign.bpf.o" "$program" type xdp
host bpftool net attach xdpdrv pinned "$program" dev g2
start_switch
state() { json '[p["state"] for p in d["ports"] if p["name"] == "g2"][0]' port list; }
equal "state of g2" gone "$(state)"
attempts() { grep -c "foreign_pass" "$RUNDIR/shuntd.log"; }
first=$(attempts)
sleep 11
equal "times that the reason was told" "$first" "$(attempts)"
host bpftool net detach xdpdrv dev g2
attached() { [ "$(state)" != gone ]; }
wait_until 15 "g2 is attached" attached
expect_ping g1 10.0.0.2
