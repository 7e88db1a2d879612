#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The VLAN modes of `normal` with real traffic: native-tagged, native-untagged, dot1q-tunnel, priority tags, protected
# ports, ports that take no floods, flood VLANs. Each burst's first frame goes through userspace and the rest through the
# kernel: both must agree.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c t; do add_guest "$name"; done
start_switch
shunt bridge add br0
for name in a b c t; do attach "$name"; done

port() { shunt port set br0 "$@" >/dev/null; }
burst() { # FROM OPTION…: 20 frames to everybody, or to --dst; what the others hear is in .json files
  local name others=()
  for name in a b c t; do [ "$name" = "$1" ] || others+=("$name"); done
  for name in "${others[@]}"; do listen "$name" "$name" --type 0x88b5; done
  send "$@" --type 0x88b5 --payload 64 --count 20 --rate 200 >/dev/null
  heard "${others[@]}"
}
hears() { equal "what $1 hears ($3)" "$2" "$(result "$1" 'd["tags"]')"; }

note "native-tagged a and native-untagged b, both of VLAN 10; access port c; t a trunk"
port a --vlan-mode native-tagged --tag 10
port b --vlan-mode native-untagged --tag 10
port c --tag 10
burst a
hears b "{'': 20}" "untagged from a"
hears c "{'': 20}" "untagged from a"
hears t "{'10@0x8100': 20}" "untagged from a"
burst t --vlan 10
hears a "{'10@0x8100': 20}" "10 from t"
hears b "{'': 20}" "10 from t"
hears c "{'': 20}" "10 from t"
burst t --vlan 20
hears a "{'20@0x8100': 20}" "20 from t"
hears b "{'20@0x8100': 20}" "20 from t"
hears c "{}" "20 from t"
burst b --vlan 20
hears a "{'20@0x8100': 20}" "20 from b"
hears t "{'20@0x8100': 20}" "20 from b"
burst t
for name in a b c; do hears "$name" "{}" "untagged from t: VLAN 0 has no place on them"; done

note "a priority tag is no VLAN"
burst a --vlan 0
hears b "{'': 20}" "priority-tagged from a"
hears t "{'10@0x8100': 20}" "priority-tagged from a"
port c --priority-tags if-nonzero
burst t --vlan $((5 << 13 | 10))
hears c "{'0@0x8100': 20}" "10 with priority 5 from t"
hears b "{'': 20}" "10 with priority 5 from t"
burst t --vlan 10
hears c "{'': 20}" "10 without a priority from t"
port c --priority-tags no

note "dot1q-tunnel a and b with service VLAN 100; c a tunnel of customer VLAN 5 alone"
port a --vlan-mode dot1q-tunnel --tag 100
port b --vlan-mode dot1q-tunnel --tag 100
port c --vlan-mode dot1q-tunnel --tag 100 --cvlans 5
burst a --vlan 5
hears b "{'5@0x8100': 20}" "customer's 5 from a"
hears c "{'5@0x8100': 20}" "customer's 5 from a"
hears t "{'100@0x88a8,5@0x8100': 20}" "customer's 5 from a"
burst a --vlan 6
hears b "{'6@0x8100': 20}" "customer's 6 from a"
hears c "{}" "customer's 6 from a"
hears t "{'100@0x88a8,6@0x8100': 20}" "customer's 6 from a"
burst a
hears b "{'': 20}" "untagged from a"
hears t "{'100@0x88a8': 20}" "untagged from a"
burst a --vlan 7 --vlan 8
hears b "{'7@0x8100,8@0x8100': 20}" "two tags from a"
hears t "{'100@0x88a8,7@0x8100,8@0x8100': 20}" "two tags from a"
burst t --vlan 100@0x88a8 --vlan 5
for name in a b c; do hears "$name" "{'5@0x8100': 20}" "100,5 from t"; done
burst t --vlan 100@0x88a8 --vlan 6
hears a "{'6@0x8100': 20}" "100,6 from t"
hears c "{}" "100,6 from t"
port a --qinq-ethtype 802.1q
burst a --vlan 5
hears t "{'100@0x8100,5@0x8100': 20}" "customer's 5 from a, service tags of 802.1q"

note "the reserved addresses stay at their port"
burst a --dst 01:80:c2:00:00:02
for name in b c t; do hears "$name" "{}" "reserved address"; done

note "protected ports, and one that takes no floods"
for name in a b c; do port "$name" --vlan-mode trunk --all-vlans; done
port a --protected on
port b --protected on
port c --flood off
burst a
hears b "{}" "from protected to protected"
hears c "{}" "flood off"
hears t "{'': 20}" "from a"
burst t
hears a "{'': 20}" "from t"
hears b "{'': 20}" "from t"
burst c --src 02:00:00:00:cc:01
hears t "{'': 20}" "from c"
wait_until 5 "c's address is learned" fdb_has 02:00:00:00:cc:01 c
burst t --dst 02:00:00:00:cc:01
hears c "{'': 20}" "known to be there: no flood"
hears a "{}" "known to be at c"
for name in a b; do port "$name" --protected off; done
port c --flood on

note "a flood VLAN learns nothing"
shunt bridge set br0 --flood-vlans 30
burst c --src 02:00:00:00:cc:02 --vlan 30
burst t --dst 02:00:00:00:cc:02 --vlan 30
for name in a b c; do hears "$name" "{'30@0x8100': 20}" "a flood VLAN"; done
equal "addresses in VLAN 30" 0 "$(json 'sum(1 for e in d["macs"] if e["vlan"] == 30)' fdb list br0)"

note "the first frames of each burst went through userspace, and the kernel served the rest"
sent=$(grep -c '^burst ' "$0")
at_most "of $((sent * 20)) frames, through userspace" $((sent * 8)) "$(json 'd["misses"]' cache stats)"
