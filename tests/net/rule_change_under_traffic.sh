#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A command that changed rules returns when no cache can answer with the older verdict; other flows lose nothing
# meanwhile. Frames carry the time they were made: those made after the command returned must meet the new rule.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b; do add_guest "$name"; done
start_switch
bridge_of a b
mac=$(mac_of b)
send b --src "$mac" --count 1 >/dev/null
now() { python3 -c 'import time; print(time.monotonic_ns())'; }

listen b changed --dport 5001 --log "$RUNDIR/changed.log"
listen b other --dport 5002
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5001 --rate 5000 --seconds 60 >/dev/null
changed=$CHILD
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5002 --rate 5000 --seconds 60 >/dev/null
other=$CHILD
sleep 0.5
for _ in $(seq 12); do
  shunt flow add br0 'priority=100,udp,tp_dst=5001,actions=drop'
  echo "drop $(now)" >>"$RUNDIR/changes"
  sleep 0.1
  echo "open-begin $(now)" >>"$RUNDIR/changes"
  shunt flow del br0 'udp,tp_dst=5001'
  echo "pass $(now)" >>"$RUNDIR/changes"
  sleep 0.1
  echo "close-begin $(now)" >>"$RUNDIR/changes"
done
kill -TERM "$changed" "$other"
SETTLE=1 heard changed other

equal "frames of the other flow lost, doubled, out of order" "0 0 0" \
  "$(result other '"{} {} {}".format(d["missing"], d["doubled"], d["inversions"])')"
at_least "frames of the other flow" 5000 "$(result other 'd["frames"]')"
# Otherwise this would try the slow path only.
at_least "packets answered in the kernel, of each that went up" 5 \
  "$(json '(d["megaflow_hits"] + d["exact_hits"]) // max(1, d["misses"])' cache stats)"
python3 - "$RUNDIR" <<'PYTHON' || fail "stale verdicts"
import bisect, sys

directory = sys.argv[1]
made = sorted(int(line.split()[2]) for line in open(f"{directory}/changed.log"))
changes = [(line.split()[0], int(line.split()[1])) for line in open(f"{directory}/changes")]
stale = lost = closed_windows = 0
for (what, start), (_, end) in zip(changes, changes[1:]):
    passed = bisect.bisect_left(made, end) - bisect.bisect_left(made, start)
    if what == "drop":
        stale += passed
        closed_windows += 1
    elif what == "pass":
        # 0.1 s at 5000 a second; the sender itself may be slow, so this asks only that the flow is open again at once
        first = made[bisect.bisect_left(made, start)] - start if passed else 1 << 62
        lost += first > 30_000_000
print(f"-- {closed_windows} changes, {len(made)} frames passed, {stale} stale, {lost} late openings")
sys.exit(stale != 0 or lost > 1)
PYTHON
