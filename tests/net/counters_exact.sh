#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Counters equal what was sent, packet for packet and byte for byte, while rules are modified, replaced, added, deleted and
# groups changed under a known number of packets: of rules (over what took their place), tables, groups, ports.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch
bridge_of a b c
mac=$(mac_of b)
COUNT=20000
LENGTH=100 # bytes of a frame as sent: 42 of headers
port_counters() { json "[(p['rx_packets'], p['rx_bytes'], p['tx_packets'], p['tx_bytes']) for p in d['ports'] if p['name'] == '$1'][0]" port list br0; }

# Table 0 sees every packet of the test and no other; table 1 decides; everybody's counter is looked at.
shunt flow replace br0 --file - <<'RULES'
table=0,priority=10,in_port=a,udp,actions=goto_table:1
table=0,priority=0,actions=drop
table=1,priority=50,udp,tp_dst=5001,actions=output:b
table=1,priority=0,cookie=0xdead,actions=output:c
RULES
rules_packets() { json 'sum(r["packets"] for r in d["rules"])' flow list br0 "$1"; }

note "a rule that is modified $COUNT packets long"
listen b b --dport 5001 --seconds 120
listen c c --dport 5001 --seconds 120
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5001 --count $COUNT --rate 4000 --payload $((LENGTH - 42)) >"$RUNDIR/sent.json"
sender=$CHILD
changes=0
while kill -0 "$sender" 2>/dev/null; do
  shunt flow mod br0 'table=1,udp,tp_dst=5001,actions=output:c'
  shunt flow mod br0 'table=1,udp,tp_dst=5001,actions=mod_nw_tos:32,output:b'
  shunt flow mod br0 'table=1,udp,tp_dst=5001,actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:c'
  shunt flow mod br0 'table=1,udp,tp_dst=5001,actions=drop'
  shunt flow mod br0 'table=1,udp,tp_dst=5001,actions=output:b'
  changes=$((changes + 5))
done
wait "$sender"
SETTLE=0.5 heard b c
at_least "changes under the traffic" 20 "$changes"
equal "frames that the sender sent" $COUNT "$(result sent 'd["sent"]')"
totals() { json "[(r['packets'], r['bytes']) for r in d['rules']][0]" flow list br0 "$1"; }
equal "packets and bytes of the rule, over $changes modifications" "($COUNT, $((COUNT * LENGTH)))" "$(totals 'table=1,udp')"
equal "packets and bytes of the rule in table 0" "($COUNT, $((COUNT * LENGTH)))" "$(totals 'table=0,in_port=a')"
equal "look-ups and matches of table 0 and 1" "[($COUNT, $COUNT), ($COUNT, $COUNT)]" \
  "$(json "[(t['lookups'], t['matches']) for t in d['tables'] if t['table'] < 2]" table list br0)"
b_frames=$(result b 'd["frames"]') c_frames=$(result c 'd["frames"]')
dropped=$(json 'sum(r["packets"] for r in d["drops"] if r["reason"] == "rule" and r["port"] == "a")' drops br0)
equal "received and dropped" $COUNT $((b_frames + c_frames + dropped))
c_tagged=$(result c 'd["tags"].get("10@0x8100", 0)')
equal "port a: rx" "($COUNT, $((COUNT * LENGTH)), 0, 0)" "$(port_counters a)"
equal "port b: tx" "(0, 0, $b_frames, $((b_frames * LENGTH)))" "$(port_counters b)"
equal "port c: tx, the tags in its bytes" "(0, 0, $c_frames, $((c_frames * LENGTH + c_tagged * 4)))" "$(port_counters c)"
at_least "packets answered in the kernel, of each that went up" 3 \
  "$(json '(d["megaflow_hits"] + d["exact_hits"]) // max(1, d["misses"])' cache stats)"

note "rules that come and go, groups that change: what one does not count another does"
shunt group add br0 'group_id=1,type=all,bucket=bucket_id:0,actions=output:b,bucket=bucket_id:1,actions=output:c'
shunt flow replace br0 --file - <<'RULES'
table=0,priority=10,in_port=a,udp,actions=goto_table:1
table=1,priority=10,udp,actions=group:1
RULES
before=$(rules_packets table=0)
table_before=$(json "[t['matches'] for t in d['tables'] if t['table'] == 1][0]" table list br0)
listen b b --dport 5001 --seconds 120
listen c c --dport 5001 --seconds 120
background a python3 "$FRAMES" send eth0 --dst "$mac" --dport 5001 --count $COUNT --rate 4000 --payload $((LENGTH - 42)) >"$RUNDIR/sent.json"
sender=$CHILD
while kill -0 "$sender" 2>/dev/null; do
  shunt group mod br0 'group_id=1,type=all,bucket=bucket_id:0,actions=output:b'
  shunt flow add br0 'table=2,priority=90,udp,actions=drop' # concerns nobody
  shunt group mod br0 'group_id=1,type=all,bucket=bucket_id:0,actions=output:b,bucket=bucket_id:2,actions=mod_nw_tos:32,output:c'
  shunt flow mod br0 'table=1,udp,actions=note:01,group:1'
  shunt flow mod br0 'table=1,udp,actions=group:1'
done
wait "$sender"
SETTLE=0.5 heard b c
equal "packets of the rule in table 0" $COUNT $(($(rules_packets table=0) - before))
equal "packets of the rule in table 1" $COUNT "$(rules_packets table=1)"
equal "matches of table 1" $COUNT $(($(json "[t['matches'] for t in d['tables'] if t['table'] == 1][0]" table list br0) - table_before))
equal "packets of the group" "[$COUNT]" "$(json '[g["packets"] for g in d["groups"]]' group list br0)"
equal "frames of bucket 0, which was always there" $COUNT "$(result b 'd["frames"]')"
equal "packets of bucket 0" "[$COUNT]" "$(json '[b["packets"] for g in d["groups"] for b in g["buckets"] if b["id"] == 0]' group list br0)"
equal "port b: packets sent" $((b_frames + COUNT)) "$(json "[p['tx_packets'] for p in d['ports'] if p['name'] == 'b'][0]" port list br0)"
equal "port c: packets sent" $((c_frames + $(result c 'd["frames"]'))) \
  "$(json "[p['tx_packets'] for p in d['ports'] if p['name'] == 'c'][0]" port list br0)"

note "what a meter drops is not sent, and what is cut is counted as it left"
shunt meter add br0 'meter=1,pktps,burst,bands=type=drop,rate=200,burst_size=10'
shunt flow replace br0 'in_port=a,udp,actions=meter:1,output(port=b,max_len=80)'
tx_before=$(json "[(p['tx_packets'], p['tx_bytes']) for p in d['ports'] if p['name'] == 'b'][0]" port list br0)
listen b b
send a --dst "$mac" --dport 5001 --count 1000 --rate 2000 --payload $((LENGTH - 42)) >/dev/null
heard b
passed=$(result b 'd["lengths"].get("80", 0)')
at_least "packets that passed the meter" 10 "$passed"
at_most "packets that passed the meter" 900 "$passed"
equal "packets of the rule" "(1000, $((1000 * LENGTH)))" "$(totals in_port=a)"
equal "port b: packets and bytes sent since" "($passed, $((passed * 80)))" \
  "$(json "[(p['tx_packets'] - $tx_before[0], p['tx_bytes'] - $tx_before[1]) for p in d['ports'] if p['name'] == 'b'][0]" port list br0)"
