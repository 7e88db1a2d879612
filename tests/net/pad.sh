#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Frames shorter than an Ethernet frame may be (60 bytes) leave padded, from userspace and from the kernel alike.
. "$(dirname "$0")/../support/netns.sh"
begin
add_guest a
add_guest b
add_guest c
start_switch
bridge_of a b c
send b --src 02:00:00:00:00:02 --count 1 >/dev/null
wait_until 5 "b is known" fdb_has 02:00:00:00:00:02 b

for destination in 02:00:00:00:00:02 ff:ff:ff:ff:ff:ff; do
  listen b b --type 0x88b5
  send a --dst $destination --type 0x88b5 --payload 1 --count 50 --rate 500 >/dev/null
  heard b
  equal "lengths of frames of 15 bytes to $destination" "{'60': 50}" "$(result b 'd["lengths"]')"
done

note "a tag taken off a frame of 60 bytes leaves 56: padded again"
shunt flow add br0 'priority=100,dl_vlan=7,actions=pop_vlan,output:b'
listen b b --type 0x88b5
send a --type 0x88b5 --vlan 7 --payload 42 --count 50 --rate 500 >/dev/null
heard b
equal "lengths after the pop" "{'60': 50}" "$(result b 'd["lengths"]')"
