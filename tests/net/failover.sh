#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fast failover: a port of the group goes down under traffic and the next bucket takes over by itself; the gap is counted in
# packets of a steady sender. When the port comes back the first bucket does, too, and nothing is lost on the way.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch
bridge_of a b c
RATE=2000 # a second: a packet is half a millisecond
shunt group add br0 'group_id=1,type=ff,bucket=bucket_id:1,watch_port:b,actions=output:b,bucket=bucket_id:2,watch_port:c,actions=output:c'
shunt flow replace br0 --file - <<'RULES'
priority=10,in_port=a,udp,actions=group:1
priority=0,actions=drop
RULES
listen b b --log "$RUNDIR/b.log"
listen c c --log "$RUNDIR/c.log"
background a python3 "$FRAMES" send eth0 --dst 02:00:00:00:00:02 --rate $RATE --seconds 60 >/dev/null
sender=$CHILD
sleep 1
for _ in $(seq 5); do
  host ip link set dev b down
  sleep 0.6
  host ip link set dev b up
  sleep 0.6
done
kill -TERM "$sender"
SETTLE=0.5 heard b c
python3 - "$RUNDIR" "$RATE" <<'PYTHON' || fail "the traffic was not restored in time"
import sys

directory, rate = sys.argv[1], int(sys.argv[2])
arrived = {}
for port in "bc":
    for line in open(f"{directory}/{port}.log"):
        arrived[int(line.split()[1])] = port
numbers = sorted(arrived)
gaps = [(after - before - 1, arrived[before], arrived[after]) for before, after in zip(numbers, numbers[1:])]
to_c = [lost for lost, old, new in gaps if (old, new) == ("b", "c")]
to_b = [lost for lost, old, new in gaps if (old, new) == ("c", "b")]
within = sum(lost for lost, old, new in gaps if old == new)
print(f"-- {len(numbers)} packets; lost by failovers {to_c}, by ways back {to_b}, otherwise {within}; a packet is {1000 / rate} ms")
sys.exit(len(to_c) < 5 or max(to_c) >= rate // 10 or max(to_b, default=0) >= rate // 10 or within > 0)
PYTHON
equal "failovers that the buckets counted" True \
  "$(json 'all(b["packets"] > 500 for g in d["groups"] for b in g["buckets"])' group list br0)"
