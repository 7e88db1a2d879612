#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Thousands of flow-mods under live traffic, each with a barrier behind it: no packet that was made after the barrier's reply
# meets an older rule, at any cache level. A flow that no change concerns loses nothing.
. "$(dirname "$0")/../support/netns.sh"
begin
: "${CHANGES:=2000}"
HERE=$(dirname "$0")
for name in a b; do add_guest "$name"; done
start_switch
bridge_of a b
mac=$(mac_of b)
MGMT=$RUNDIR/br0.mgmt

python3 "$HERE/openflow_barriers.py" change "$MGMT" 0 /dev/null
listen b other --dport 5002 --seconds 120
start_in b python3 "$HERE/stale_changes.py" listen eth0 "$RUNDIR/frames" "$RUNDIR/versions.ready"
listener=$CHILD
wait_until 10 "the listener is ready" test -e "$RUNDIR/versions.ready"
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5001 --rate 4000 --seconds 120 >/dev/null
changed=$CHILD
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5002 --rate 1000 --seconds 120 >/dev/null
other=$CHILD
sleep 0.5
timeout 80 python3 "$HERE/openflow_barriers.py" change "$MGMT" "$CHANGES" "$RUNDIR/changes" || fail "the changes did not go through"
kill -TERM "$changed" "$other"
SETTLE=0.5 heard other
kill -TERM "$listener"
wait "$listener" || fail "the listener failed"
python3 "$HERE/stale_changes.py" judge "$RUNDIR/changes" "$RUNDIR/frames" || fail "stale packets, or too few to say"
equal "frames of the other flow lost, doubled, out of order" "0 0 0" \
  "$(result other '"{} {} {}".format(d["missing"], d["doubled"], d["inversions"])')"
