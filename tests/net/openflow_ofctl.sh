#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ovs-ofctl over the management socket, in each version that both speak: show, rules (add, modify, delete, replace, diff,
# bundles), groups, meters, packet-out, monitor; and what it says has come of it is so for real packets.
. "$(dirname "$0")/../support/netns.sh"
begin ovs-ofctl
add_guest a 10.0.0.2/24
add_guest b 10.0.0.3/24
start_switch
bridge_of a b
MGMT=unix:$RUNDIR/br0.mgmt
VERSION=OpenFlow13
ofctl() { host ovs-ofctl -O "$VERSION" "$@"; }
rules() { ofctl --no-stats --no-names dump-flows "$MGMT" "$@" | sed "/_reply/d; s/^ *//"; }

for VERSION in OpenFlow10 OpenFlow13 OpenFlow14 OpenFlow15; do
  note "$VERSION: what the switch is"
  ofctl show "$MGMT" >"$RUNDIR/show"
  grep -q 'n_tables:254' "$RUNDIR/show" || fail "show: $(cat "$RUNDIR/show")"
  grep -q '1(a): addr:' "$RUNDIR/show" || fail "show has no port a: $(cat "$RUNDIR/show")"
  ofctl dump-desc "$MGMT" | grep -q Shunt || fail "no description"
  ofctl dump-tables "$MGMT" >"$RUNDIR/tables"
  ofctl dump-ports "$MGMT" >"$RUNDIR/ports"
  grep -q 'rx pkts=' "$RUNDIR/ports" || fail "dump-ports: $(cat "$RUNDIR/ports")"

  note "$VERSION: rules"
  ofctl del-flows "$MGMT"
  equal "rules left" "" "$(rules)"
  ofctl add-flow "$MGMT" 'priority=10,in_port=1,actions=output:2'
  ofctl add-flow "$MGMT" 'priority=10,in_port=2,actions=output:1'
  expect_ping a 10.0.0.3
  ofctl add-flow "$MGMT" 'table=3,cookie=0x77,priority=100,tcp,nw_src=10.0.0.0/24,tp_dst=80,actions=mod_nw_dst:10.0.0.9,output:2'
  equal "the rule of table 3" 'cookie=0x77, table=3, priority=100,tcp,nw_src=10.0.0.0/24,tp_dst=80 actions=mod_nw_dst:10.0.0.9,output:2' \
    "$(rules table=3 | sed 's/set_field:10.0.0.9->ip_dst/mod_nw_dst:10.0.0.9/; s/ reset_counts//')"
  ofctl mod-flows "$MGMT" 'table=3,tcp,actions=drop'
  rules table=3 | grep -q 'actions=drop' || fail "not modified: $(rules table=3)"
  equal "aggregate" 3 "$(ofctl dump-aggregate "$MGMT" | grep -o 'flow_count=[0-9]*' | cut -d= -f2)"
  ofctl --strict del-flows "$MGMT" 'table=3,priority=100,tcp,nw_src=10.0.0.0/24,tp_dst=80'
  equal "rules of table 3" "" "$(rules table=3)"

  note "$VERSION: replace and diff"
  table=table=9,
  [ "$VERSION" != OpenFlow10 ] || table= # in OpenFlow 1.0 ovs-ofctl replaces rules without a table only
  printf '%s\n' 'priority=7,arp,actions=NORMAL' 'priority=6,ip,actions=NORMAL' "${table}priority=5,udp,tp_dst=53,actions=drop" \
    'priority=8,arp,arp_op=9,actions=move:NXM_OF_ARP_OP[]->NXM_NX_REG0[0..15],push:NXM_OF_ARP_OP[],IN_PORT' \
    'priority=8,udp,tp_dst=9,actions=multipath(nw_dst,50,modulo_n,2,0,NXM_NX_REG0[]),output:NXM_NX_REG0[0..15]' >"$RUNDIR/wanted"
  ofctl replace-flows "$MGMT" "$RUNDIR/wanted"
  equal "rules" 5 "$(rules | wc -l)"
  ofctl diff-flows "$MGMT" "$RUNDIR/wanted" || fail "rules differ from what was asked for"
  expect_ping a 10.0.0.3

  note "$VERSION: what is wrong is refused by name"
  # (what ovs-ofctl lets through)
  refused 1 'OFPT_ERROR|already|overlap' ofctl add-flow "$MGMT" 'check_overlap,priority=7,actions=drop'
done

note "OpenFlow10: groups"
VERSION=OpenFlow10
shunt group add br0 'group_id=9,type=all,bucket=output:2'
ofctl dump-groups "$MGMT" | grep -q 'group_id=9,type=all,bucket=.*actions=output:2' || fail "no group: $(ofctl dump-groups "$MGMT")"
ofctl dump-group-stats "$MGMT" | grep -q 'group_id=9,' || fail "no group statistics: $(ofctl dump-group-stats "$MGMT")"
ofctl dump-group-features "$MGMT" | grep -q 'max_groups=' || fail "no group features"
shunt group del br0 group_id=9

for VERSION in OpenFlow13 OpenFlow14 OpenFlow15; do
  note "$VERSION: groups and meters"
  ofctl del-flows "$MGMT"
  ofctl add-group "$MGMT" 'group_id=1,type=all,bucket=output:2'
  ofctl add-group "$MGMT" 'group_id=2,type=select,bucket=weight:5,output:1,bucket=weight:7,output:2'
  ofctl add-meter "$MGMT" 'meter=5,kbps,burst,stats,bands=type=drop,rate=100000,burst_size=1000'
  ofctl add-flow "$MGMT" 'in_port=1,actions=meter:5,group:1'
  ofctl add-flow "$MGMT" 'in_port=2,actions=output:1'
  expect_ping a 10.0.0.3
  ofctl dump-groups "$MGMT" | grep -q 'group_id=1,type=all,bucket=.*output:2' || fail "dump-groups: $(ofctl dump-groups "$MGMT")"
  ofctl dump-group-features "$MGMT" >"$RUNDIR/features"
  at_least "packets of group 1" 5 "$(ofctl dump-group-stats "$MGMT" | grep -o 'group_id=1,.*' | grep -o 'packet_count=[0-9]*' | head -1 | cut -d= -f2)"
  ofctl dump-meters "$MGMT" | grep -q 'meter=5 kbps burst stats bands=' || fail "dump-meters: $(ofctl dump-meters "$MGMT")"
  ofctl meter-stats "$MGMT" >"$RUNDIR/meters"
  grep -q 'packet_in_count:' "$RUNDIR/meters" || fail "meter-stats: $(cat "$RUNDIR/meters")"
  ofctl meter-features "$MGMT" >/dev/null
  refused 1 'OFPGMFC_GROUP_EXISTS' ofctl add-group "$MGMT" 'group_id=1,type=all,bucket=output:2'
  refused 1 'OFPMMFC_METER_EXISTS' ofctl add-meter "$MGMT" 'meter=5,kbps,bands=type=drop,rate=1'
  ofctl mod-group "$MGMT" 'group_id=2,type=all,bucket=output:1'
  ofctl del-groups "$MGMT"
  ofctl del-meters "$MGMT"
  equal "rules that named what is gone" 1 "$(rules | wc -l)"

  note "$VERSION: bundles, whole or not at all"
  ofctl del-flows "$MGMT"
  printf '%s\n' 'priority=7,in_port=1,actions=output:2' 'priority=7,in_port=2,actions=output:1' >"$RUNDIR/good"
  ofctl --bundle add-flows "$MGMT" "$RUNDIR/good"
  expect_ping a 10.0.0.3
  printf '%s\n' 'priority=1,udp,actions=drop' 'priority=7,check_overlap,tcp,actions=drop' >"$RUNDIR/bad"
  refused 1 'OFPFMFC_OVERLAP' ofctl --bundle add-flows "$MGMT" "$RUNDIR/bad"
  equal "rules after a bundle that failed" 2 "$(rules | wc -l)"
  ofctl --bundle replace-flows "$MGMT" "$RUNDIR/wanted"
  equal "rules" 5 "$(rules | wc -l)"
done

VERSION=OpenFlow13
note "a packet sent out arrives"
ofctl del-flows "$MGMT"
listen b sent --type 0x88b5
listening
ofctl packet-out "$MGMT" "in_port=controller packet=ffffffffffff0200000000aa88b5$(printf '%092d' 0) actions=output:2"
heard sent
equal "frames that b hears" 1 "$(result sent 'd["frames"]')"

note "monitor: packet-ins"
ofctl add-flow "$MGMT" 'priority=1,actions=controller:128'
(exec nsenter --net="/run/netns/$TAG-host" -- env OVS_RUNDIR="$RUNDIR" ovs-ofctl -O OpenFlow13 monitor "$MGMT" 65534 >"$RUNDIR/monitor" 2>&1) &
CHILDREN+=($!)
sleep 0.5
send a --dst 02:00:00:00:00:02 --src-ip 10.0.0.2 --dst-ip 10.0.0.3 --count 3 --rate 100 >/dev/null
all_in() { [ "$(grep -c "PACKET_IN.*in_port=" "$RUNDIR/monitor")" -ge 3 ]; }
wait_until 5 "three packet-ins" all_in
