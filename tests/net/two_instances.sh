#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two daemons side by side: nothing passes between them, one ends and the other does not notice.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
add_guest c 10.0.0.3/24
add_guest d 10.0.0.4/24
start_switch
shunt bridge add br0
attach a
attach b

first=$INSTANCE first_daemon=$DAEMON
INSTANCE=$first-two
trap 'rm -rf "/sys/fs/bpf/shunt/$first-two"; kill "$first_daemon" 2>/dev/null; INSTANCE=$first; clean_up $?' EXIT
start_switch
second_daemon=$DAEMON
shunt bridge add br1
shunt port attach br1 c >/dev/null
shunt port attach br1 d >/dev/null

expect_ping a 10.0.0.2
expect_ping c 10.0.0.4
expect_no_ping a 10.0.0.3
note "a port of the first is refused by the second"
refused 1 'a' shunt port attach br1 a
note "the same instance again is refused"
refused 1 "$INSTANCE.*running" host timeout 10 "$SHUNTD" --rundir "$RUNDIR" --instance "$INSTANCE"

note "the second ends"
background a ping -n -q -i 0.02 -c 150 10.0.0.2 >"$RUNDIR/ping"
ping=$CHILD
DAEMON=$second_daemon
stop_switch || fail "the second daemon's exit status"
[ ! -e "/sys/fs/bpf/shunt/$INSTANCE" ] || fail "the second daemon left its pins"
wait "$ping" || fail "ping in the first instance failed"
grep -q ' 0% packet loss' "$RUNDIR/ping" || fail "the first instance lost packets: $(cat "$RUNDIR/ping")"
expect_no_ping c 10.0.0.4
INSTANCE=$first
DAEMON=$first_daemon
equal "bridges of the first" "['br0']" "$(json '[b["name"] for b in d["bridges"]]' bridge list)"
