#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A TAP made on request: the program behind it hears and speaks; detach removes it.
. "$(dirname "$0")/../support/netns.sh"
begin
[ -e /dev/net/tun ] || skip "no /dev/net/tun"
add_guest a
start_switch
shunt bridge add br0
attach a
refused 1 'tap0' shunt port attach br0 tap0
shunt port attach br0 tap0 --create-tap >/dev/null
host ip link show dev tap0 >/dev/null || fail "there is no tap0"

(exec nsenter --net="/run/netns/$TAG-host" -- python3 "$FRAMES" receive tap0 --tap --dport 9 \
  --ready "$RUNDIR/tap.ready" >"$RUNDIR/tap.json") &
LISTENER[tap]=$!
CHILDREN+=("$!")
wait_until 5 "the program behind the TAP is ready" test -e "$RUNDIR/tap.ready"
up() { [ "$(json '[p["state"] for p in d["ports"] if p["name"] == "tap0"][0]' port list br0)" = up ]; }
wait_until 5 "the port is up, now that a program holds the TAP" up
send a --count 200 --rate 1000 >/dev/null
heard tap
equal "frames behind the TAP" 200 "$(result tap 'd["frames"]')"

listen a a --dport 9
host python3 "$FRAMES" send tap0 --tap --seconds 0.5 --rate 400 >"$RUNDIR/sent"
heard a
# The port is seen up only some milliseconds after the program has opened the TAP.
at_least "frames from the TAP" 100 "$(result a 'd["frames"]')"

shunt port detach br0 tap0
if host ip link show dev tap0 2>/dev/null; then fail "tap0 outlived its port"; fi
