#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A daemon that does not come to its packets: those that its socket has no room for are counted, each of them.
. "$(dirname "$0")/../support/netns.sh"
begin
add_guest a
add_guest b
start_switch --upcall-rate 1000000 --upcall-burst 100000
bridge_of a b
shunt flow add br0 'priority=9,dl_src=06:00:00:00:ff:ff,actions=drop' # MACs matter to rules: no flow is for all of them

lost() { json 'sum(r["packets"] for r in d["drops"] if r["reason"] == "upcall-queue-full" and r["port"] == "a")' drops br0; }
handled() { json 'd["upcalls_handled"]' cache stats; }
before=$(handled)
kill -STOP "$DAEMON"
send a --src 06:00:00:00:00:00 --dst 02:00:00:00:00:02 --vary mac --flows 6000 --count 6000 --rate 20000 >/dev/null
kill -CONT "$DAEMON"
all_told() { [ "$(($(handled) - before + $(lost)))" -ge 6000 ]; }
wait_until 10 "each packet was handled or is counted as lost" all_told
equal "packets that were handled or lost" 6000 "$(($(handled) - before + $(lost)))"
at_least "packets that found no room" 2000 "$(lost)"
at_least "packets that waited for the daemon" 1000 "$(($(handled) - before))"
kept=$(lost)
sleep 2
equal "lost ones, counted once" "$kept" "$(lost)"
