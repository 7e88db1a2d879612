#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An interface under somebody else's XDP program is refused, naming it; --force takes it; detach removes only our own.
. "$(dirname "$0")/../support/netns.sh"
begin bpftool ping
: "${BPF_OBJECTS:?folder of the BPF object files}"
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch
bridge_of b
program=/sys/fs/bpf/$TAG-foreign
trap 'rm -f "$program"; clean_up $?' EXIT
bpftool prog load "$BPF_OBJECTS/foreign.bpf.o" "$program" type xdp
host bpftool net attach xdpdrv pinned "$program" dev a
on_a() { host ip -d link show dev a | sed -n 's/.*prog\/xdp.* name \([a-z_]*\).*/\1/p'; }
equal "program on a" foreign_pass "$(on_a)"

refused 1 'foreign_pass.*--force|--force.*foreign_pass' shunt port attach br0 a
equal "program on a after the refusal" foreign_pass "$(on_a)"
shunt port attach br0 a --force >/dev/null
expect_ping a 10.0.0.2
shunt port detach br0 a
equal "program on a after detach" "" "$(on_a)"

note "put on again, after our detach, it is nobody's business of ours"
host bpftool net attach xdpdrv pinned "$program" dev a
stop_switch
equal "program on a after the daemon has gone" foreign_pass "$(on_a)"
host bpftool net detach xdpdrv dev a
