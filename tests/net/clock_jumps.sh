#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The time of day jumps by years, forth and back, while the switch runs and while it is down: nothing ends early, and
# nothing stays longer than it should. The daemon's time of day is libfaketime's; the machine's stays as it is.
. "$(dirname "$0")/../support/netns.sh"
library=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$library" ] || skip "needs libfaketime"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
cat >"$RUNDIR/shuntd-in-another-time" <<END
#!/bin/sh
export LD_PRELOAD=$library DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 FAKETIME_TIMESTAMP_FILE=$RUNDIR/time
exec "$SHUNTD" "\$@"
END
chmod +x "$RUNDIR/shuntd-in-another-time"
SHUNTD=$RUNDIR/shuntd-in-another-time
time_is() { # its difference to the machine's: +10y
  echo "$1" >"$RUNDIR/time.new"
  mv "$RUNDIR/time.new" "$RUNDIR/time"
}
rules() { json 'sorted(r["priority"] for r in d["rules"] if r["priority"] > 9)' flow list br0; }
macs() { json 'len(d["macs"])' fdb list br0; }
nothing_ended() {
  equal "rules $1" "[100, 101]" "$(rules)"
  equal "MACs $1" 2 "$(macs)"
  expect_ping a 10.0.0.2
}

time_is +0
start_switch
bridge_of a b
shunt fdb set br0 --ageing 600
expect_ping a 10.0.0.2
shunt flow add br0 'priority=100,hard_timeout=600,udp,tp_dst=1,actions=drop'
shunt flow add br0 'priority=101,idle_timeout=600,udp,tp_dst=2,actions=drop'
year() { tail -n 1 "$RUNDIR/shuntd.log" | cut -c1-4; }
now=$(year)

note "while it runs"
for jump in +10y -10y; do
  time_is $jump
  sleep 1.2 # what is looked after once a second has seen it
  shunt bridge add seen && shunt bridge del seen
  equal "the year of its log" $((now ${jump%y})) "$(year)"
  nothing_ended "after $jump"
  shunt flow add br0 'priority=102,hard_timeout=1,udp,tp_dst=3,actions=drop'
  short_has_ended() { [ "$(rules)" = "[100, 101]" ]; }
  wait_until 5 "a rule of one second ends at $jump" short_has_ended
done

note "while it is down"
for jump in +20y -20y; do
  kill -KILL "$DAEMON"
  wait "$DAEMON" 2>/dev/null || true
  time_is $jump
  start_switch
  nothing_ended "after a restart at $jump"
done
