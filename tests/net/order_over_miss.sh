#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packets of a flow that is not cached yet come in a row: some go through userspace, then the flow is published. None
# overtakes another. Again and again from a cold cache.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b; do add_guest "$name"; done
start_switch
bridge_of a b
mac=$(mac_of b)
send b --src "$mac" --count 1 >/dev/null
wait_until 5 "b is known" fdb_has "$mac" b

listen b b --dport 5001
# The second half of a burst comes while the first is in userspace: 400 frames as fast as they go, and a pause.
for i in $(seq 25); do
  shunt cache flush
  send a --dst "$mac" --dport 5001 --first-flow $((i * 4)) --flows 4 --count 1200 >/dev/null
done
heard b
at_least "frames that arrived" 25000 "$(result b 'd["frames"]')"
equal "frames out of order" 0 "$(result b 'd["inversions"]')"
at_least "packets through userspace" 25 "$(json 'd["misses"]' cache stats)"
