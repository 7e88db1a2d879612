#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Forwarding outlives the daemon: traffic on 1,000 cached flows over many kills (KILLS, 50), not a frame lost; each new
# daemon takes the flows over, serves new ones, and the counters go on.
. "$(dirname "$0")/../support/netns.sh"
KILLS=${KILLS:-50}
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
flows=1000
start_switch
bridge_of a b
for i in $(seq 0 $((flows - 1))); do
  echo "priority=100,in_port=a,udp,tp_dst=5001,tp_src=$((10000 + i)),actions=output:b"
done | shunt flow add br0 --file - >/dev/null
mac=$(mac_of b)
# Packets of the 1,000 rules; what the port counted of everything.
counted() { json 'sum(r["packets"] for r in d["rules"] if r["priority"] == 100)' flow list br0; }
received() { json '[p["rx_packets"] for p in d["ports"] if p["name"] == "a"][0]' port list; }
programs() { host ip -d link show dev a | grep -o 'prog/xdp id [0-9]*'; }
start_at_once() {
  python3 -c 'import time; print(time.monotonic_ns())' >>"$RUNDIR/starts"
  (exec nsenter --net="/run/netns/$TAG-host" -- "$SHUNTD" --rundir "$RUNDIR" --instance "$INSTANCE" \
    --statedir "$RUNDIR/state" --port-mode "${PORT_MODE:-native}" 2>>"$RUNDIR/shuntd.log") &
  DAEMON=$!
}

expect_ping a 10.0.0.2
guest a python3 "$FRAMES" send eth0 --src "$(mac_of a)" --dst "$mac" --dport 5001 --sport 10000 --flows $flows \
  --count $flows --rate 2000 >/dev/null
all_cached() { [ "$(json 'd["flows"]' cache stats)" -ge $flows ]; }
wait_until 5 "all flows are cached" all_cached
sleep 0.3 # they are young no more
port_before=$(received)

SECONDS_MOST=$((KILLS * 6 + 30))
listen b cached --dport 5001 --seconds $SECONDS_MOST
listen b fresh --dport 6001 --log "$RUNDIR/fresh.log" --seconds $SECONDS_MOST
background a python3 "$FRAMES" send eth0 --src "$(mac_of a)" --dst "$mac" --dport 5001 --sport 10000 --flows $flows \
  --rate 3000 --seconds $SECONDS_MOST >"$RUNDIR/sent"
traffic=$CHILD
# Every frame from another MAC: each is a flow that no daemon has seen.
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 6001 --vary mac --flows 0 --first-flow 65536 --rate 200 \
  --seconds $SECONDS_MOST >"$RUNDIR/sent-fresh"
probes=$CHILD
sleep 2.5 # the flows of both have made the program what they need
program=$(programs)
for _ in $(seq "$KILLS"); do
  kill -KILL "$DAEMON"
  wait "$DAEMON" 2>/dev/null || true
  start_at_once
  wait_until 20 "shuntd answers" daemon_answers
  sleep 0.2
done
kill -TERM "$traffic" "$probes"
wait "$traffic" "$probes"
heard cached fresh
sent=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["sent"])' "$RUNDIR/sent")
at_least "frames sent" $((KILLS * 500)) "$sent"
equal "frames lost over $KILLS kills" 0 "$(result cached 'd["missing"]')"
equal "frames that came" "$sent" "$(result cached 'd["frames"]')"
note "$sent frames on $flows cached flows over $KILLS kills, none lost"
equal "the XDP program, which was not swapped" "$program" "$(programs)"
equal "what the rules counted" $((flows + sent)) "$(counted)"
fresh=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["sent"])' "$RUNDIR/sent-fresh")
at_least "what the port received" $((port_before + sent + fresh)) "$(received)"
# How long after a daemon's start the first frame of a new flow was made that came.
python3 - "$RUNDIR/fresh.log" "$RUNDIR/starts" <<'PY'
import bisect, sys
made = sorted(int(line.split()[2]) for line in open(sys.argv[1]))
starts = [int(line) for line in open(sys.argv[2])]
waits = sorted((made[bisect.bisect_left(made, start)] - start) / 1e6 for start in starts)
print(f"-- new flows were served again within {waits[len(waits) // 2]:.0f} ms (median), {waits[-1]:.0f} ms (worst) of a start")
sys.exit(0 if waits[len(waits) // 2] < 500 and waits[-1] < 5_000 else "FAILED: new flows waited for longer than they may")
PY
grep -c "taken over" "$RUNDIR/shuntd.log" >/dev/null || fail "no daemon took flows over"
if grep -E "[1-9][0-9]* were not whole" "$RUNDIR/shuntd.log"; then note "(flows that a kill cut in two)"; fi

note "--keep-forwarding: SIGTERM leaves everything as it is"
stop_switch
start_switch --keep-forwarding
guest a python3 "$FRAMES" send eth0 --src "$(mac_of a)" --dst "$mac" --dport 5001 --sport 10000 --flows $flows \
  --count $flows --rate 2000 >/dev/null
sleep 0.3
before=$(counted)
stop_switch
refused 1 'running|connect|daemon' shunt bridge list
listen b kept --dport 5001
send a --src "$(mac_of a)" --dst "$mac" --dport 5001 --sport 10000 --flows $flows \
  --count 3000 --rate 3000 >/dev/null
heard kept
equal "frames without a daemon" 3000 "$(result kept 'd["frames"]')"
start_switch
equal "what the rules counted meanwhile" $((before + 3000)) "$(counted)"

note "another flow limit: the maps are made anew, ports are never without a program"
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
start_switch --flow-limit 100000
grep -q "maps of an earlier daemon do not fit (map megaflows has room for 200000, here for 100000)" "$RUNDIR/shuntd.log" ||
  fail "the loss is not stated"
expect_ping a 10.0.0.2

note "a plain stop detaches everything; what is counted begins at zero"
stop_switch
[ -z "$(programs || true)" ] || fail "the program is still there"
start_switch
equal "what the rules counted" 0 "$(counted)"
equal "what b's port sent" 0 "$(json '[p["tx_packets"] for p in d["ports"] if p["name"] == "b"][0]' port list)"
