#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A thousand changes of rules and groups under live traffic: the rules write their version into each packet, and no packet
# that was made after a command had returned meets an older version, at any cache level. A flow that no change concerns
# loses nothing and stays in the kernel.
. "$(dirname "$0")/../support/netns.sh"
begin
: "${CHANGES:=1000}"
PARTS=$(dirname "$0")/stale_changes.py
for name in a b; do add_guest "$name"; done
start_switch
bridge_of a b
mac=$(mac_of b)
SOCKET=$RUNDIR/$INSTANCE.sock

# The rules are there before the traffic, so that what is counted is counted by them.
python3 "$PARTS" change "$SOCKET" 0 /dev/null
await_program
listen b other --dport 5002 --seconds 120
start_in b python3 "$PARTS" listen eth0 "$RUNDIR/frames" "$RUNDIR/versions.ready"
listener=$CHILD
wait_until 10 "the listener is ready" test -e "$RUNDIR/versions.ready"
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5001 --rate 4000 --seconds 120 >/dev/null
changed=$CHILD
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5002 --rate 1000 --seconds 120 >/dev/null
other=$CHILD
sleep 0.5
before=$(json 'd["misses"]' cache stats)
start=$SECONDS
timeout 80 python3 "$PARTS" change "$SOCKET" "$CHANGES" "$RUNDIR/changes" || fail "the changes did not go through"
note "$CHANGES changes in about $((SECONDS - start)) s"
kill -TERM "$changed" "$other"
SETTLE=0.5 heard other
kill -TERM "$listener"
wait "$listener" || fail "the listener failed"

python3 "$PARTS" judge "$RUNDIR/changes" "$RUNDIR/frames" || fail "stale packets, or too few to say"
equal "frames of the other flow lost, doubled, out of order" "0 0 0" \
  "$(result other '"{} {} {}".format(d["missing"], d["doubled"], d["inversions"])')"
at_least "frames of the other flow" 500 "$(result other 'd["frames"]')"
# Otherwise this would try the slow path only. A change may send a packet or two of its own flow up, no more.
hits=$(json 'd["megaflow_hits"] + d["exact_hits"]' cache stats)
misses=$(($(json 'd["misses"]' cache stats) - before))
note "$hits packets answered in the kernel, $misses misses"
at_least "packets answered in the kernel, of each that went up" 3 $((hits / (misses + 1)))
