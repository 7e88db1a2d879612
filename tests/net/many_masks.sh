#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rules of more shapes than a port's list of masks holds: the flows beyond it are cached exactly, and every packet meets
# the rule that it must meet.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch --idle-timeout 60  # flows of the first round are still there in the second, however slow the machine
bridge_of a b c
# 24 rules of 24 shapes: each looks at another prefix of the destination. Even ones lead to b, odd ones to c.
rules=
for i in $(seq 1 24); do
  to=$([ $((i % 2)) -eq 0 ] && echo b || echo c)
  rules+="priority=$((100 + i)),udp,nw_dst=10.$i.0.0/$((8 + (i % 24) + 1)),tp_src=$((1000 + i)),actions=output:$to"$'\n'
done
printf '%s' "$rules" | shunt flow add br0 --file -

listen b b --dport 7
listen c c --dport 7
for round in 1 2; do # the first makes the flows, the second finds them
  for i in $(seq 1 24); do
    send a --dst 02:00:00:00:0a:01 --dst-ip 10.$i.0.0 --sport $((1000 + i)) --dport 7 --count 40 --rate 4000 >/dev/null
  done
done
heard b c
equal "frames at b and c" "960 960" "$(result b 'd["frames"]') $(result c 'd["frames"]')"
at_least "flows cached exactly" 1 "$(json 'd["exact_fallback"]' cache stats)"
at_least "hits in the kernel" 960 "$(json 'd["megaflow_hits"] + d["exact_hits"]' cache stats)"
at_most "look-ups a packet" 17 "$(json 'd["lookups"] // max(1, d["megaflow_hits"] + d["misses"])' cache stats)"
for i in 1 2 23 24; do
  equal "packets of rule $i" 80 "$(json "[r['packets'] for r in d['rules'] if r['priority'] == $((100 + i))][0]" flow list br0)"
done
shunt flow del br0 udp
shunt flow add br0 'priority=500,udp,actions=output:b'
listen b again --dport 7
for i in $(seq 1 24); do
  send a --dst 02:00:00:00:0a:01 --dst-ip 10.$i.0.0 --sport $((1000 + i)) --dport 7 --count 5 >/dev/null
done
heard again
equal "frames at b under the new rules" 120 "$(result again 'd["frames"]')"
