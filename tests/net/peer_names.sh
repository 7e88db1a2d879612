#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whoever rules a namespace names its interfaces, and the kernel takes almost any byte. Whatever a guest calls its end of a
# veth: the port is attached and restored, Prometheus can read the metrics, and no terminal is told to do anything.
. "$(dirname "$0")/../support/netns.sh"
begin curl ethtool ping
EVIL=$'\xff\e[31m$(id)'
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
rename() { # GUEST FROM TO
  guest "$1" ip link set dev "$2" down
  guest "$1" ip link set dev "$2" name "$3"
  guest "$1" ip link set dev "$3" up
}
rename a eth0 "$EVIL"
start_switch --metrics 0
shunt bridge add br0
shunt port attach br0 a >"$RUNDIR/attached"
attach b
expect_ping a 10.0.0.2

note "shown as text, it is text"
grep -qF 'peer \xff\x1b[31m$(id) in /run/netns/' "$RUNDIR/attached" || fail "it says: $(cat -v "$RUNDIR/attached")"
for command in "port show br0 a" "port list" "top --once" doctor; do
  shunt $command >"$RUNDIR/shown" || true
  if grep -qP '[^\n\x20-\x7e]' "$RUNDIR/shown"; then fail "$command shows raw bytes: $(cat -v "$RUNDIR/shown")"; fi
done
equal "its peer" '\xff\x1b[31m$(id)' "$(json 'd["ports"][0]["peer"]["interface"]' port list br0)"

note "metrics are UTF-8"
URL=$(sed -n 's|.*metrics at \([^ ,]*\),.*|\1|p' "$RUNDIR/shuntd.log")
host curl -sS --max-time 10 "$URL" >"$RUNDIR/metrics"
iconv -f UTF-8 -t UTF-8 "$RUNDIR/metrics" >/dev/null || fail "the metrics are no UTF-8"
grep -qF 'peer="\\xff\\x1b[31m$(id)"' "$RUNDIR/metrics" || fail "they say: $(grep port_info "$RUNDIR/metrics" | cat -v)"

note "a command that is shown to be pasted is one word, and mends it"
guest a ethtool -K "$EVIL" txvlan on
remedy() {
  shunt doctor --json >"$RUNDIR/doctor" || true
  python3 -c "
import json
for f in json.load(open('$RUNDIR/doctor'))['findings']:
    if f['check'] == 'peer-offloads': print(f['remedy'])"
}
bash -c "$(remedy)" >/dev/null
equal "left to mend" "" "$(remedy)"

note "what was changed there is restored, also after the guest chose another name"
gro() { guest a ethtool -k "$1" | sed -n 's/^generic-receive-offload: //p'; }
equal "GRO while it is a port" on "$(gro "$EVIL")"
rename a "$EVIL" $'\e\xc3('
shunt port detach br0 a
equal "GRO after that" off "$(gro $'\e\xc3(')"
attach a
equal "ports" 3 "$(json 'len(d["ports"])' port list br0)"
