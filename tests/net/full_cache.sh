#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A cache far smaller than the traffic has flows: each packet arrives all the same, once; flows that work stay cached.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
add_guest c 10.0.0.3/24
add_guest d 10.0.0.4/24
start_switch --flow-limit 64
bridge_of a b c d
shunt flow add br0 'priority=9,dl_src=06:00:00:00:ff:ff,actions=drop' # MACs matter to rules: no flow is for all of them
mac=$(mac_of b)
expect_ping c 10.0.0.4
send b --src "$mac" --count 1 >/dev/null

expect_ping c 10.0.0.4 -i 0.02 -c 200 &
pings=$!
listen b b --dport 5001
send a --src 06:00:00:00:00:00 --dst "$mac" --dport 5001 --vary mac --flows 1000 --count 10000 --rate 4000 >/dev/null
heard b
wait "$pings" || fail "pings beside the flood of flows were lost"
equal "frames that arrived, doubled, out of order" "10000 0 0" \
  "$(result b '"{} {} {}".format(d["frames"], d["doubled"], d["inversions"])')"
at_most "flows" 64 "$(json 'd["flows"]' cache stats)"
at_least "flows evicted" 30 "$(json 'd["evicted"]' cache stats)"
at_least "cached flows of c's ping after it" 1 \
  "$(json 'len([f for f in d["flows"] if "02:00:00:00:00:03" in str(f)])' cache list)"
