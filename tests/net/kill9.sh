#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of the daemon: cached flows go on forwarding. A new daemon of the same name has the bridge and its ports again.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch
bridge_of a b
expect_ping a 10.0.0.2
mac=$(mac_of b)

listen b b --dport 5001
background a python3 "$FRAMES" send eth0 --src "$(mac_of a)" --dst "$mac" --dport 5001 --rate 5000 --seconds 3 \
  >/dev/null
traffic=$CHILD
sleep 1
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
wait "$traffic"
heard b
equal "frames lost while the daemon was killed" 0 "$(result b 'd["missing"]')"
at_least "frames that passed" 10000 "$(result b 'd["frames"]')"
guest a ping -n -q -c 5 -i 0.1 -W 1 10.0.0.2 >/dev/null || fail "ping without the daemon"
refused 1 'running|connect|daemon' shunt bridge list

DAEMON=
start_switch
equal "ports" "['a', 'b', 'br0']" "$(json 'sorted(p["name"] for p in d["ports"])' port list br0)"
expect_ping a 10.0.0.2
