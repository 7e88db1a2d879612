#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Mininet with Shunt's switch class: pingall over a tree of switches, standalone and with Open vSwitch's controller; iperf.
. "$(dirname "$0")/../support/netns.sh"
begin mn ovs-testcontroller iperf
start_switch
SWITCH=shunt,rundir=$RUNDIR,instance=$INSTANCE
mininet() { # OPTION…
  host env SHUNT="$SHUNT" timeout 60 mn --custom "$SUPPORT/../../scripts/mininet_shunt.py,$SUPPORT/mininet_iperf.py" "$@" >"$RUNDIR/mn" 2>&1 ||
    fail "mn $*: $(tail -20 "$RUNDIR/mn")"
}

note "pingall, each switch a learning switch"
mininet --switch "$SWITCH,failMode=standalone" --topo tree,2 --controller none --test pingall
grep -q '0% dropped' "$RUNDIR/mn" || fail "pingall: $(tail -12 "$RUNDIR/mn")"
equal "bridges left" 0 "$(json 'len(d["bridges"])' bridge list)"

note "pingall, with a controller"
(exec nsenter --net="/run/netns/$TAG-host" -- ovs-testcontroller -O OpenFlow13 --unixctl="$RUNDIR/controller.ctl" ptcp:6653 2>"$RUNDIR/controller.log") &
CHILDREN+=($!)
mininet --switch "$SWITCH" --topo tree,2 --controller remote,ip=127.0.0.1,port=6653 --test pingall
grep -q '0% dropped' "$RUNDIR/mn" || fail "pingall: $(tail -12 "$RUNDIR/mn")"

note "iperf"
mininet --switch "$SWITCH,failMode=standalone" --topo single,2 --controller none --test iperf
grep -q 'Results:.*bits/sec' "$RUNDIR/mn" || fail "iperf: $(tail -12 "$RUNDIR/mn")"
