#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Figures by HTTP: promtool has nothing to say against them, they are those that the command shows, they count what was
# sent, and nothing but GET gets through.
. "$(dirname "$0")/../support/netns.sh"
begin curl
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch --metrics 0
bridge_of a b
# No ARP on its own accord: between two readings nothing moves.
guest a ip neigh replace 10.0.0.2 lladdr "$(mac_of b)" dev eth0
guest b ip neigh replace 10.0.0.1 lladdr "$(mac_of a)" dev eth0

URL=$(sed -n 's|.*metrics at \(http://127[^ /]*\)/metrics.*|\1|p' "$RUNDIR/shuntd.log")
[ -n "$URL" ] || fail "the log does not say where the metrics are"
get() { host curl -sS --max-time 10 "$URL$1" "${@:2}"; }
status_of() { get "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
# metric SERIES: its value, of the last scrape.
metric() { awk -v series="$1" '$1 == series { print $2; found = 1 } END { exit !found }' "$RUNDIR/metrics" || fail "no series $1"; }
scrape() {
  sleep 0.3 # what is shown is a quarter of a second old at most
  get /metrics >"$RUNDIR/metrics"
}

scrape
before=$(metric 'shunt_port_receive_packets_total{bridge="br0",port="a"}')
expect_ping a 10.0.0.2
shunt flow add br0 'priority=10,udp,actions=drop'
guest a bash -c 'for i in 1 2 3 4 5 6 7; do echo x >/dev/udp/10.0.0.2/9; done'
sleep 0.5
scrape

if command -v promtool >/dev/null; then
  # promtool says on stdout what it finds, also where its status is 0.
  equal "what promtool check metrics says" "" "$(promtool check metrics <"$RUNDIR/metrics" 2>&1)"
else
  note "promtool is not here (package prometheus): its check is left out"
fi

note "counters count"
at_least "packets of a more than before" 12 $(($(metric 'shunt_port_receive_packets_total{bridge="br0",port="a"}') - before))
equal "drops by rule" 7 "$(metric 'shunt_port_drops_total{bridge="br0",port="a",reason="rule"}')"
equal "rules" 2 "$(metric 'shunt_bridge_rules{bridge="br0"}')"
grep -q '^shunt_build_info{version="[0-9.]*",switch="'"$INSTANCE"'"} 1$' "$RUNDIR/metrics" || fail "no build info"
[ "$(metric shunt_worker_busy_seconds_total'{worker="0"}')" != 0 ] || fail "the worker was never busy"
for stage in wait translate send publish; do
  count=$(metric "shunt_upcall_stage_seconds_count{stage=\"$stage\"}")
  at_least "upcalls timed: $stage" 2 "$count"
  equal "the last bucket of $stage" "$count" "$(metric "shunt_upcall_stage_seconds_bucket{stage=\"$stage\",le=\"+Inf\"}")"
done

note "equal to what the command shows"
for port in a b; do
  for pair in receive_packets:rx_packets receive_bytes:rx_bytes transmit_packets:tx_packets transmit_bytes:tx_bytes; do
    equal "${pair%:*} of $port" "$(json "d['${pair#*:}']" port show br0 "$port")" \
      "$(metric "shunt_port_${pair%:*}_total{bridge=\"br0\",port=\"$port\"}")"
  done
done
for name in flows masks published evicted expired; do
  case $name in
    flows) series=shunt_flows ;;
    masks) series=shunt_flow_masks ;;
    *) series=shunt_flows_${name}_total ;;
  esac
  equal "$series" "$(json "d['$name']" cache stats)" "$(metric "$series")"
done
equal "misses" "$(json "d['misses']" cache stats)" "$(awk '/^shunt_cache_misses_total/ { n += $2 } END { print n }' "$RUNDIR/metrics")"
equal "drops" "$(json "sum(r['packets'] for r in d['drops'])" drops)" \
  "$(awk '/^shunt_port_drops_total/ { n += $2 } END { print n }' "$RUNDIR/metrics")"
get /api/stats >"$RUNDIR/stats.json"
equal "the page's data: drops of a" 7 "$(result stats '[p for p in d["ports"] if p["name"] == "a"][0]["drop_reasons"]["rule"]')"
equal "the page's data: the peer of a" "eth0 netns $TAG-a" \
  "$(result stats '" ".join([p for p in d["ports"] if p["name"] == "a"][0]["peer"].values())')"

note "a flow and the rules that made it"
id=$(result stats '[f for f in d["flows"] if "drop" in f["actions"]][0]["id"]')
get "/api/flow?id=$id" >"$RUNDIR/flow.json"
equal "its rule" "priority 10, udp" "$(result flow '"priority {priority}, {match}".format(**d["trace"]["rules"][0])')"

note "it reads only, and bad input is refused"
for method in POST PUT DELETE PATCH OPTIONS; do equal "$method" 405 "$(status_of /metrics -X "$method")"; done
equal "POST with a body" 405 "$(status_of /api/stats -d '{"method":"bridge.del"}')"
equal "HEAD" 200 "$(status_of /metrics -I)"
equal "another path" 404 "$(status_of /api/bridge.del)"
equal "a path out of here" 404 "$(status_of /../../etc/passwd --path-as-is)"
equal "an unknown parameter" 400 "$(status_of '/api/stats?limit=5')"
equal "too many flows" 400 "$(status_of '/api/stats?flows=101')"
equal "no flow's id" 400 "$(status_of '/api/flow?id=zz')"
equal "an unknown flow" 404 "$(status_of '/api/flow?id=1')"
equal "a foreign host" 403 "$(status_of / -H 'Host: evil.example:80')"
equal "a foreign host that begins like an address" 403 "$(status_of / -H 'Host: 127.0.0.1.evil.example')"
equal "a huge header" 431 "$(status_of / -H "X: $(head -c 7000 /dev/zero | tr '\0' x)" -H "Y: $(head -c 7000 /dev/zero | tr '\0' x)" \
  -H "Z: $(head -c 7000 /dev/zero | tr '\0' x)")"
equal "the page" 200 "$(status_of /)"
equal "health" "ok" "$(get /healthz)"

note "slow clients get 408, and stop nobody"
cat >"$RUNDIR/slow.py" <<'PYTHON'
import socket, sys, time
host, port = sys.argv[1].removeprefix("http://").rsplit(":", 1)
slow = [socket.create_connection((host, int(port))) for _ in range(6)]
deadline = time.monotonic() + 12
for byte in b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1000:
    try:
        for s in slow: s.send(bytes([byte]))
    except OSError:
        break
    if time.monotonic() > deadline: break
    time.sleep(0.2)
print(slow[0].recv(100).decode().split("\r\n")[0])
PYTHON
host python3 "$RUNDIR/slow.py" "$URL" >"$RUNDIR/slow.out" &
slow=$!
sleep 1
equal "a scrape meanwhile" 200 "$(status_of /metrics)"
expect_ping a 10.0.0.2
wait "$slow" || fail "the slow client saw its connection broken before an answer"
equal "what a slow client gets" "HTTP/1.1 408 Request Timeout" "$(cat "$RUNDIR/slow.out")"

refused 1 'cannot listen on' host "$SHUNTD" --rundir "$RUNDIR" --instance "${INSTANCE}x" --no-state --metrics "${URL#http://}"
refused 2 'is no port' host "$SHUNTD" --metrics 127.0.0.1:99999
refused 2 'is no address' host "$SHUNTD" --metrics example.org:9101
stop_switch
