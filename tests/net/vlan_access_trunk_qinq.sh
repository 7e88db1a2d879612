#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Access and trunk ports: who hears whom, under which tag; and a second tag (802.1ad) by rule. Each burst's first
# frame goes through userspace and the rest through the kernel: both must agree.
. "$(dirname "$0")/../support/netns.sh"
begin tc ethtool
: "${BPF_OBJECTS:?folder of the BPF object files}"
for name in a b c t; do add_guest "$name"; done
guest t ethtool -k eth0 >"$RUNDIR/offloads"
grep -q 'tx-vlan-offload: on' "$RUNDIR/offloads" || fail "the guest's VLAN offload is off: the last part tests nothing"
start_switch
shunt bridge add br0
attach a --tag 10
attach b --tag 10
attach c --tag 20
attach t --trunks 10,20

burst() { # FROM OPTION…: 20 frames to everybody; everybody's answers are in .json files
  local name others=()
  for name in a b c t; do [ "$name" = "$1" ] || others+=("$name"); done
  for name in "${others[@]}"; do listen "$name" "$name" --type 0x88b5; done
  send "$@" --type 0x88b5 --payload 64 --count 20 --rate 200 >/dev/null
  heard "${others[@]}"
}
hears() { equal "what $1 hears ($3)" "$2" "$(result "$1" 'd["tags"]')"; }

note "untagged on access port a (VLAN 10)"
burst a
hears b "{'': 20}" "from a"
hears c "{}" "from a"
hears t "{'10@0x8100': 20}" "from a"

note "tagged 20 on the trunk"
burst t --vlan 20
hears a "{}" "20 from t"
hears b "{}" "20 from t"
hears c "{'': 20}" "20 from t"

note "what a port does not carry: VLAN 30 and no tag on the trunk, a tag on an access port"
burst t --vlan 30
hears a "{}" "30 from t"
hears c "{}" "30 from t"
burst t
hears a "{}" "untagged from t"
hears c "{}" "untagged from t"
burst a --vlan 20
hears c "{}" "20 from access port a"
hears b "{}" "20 from access port a"
at_least "drops for VLAN reasons" 55 \
  "$(json 'sum(r["packets"] for r in d["drops"] if r["reason"] == "vlan-not-allowed")' drops br0)"

note "two tags on the trunk: the outer one is the VLAN, the inner one is the guest's business"
burst t --vlan 10 --vlan 99
hears a "{'99@0x8100': 20}" "10,99 from t"
hears c "{}" "10,99 from t"

note "a rule pushes an outer 802.1ad tag"
shunt flow add br0 'priority=100,in_port=a,actions=push_vlan:0x88a8,mod_vlan_vid:100,output:t'
burst a
hears t "{'100@0x88a8': 20}" "pushed"
hears b "{}" "pushed"
burst a --vlan 5
hears t "{'100@0x88a8,5@0x8100': 20}" "pushed over a tag"

note "and one takes it off"
shunt flow add br0 'priority=100,in_port=t,dl_vlan=100,actions=pop_vlan,output:a'
burst t --vlan 100@0x88a8 --vlan 5
hears a "{'5@0x8100': 20}" "popped"

note "the guest's own stack tags in hardware: the tag must not be lost"
guest t tc qdisc add dev eth0 clsact
guest t tc filter add dev eth0 egress bpf direct-action object-file "$BPF_OBJECTS/vlan_push.bpf.o" section tc
burst t
hears c "{'': 20}" "tag pushed by the guest's stack"
