#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One port floods the switch with new flows; the other ports' first packets are served all the same.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a
add_guest b
add_guest c 10.0.0.3/24
add_guest d 10.0.0.4/24
start_switch --upcall-rate 3000 --upcall-burst 500
bridge_of a b c d
expect_ping c 10.0.0.4

background a python3 "$FRAMES" send eth0 --src 06:00:00:00:00:00 --dst 02:00:00:00:00:02 --flows 0 --vary mac \
  --seconds 30 >/dev/null
flood=$CHILD
sleep 1
for i in $(seq 15); do
  shunt cache flush
  guest c ping -n -q -c 1 -W 1 10.0.0.4 >/dev/null || fail "ping $i between c and d is lost during a's flood"
done
kill -TERM "$flood"
at_least "a's misses over budget" 5000 \
  "$(json 'sum(r["packets"] for r in d["drops"] if r["reason"] == "upcall-budget" and r["port"] == "a")' drops br0)"
equal "c's misses over budget" 0 \
  "$(json 'sum(r["packets"] for r in d["drops"] if r["reason"] == "upcall-budget" and r["port"] == "c")' drops br0)"
wait_until 10 "the flood's MACs did not push out c's" fdb_has 02:00:00:00:00:03 c
