#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A port in generic XDP mode: TCP passes both ways with the offloads that the guest was born with. Its stack's giant
# segments used to be dropped as longer than the MTU, which left TCP at a few hundred kbit/s.
. "$(dirname "$0")/../support/netns.sh"
begin iperf3 nstat ethtool
add_guest a 10.0.0.1/24 fd00::1/64
add_guest g 10.0.0.2/24 fd00::2/64
offloads() { guest g ethtool -k eth0 | grep -E 'segmentation|receive-offload|vlan-offload'; }
offloads >"$RUNDIR/before"
grep -q '^tcp-segmentation-offload: on' "$RUNDIR/before" || fail "the guest's TSO is off: this tests nothing"
start_switch
bridge_of a
attach g --mode generic
equal "mode of g" generic "$(json '[p["mode"] for p in d["ports"] if p["name"] == "g"][0]' port list br0)"
host ip link show dev g | grep -q xdpgeneric || fail "g has no generic XDP program"

expect_ping g 10.0.0.1
expect_ping a fd00::2
iperf_server a
for address in 10.0.0.1 fd00::1; do
  at_least "TCP to $address, bits a second" 100000000 "$(iperf g -c "$address" -t 1)"
  at_least "TCP from $address, bits a second" 100000000 "$(iperf g -c "$address" -t 1 -R)"
done
expect_no_checksum_errors a g
equal "frames longer than the MTU" 0 \
  "$(json 'sum(r["packets"] for r in d["drops"] if r["reason"] == "frame-too-long")' drops br0)"

shunt port detach br0 g
offloads >"$RUNDIR/after"
diff "$RUNDIR/before" "$RUNDIR/after" || fail "detach did not restore the guest's offloads"
