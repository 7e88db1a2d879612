#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Detach, and the daemon's end, leave interfaces as they were: offloads on both sides, flags, no program, no pins.
. "$(dirname "$0")/../support/netns.sh"
begin ethtool ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
state() { # GUEST: what attach could have changed, both ends
  host ethtool -k "$1"
  guest "$1" ethtool -k eth0
  host ip -o link show dev "$1" | sed 's/^[0-9]*: //; s/ qlen.*//'
  host ip -d -o link show dev "$1" | grep -o 'promiscuity [0-9]*'
}
for name in a b; do state $name >"$RUNDIR/before-$name"; done
start_switch
bridge_of a b
expect_ping a 10.0.0.2
state b >"$RUNDIR/during"
changed=$(json 'sum(len(p["changes"]) for p in d["ports"] if p["name"] == "b")' port list br0)
if ! diff <(grep -v xdp "$RUNDIR/before-b") <(grep -v xdp "$RUNDIR/during") >"$RUNDIR/diff"; then
  at_least "changes shown, since something changed: $(cat "$RUNDIR/diff")" 1 "$changed"
fi

shunt port detach br0 a
diff "$RUNDIR/before-a" <(state a) || fail "detach left a changed"
stop_switch || fail "the daemon's exit status"
diff "$RUNDIR/before-b" <(state b) || fail "the daemon's end left b changed"
[ ! -e "/sys/fs/bpf/shunt/$INSTANCE" ] || fail "pins are left: $(ls "/sys/fs/bpf/shunt/$INSTANCE")"
[ ! -e "$RUNDIR/$INSTANCE.sock" ] || fail "the socket is left"
if host ip link show dev br0 2>/dev/null; then fail "br0 is left"; fi
