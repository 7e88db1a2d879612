#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A meter's rate, kept within 5 % while two senders, on two CPUs where there are as many, offer far more than it: what passed
# between two readings of its counters, over the time between them. Rates above what the senders make here are skipped;
# tests/bpf measures those up to 5 Gbit/s.
. "$(dirname "$0")/../support/netns.sh"
begin
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
add_guest c 10.0.0.3/24
start_switch
bridge_of a b c

cat >"$RUNDIR/flood.py" <<'PYTHON'
import socket, sys
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.connect((sys.argv[1], 9))
data = bytes(1458)  # 1,500 bytes of Ethernet
while True:
    try:
        out.send(data)
    except OSError:  # nobody listens there (ECONNREFUSED), or no room
        pass
PYTHON

# Prints bits a second that passed, and that were offered, over SECONDS.
cat >"$RUNDIR/measure.py" <<'PYTHON'
import json, subprocess, sys, time
def read():
    before = time.monotonic()
    answer = subprocess.run(sys.argv[2:], check=True, capture_output=True, text=True)
    meter = json.loads(answer.stdout)["meters"][0]
    offered = meter["bytes"]
    # Read at some moment of the call: its middle.
    return (before + time.monotonic()) / 2, offered - sum(band["bytes"] for band in meter["bands"]), offered
first = read()
time.sleep(float(sys.argv[1]))
last = read()
elapsed = last[0] - first[0]
print(*(round((last[i] - first[i]) * 8 / elapsed) for i in (1, 2)))
PYTHON

shunt meter add br0 'meter=1,kbps,bands=type=drop,rate=1000'
shunt flow replace br0 --file - <<'RULES'
priority=10,udp,actions=meter:1,normal
priority=0,actions=normal
RULES
expect_ping a 10.0.0.3
expect_ping b 10.0.0.3
guest c ip route add blackhole 10.0.0.1/32 2>/dev/null || true # no ICMP answers to what is flooded
guest c ip route add blackhole 10.0.0.2/32 2>/dev/null || true
background a python3 "$RUNDIR/flood.py" 10.0.0.3
background b python3 "$RUNDIR/flood.py" 10.0.0.3
sleep 1 # both are under way

# Sets passed and offered. On a busy machine the call that reads takes long, and what was read at some moment of it is
# off: then once more.
measure() { # KBPS
  local attempt
  for attempt in 1 2 3; do
    read -r passed offered < <(python3 "$RUNDIR/measure.py" 2 "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" meter stats br0 1 --json)
    if [ "$passed" -ge $(($1 * 950)) ] && [ "$passed" -le $(($1 * 1050)) ]; then return; fi
    note "attempt $attempt: $((passed / 1000)) of $1 kbit/s"
  done
}

tried=0
for kbps in 1000 10000 100000 400000 1000000; do
  shunt meter mod br0 "meter=1,kbps,bands=type=drop,rate=$kbps"
  sleep 0.5 # the first burst is over
  measure "$kbps"
  if [ "$offered" -lt $((kbps * 1250)) ]; then
    note "$kbps kbit/s: only $((offered / 1000)) kbit/s were offered"
    continue
  fi
  note "$kbps kbit/s: $((passed / 1000)) kbit/s passed of $((offered / 1000))"
  at_least "bits a second that passed at $kbps kbit/s" $((kbps * 950)) "$passed"
  at_most "bits a second that passed at $kbps kbit/s" $((kbps * 1050)) "$passed"
  tried=$((tried + 1))
done
at_least "rates that were tried" 3 "$tried"
equal "metered flows that the kernel does not run" 0 \
  "$(json 'sum(f["where"] != "kernel" for f in d["flows"] if "meter" in f["actions"])' cache list)"
