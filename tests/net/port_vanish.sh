#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A port's interface vanishes under traffic: the others lose nothing, no frame leaks, the port keeps its number and
# serves again when the interface is back. Then: down and up, a new name,
# the end of its owner's namespace.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
add_guest c
add_guest d
start_switch
bridge_of a b c d
expect_ping a 10.0.0.2
port() { json "[p[\"$2\"] for p in d[\"ports\"] if p[\"name\"] == \"$1\"][0]" port list br0; }
number=$(port b ofport)
send d --src 02:00:00:00:00:04 --count 1 >/dev/null
free() { json 'd["umem_free"]' cache stats; }
free_before=$(free)

listen d d --dport 5002
background a python3 "$FRAMES" send eth0 --dst 02:00:00:00:00:02 --dport 5001 --rate 5000 --seconds 60 >/dev/null
background c python3 "$FRAMES" send eth0 --dst 02:00:00:00:00:04 --dport 5002 --rate 3000 --seconds 3 >/dev/null
through=$CHILD
sleep 0.5
host ip link del dev b
gone() { [ "$(port b state)" = gone ]; }
wait_until 5 "the port shows that its interface is gone" gone
equal "number of the port without interface" "$number" "$(port b ofport)"
wait "$through"
heard d
equal "frames lost between c and d" 0 "$(result d 'd["missing"]')"
at_least "frames between c and d" 3000 "$(result d 'd["frames"]')"

make_link b 10.0.0.2/24
back() { [ "$(port b state)" = up ]; }
wait_until 5 "the interface is taken back" back
equal "number of the port that came back" "$number" "$(port b ofport)"
kill -TERM "${CHILDREN[@]}" 2>/dev/null || true
expect_ping a 10.0.0.2
frames_are_back() { [ "$(free)" -eq "$free_before" ]; }
wait_until 5 "as many free frames as before ($free_before)" frames_are_back

note "down and up"
host ip link set dev b down
down() { [ "$(port b state)" = down ]; }
wait_until 5 "the port is shown as down" down
host ip link set dev b up
wait_until 5 "the port is up again" back
expect_ping a 10.0.0.2

note "renamed"
host ip link set dev b name b2
renamed() { [ "$(port b2 ofport)" = "$number" ]; }
wait_until 5 "the port has the new name" renamed
expect_ping a 10.0.0.2
shunt port detach br0 b2

note "the namespace of a port's owner dies, and another takes its place"
guest c ip address add 10.0.0.3/24 dev eth0
number=$(port d ofport)
ip netns pids "$TAG-d" | xargs -r kill -9
ip netns del "$TAG-d"
gone() { [ "$(port d state)" = gone ]; }
wait_until 5 "the port waits" gone
grep -q "port 'd' of bridge 'br0': its interface is gone" "$RUNDIR/shuntd.log" || fail "the log does not say so"
expect_ping a 10.0.0.3
ip netns add "$TAG-d"
make_link d 10.0.0.4/24
is_back() { [ "$(port d state)" = up ]; }
wait_until 5 "the port serves its new owner" is_back
equal "number of the port" "$number" "$(port d ofport)"
expect_ping a 10.0.0.4
