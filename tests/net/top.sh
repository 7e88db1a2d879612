#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shunt top: --once for scripts; in a terminal of 80x24 that tmux makes: rates, flows, other orders by a key, a resized
# window, q; an error where it cannot work.
. "$(dirname "$0")/../support/netns.sh"
begin tmux
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch
bridge_of a b
expect_ping a 10.0.0.2
background a ping -i 0.02 10.0.0.2 >/dev/null

note "once"
shunt top --once --interval 0.5 >"$RUNDIR/once"
grep -qE '^br0/a +[2-9][0-9] ' "$RUNDIR/once" || fail "no rate of a: $(cat "$RUNDIR/once")"
grep -qE '^ +[2-9][0-9] .* bridge +in_port\(a\)' "$RUNDIR/once" || fail "no flow of what a sends: $(cat "$RUNDIR/once")"
grep -qE 'hits +exact (100|9[0-9])' "$RUNDIR/once" || fail "no hits: $(cat "$RUNDIR/once")"
equal "ports in JSON" "['a', 'b', 'br0']" "$(json 'sorted(p["name"] for p in d["ports"])' top)"

note "in a terminal of 80x24"
window() { tmux -L "$TAG" "$@"; }
trap 'window kill-server 2>/dev/null; clean_up $?' EXIT
window -f /dev/null new-session -d -x 80 -y 24 \
  "nsenter --net=/run/netns/$TAG-host $SHUNT --rundir $RUNDIR --instance $INSTANCE top --interval 0.3; echo ended \$?; sleep 60"
seen() { window capture-pane -p | grep -qE "$1"; }
wait_until 10 "the terminal shows a's rate" seen '^br0/a +[2-9][0-9] '
equal "lines" 24 "$(window capture-pane -p | wc -l)"
seen '^q quit' || fail "no line of keys: $(window capture-pane -p)"
seen 'in_port\(a\)' || fail "no flow: $(window capture-pane -p)"
window send-keys d
window send-keys b
sleep 0.5
window resize-window -x 60 -y 12
sleep 1
seen 'PPS' || fail "nothing in a small window: $(window capture-pane -p)"
window send-keys q
wait_until 5 "q ends it" seen '^ended 0'

note "a daemon that goes ends it with a reason, and the terminal is as before"
window respawn-window -k "nsenter --net=/run/netns/$TAG-host $SHUNT --rundir $RUNDIR --instance $INSTANCE top --interval 0.3; echo ended \$?; sleep 60"
wait_until 10 "it shows something" seen '^(br0/a|PORT)'
stop_switch
wait_until 10 "it ends" seen '^ended 1'
seen 'shunt: ' || fail "no reason: $(window capture-pane -p)"

refused 2 'needs a terminal' shunt top
refused 2 'packets, bytes or drops' shunt top --once --sort x
