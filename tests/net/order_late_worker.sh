#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# As order_over_miss, but the worker gets its processor late, for others want it too: packets of flows that were
# published long ago may still wait for it, and none may be overtaken. A sender that stays on one CPU, and one that moves.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b; do add_guest "$name"; done
start_switch
bridge_of a b
mac=$(mac_of b)
send b --src "$mac" --count 1 >/dev/null
wait_until 5 "b is known" fdb_has "$mac" b

for task in "/proc/$DAEMON/task"/*; do
  [[ $(<"$task/comm") != worker* ]] || renice -n 19 -p "${task##*/}" >/dev/null
done
spin='import time; end = time.monotonic() + 80
while time.monotonic() < end: pass'
for core in $(seq 0 $(($(nproc) - 1))); do background a taskset -c "$core" python3 -c "$spin"; done

listen b b --dport 5001
bursts() { # FIRST
  for i in $(seq "$1" $(($1 + 14))); do
    shunt cache flush
    send a --dst "$mac" --dport 5001 --first-flow $((i * 4)) --flows 4 --count 1000 >/dev/null
  done
}
bursts 0
taskset -p -c 0 $BASHPID >/dev/null
bursts 15
heard b
at_least "frames that arrived" 10000 "$(result b 'd["frames"]')"
equal "frames out of order" 0 "$(result b 'd["inversions"]')"
at_least "packets that waited for earlier ones" 100 "$(json 'd["upcalls"]["order"]' cache stats)"
