#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A state that is damaged, of a newer version, or that the disk has no room for: a clear message, and a switch that goes
# on.
. "$(dirname "$0")/../support/netns.sh"
begin ping mount
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
logged() { grep -qE -- "$1" "$RUNDIR/shuntd.log" || fail "the log does not say '$1'"; }
state=$RUNDIR/state/$INSTANCE.db

note "a newer version: refused by name, with what to do; the file is left as it is, the old switch goes on"
start_switch
bridge_of a b
shunt flow add br0 'priority=5,udp,actions=drop'
expect_ping a 10.0.0.2
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
DAEMON=
cp -r "$RUNDIR/state" "$RUNDIR/good"
python3 -c "import sqlite3, sys
db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA user_version=99'); db.commit(); db.close()" "$state"
sum=$(md5sum <"$state")
refused 1 "$INSTANCE.db' was written by a newer.*--statedir" \
  host timeout 10 "$SHUNTD" --rundir "$RUNDIR" --instance "$INSTANCE" --statedir "$RUNDIR/state"
[ "$sum" = "$(md5sum <"$state")" ] || fail "the refused state was changed"
guest a ping -n -q -c 3 -i 0.1 -W 1 10.0.0.2 >/dev/null || fail "the cached flows do not forward any more"

note "damaged: put aside, told, and a switch that begins empty and stores"
head -c 5000 /dev/urandom >"$state"
rm -f "$state-wal"
start_switch
logged "$INSTANCE.db.corrupt-1"
[ -s "$state.corrupt-1" ] || fail "the damaged file is gone"
equal "bridges" "[]" "$(json 'd["bridges"]' bridge list)"
bridge_of a b
stop_switch || fail "the daemon's exit status"
start_switch
expect_ping a 10.0.0.2
note "a row that nobody can read is told, and the rest is there"
stop_switch || fail "the daemon's exit status"
python3 -c "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('''INSERT INTO rules VALUES(1, 900, 'priority=7,nonsense,actions=drop', 0, 0, 0)''')
db.execute('''INSERT INTO ports VALUES(1, 77, '{')''')
db.commit(); db.close()" "$state"
start_switch
logged "rule 900 .*nonsense"
logged "port 77 "
expect_ping a 10.0.0.2
stop_switch || fail "the daemon's exit status"

note "a full disk: the change is in force, the command says that it is not stored (3), the switch forwards"
small() { # a daemon whose state directory is a small disk of its own, at the same path
  (exec nsenter --net="/run/netns/$TAG-host" -- unshare -m sh -c \
    'mount --make-rprivate / && mount -t tmpfs -o size=512k none "$0" && exec "$@"' "$RUNDIR/state" \
    "$SHUNTD" --rundir "$RUNDIR" --instance "$INSTANCE" --statedir "$RUNDIR/state" 2>>"$RUNDIR/shuntd.log") &
  DAEMON=$!
  wait_until 20 "shuntd answers" daemon_answers
}
small
inside=/proc/$DAEMON/root$RUNDIR/state
bridge_of a b
dd if=/dev/zero of="$inside/fill" bs=4k 2>/dev/null || true
for i in $(seq 300); do echo "priority=$i,tcp,tp_dst=$i,actions=drop"; done >"$RUNDIR/rules"
refused 3 'in force, but not stored.*full' shunt flow add br0 --file "$RUNDIR/rules"
equal "rules in force" 301 "$(json 'len(d["rules"])' flow list br0)"
expect_ping a 10.0.0.2
logged 'full; the switch goes on'
refused 3 'not stored' shunt flow add br0 'priority=1000,udp,actions=drop'
refused 1 "no bridge 'br7'" shunt bridge del br7
rm "$inside/fill"
wait_until 15 "it is stored again" grep -q 'is stored again' "$RUNDIR/shuntd.log"
shunt flow add br0 'priority=1001,udp,tp_dst=1,actions=drop'
rm -rf "$RUNDIR/copy"
cp -r "$inside" "$RUNDIR/copy"
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
rm -rf "$RUNDIR/state"
mv "$RUNDIR/copy" "$RUNDIR/state"
start_switch
equal "rules that were stored" 303 "$(json 'len(d["rules"])' flow list br0)"
expect_ping a 10.0.0.2
stop_switch || fail "the daemon's exit status"

note "a disk that is full from the start"
rm -rf "$RUNDIR/state"
mkdir "$RUNDIR/state"
(exec nsenter --net="/run/netns/$TAG-host" -- unshare -m sh -c \
  'mount --make-rprivate / && mount -t tmpfs -o size=4k none "$0" && dd if=/dev/zero of="$0/fill" bs=4k 2>/dev/null
  exec "$@"' "$RUNDIR/state" "$SHUNTD" --rundir "$RUNDIR" --instance "$INSTANCE" --statedir "$RUNDIR/state" \
  2>>"$RUNDIR/shuntd.log") &
DAEMON=$!
wait_until 20 "shuntd answers" daemon_answers
refused 3 'not stored' shunt bridge add br0
attach a || [ $? -eq 3 ]
attach b || [ $? -eq 3 ]
expect_ping a 10.0.0.2
