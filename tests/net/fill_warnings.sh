#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Before something is full the log says so once, names the port that uses the most and the remedy; metrics and `shunt top`
# say the same; and it is taken back when there is room again.
. "$(dirname "$0")/../support/netns.sh"
begin curl
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch --flow-limit 100 --metrics 0
bridge_of a b
shunt fdb set br0 --limit 100
URL=$(sed -n 's|.*metrics at \([^ ,]*\),.*|\1|p' "$RUNDIR/shuntd.log")

said() { grep "$1" "$RUNDIR/shuntd.log" >/dev/null; }
times() { grep -c "$1" "$RUNDIR/shuntd.log" || true; }
metric() { host curl -sS --max-time 10 "$URL" | awk -v series="$1" '$1 == series { print $2 }'; }

note "a table with a limit of rules"
shunt table set br0 7 --max-rules 5
for i in 1 2 3 4; do shunt flow add br0 "table=7,priority=$i,actions=drop"; done
wait_until 5 "a warning of table 7" said 'nearly full: rules of table 7 of bridge br0: 4 of 5 (80 %); .*shunt table set br0 7'
equal "the metric" 1 "$(metric 'shunt_resource_nearly_full{resource="rules",bridge="br0",table="7"}')"
shunt table set br0 7 --max-rules none

note "flows and MACs, both of port a"
listen b b --dport 5001
send a --src 06:00:00:00:00:00 --dst "$(mac_of b)" --dport 5001 --vary mac --flows 88 --count 352 --rate 400 >/dev/null
heard b
wait_until 5 "a warning of the flow table" said 'nearly full: flows: .* of 100 (.* %), most of it port br0/a; .*--flow-limit'
wait_until 5 "a warning of the MAC table" said 'nearly full: macs of bridge br0: .* of 100 (.* %), most of it port br0/a; .*shunt fdb set br0 --limit'
sleep 2.2
equal "warnings of the flow table" 1 "$(times 'warning nearly full: flows:')"
equal "the metric" 1 "$(metric 'shunt_resource_nearly_full{resource="macs",bridge="br0"}')"
json '[f["text"] for f in d["fills"] if f["nearly_full"]]' top --once | grep -q 'macs of bridge br0' || fail "shunt top does not say so"

note "room again"
shunt fdb set br0 --limit 1000
shunt cache flush
wait_until 5 "no more warning of the flow table" said 'no longer nearly full: flows: '
wait_until 5 "no more warning of the MAC table" said 'no longer nearly full: macs of bridge br0'
equal "the metric" 0 "$(metric 'shunt_resource_nearly_full{resource="flows"}')"
