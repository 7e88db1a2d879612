#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shunt doctor: what was put wrong is found and told with the command that mends it; that command does mend it; exit statuses.
. "$(dirname "$0")/../support/netns.sh"
begin ping ethtool setpriv
doctor() { # STATUS: its findings, as JSON, in $RUNDIR/doctor
  local got=0
  shunt doctor --json >"$RUNDIR/doctor" || got=$?
  equal "exit status ($(python3 -c "
import json
print([(f['severity'], f['subject'], f['what']) for f in json.load(open('$RUNDIR/doctor'))['findings']])"))" "$1" "$got"
}
found() { # CHECK SUBJECT: the remedies of its findings
  python3 -c "
import json
for f in json.load(open('$RUNDIR/doctor'))['findings']:
    if f['check'] == '$1' and str(f['subject']) == '$2': print(f['remedy'])"
}

note "without a daemon"
got=0
shunt doctor >"$RUNDIR/text" || got=$?
case $got in 0 | 3 | 4) ;; *) fail "exit status $got: $(cat "$RUNDIR/text")" ;; esac
grep -q 'no daemon answers: only the machine was looked at' "$RUNDIR/text" || fail "it says: $(cat "$RUNDIR/text")"

add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch
bridge_of a b
host ip link set dev br0 up
expect_ping a 10.0.0.2
shunt doctor --json >"$RUNDIR/doctor" || true
equal "findings at ports" "[]" "$(python3 -c "
import json
print([f for f in json.load(open('$RUNDIR/doctor'))['findings'] if f['subject'] in ('a', 'b', 'br0')])")"

note "offloads of a veth's other end"
guest a ethtool -K eth0 txvlan on
doctor 4
equal "remedy" "ip netns exec $TAG-a ethtool -K eth0 txvlan off" "$(found peer-offloads a)"
bash -c "$(found peer-offloads a)" >/dev/null
shunt doctor --json >"$RUNDIR/doctor" || true
equal "mended" "" "$(found peer-offloads a)"

note "MTUs"
host ip link set dev b mtu 1400
mtu_found() { shunt doctor --json >"$RUNDIR/doctor" || true; [ "$(found mtu br0)" = "ip link set dev PORT mtu 1400" ]; }
wait_until 5 "the MTUs are found to differ" mtu_found
doctor 3
equal "of its other end" "ip link set dev b mtu 1500" "$(found mtu b)"
host ip link set dev b mtu 1500

note "how full things are is as the daemon judges it: captures, of which eight can run"
captures=()
for _ in 1 2 3 4 5 6 7; do
  (exec nsenter --net="/run/netns/$TAG-host" -- "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" capture br0 --write /dev/null 2>/dev/null) &
  captures+=($!)
  CHILDREN+=($!)
done
captures_found() { shunt doctor --json >"$RUNDIR/doctor" || true; [ "$(found nearly-full None)" = "end some: shunt captures shows them" ]; }
wait_until 10 "seven captures are found to be many" captures_found
kill -INT "${captures[@]}"
wait "${captures[@]}" || true

note "drops: a warning while they go on, a note when they lie behind"
drops_say() { # SEVERITY TEXT
  shunt doctor --json >"$RUNDIR/doctor" || true
  python3 -c "
import json, sys
found = [f for f in json.load(open('$RUNDIR/doctor'))['findings'] if f['check'] == 'drops' and f['subject'] == 'a']
sys.exit([f['severity'] for f in found] != ['$1'] or '$2' not in found[0]['what'])"
}
guest a ip link set dev eth0 mtu 1600
host ip link set dev a mtu 1600
background a ping -q -f -i 0.02 -s 1560 -M do 10.0.0.2 >/dev/null
wait_until 10 "packets that are too long are warned of" drops_say warning frame-too-long
kill -KILL "$CHILD"
wait "$CHILD" 2>/dev/null || true
wait_until 10 "they are a note then" drops_say note frame-too-long
guest a ip link set dev eth0 mtu 1500
host ip link set dev a mtu 1500

note "the rights are the daemon's, not those of whoever asks"
shunt doctor --json >"$RUNDIR/doctor" || true
equal "as root" "" "$(found rights None)"
host setpriv --bounding-set=-net_admin --inh-caps=-net_admin -- \
  "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" doctor --json >"$RUNDIR/doctor" || true
equal "asked by one without CAP_NET_ADMIN" "" "$(found rights None)"

note "rp_filter at the bridge's own interface"
host sysctl -qw net.ipv4.conf.br0.rp_filter=1
shunt doctor --json >"$RUNDIR/doctor" || true
grep -q 'rp_filter=2' <<<"$(found rp-filter br0)" || fail "rp_filter is not found: $(cat "$RUNDIR/doctor")"
host sysctl -qw net.ipv4.conf.br0.rp_filter=0 net.ipv4.conf.all.rp_filter=0

note "a port without its interface, one that is down, one in generic mode"
host ip link set dev b down
down_found() { shunt doctor --json >"$RUNDIR/doctor" || true; [ -n "$(found port-state b)" ]; }
wait_until 5 "b is found to be down" down_found
host ip link set dev b up
host ip link del dev b
gone_found() { shunt doctor --json >"$RUNDIR/doctor" || true; grep -q 'detach br0 b' <<<"$(found port-state b)"; }
wait_until 5 "b is found to be gone" gone_found
doctor 4
host ip link add name g type veth peer name h
host ip link set dev g up
host ip link set dev h up
shunt port attach br0 g --mode generic >/dev/null
shunt doctor --json >"$RUNDIR/doctor" || true
equal "remedy" "shunt port detach br0 g; shunt port attach br0 g" "$(found xdp-mode g)"

note "as text"
got=0
shunt doctor >"$RUNDIR/text" || got=$?
equal "exit status" 4 "$got"
grep -q '^error    b: its interface is gone' "$RUNDIR/text" || fail "it says: $(cat "$RUNDIR/text")"
grep -q 'try: shunt port detach br0 b' "$RUNDIR/text" || fail "it says: $(cat "$RUNDIR/text")"
