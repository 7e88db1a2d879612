#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configuration files against a running switch: what they would do, that they do it all or not at all and without
# touching what stays, ports that come late, undo, and the start with a file.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch
file=$RUNDIR/switch.toml

cat >"$file" <<'TOML'
[bridge.br0]
mac-ageing = 600
meters = ["meter=3,kbps,bands=type=drop,rate=1000000"]
groups = [
  "group_id=1,type=all,bucket=actions=group:2",
  "group_id=2,type=all,bucket=actions=output:late",
]
rules = [
  "priority=10,icmp,in_port=a,actions=meter:3,normal",
  "priority=11,udp,tp_dst=7,actions=group:1",
  "priority=0,actions=normal",
]
static-macs = [{ mac = "02:00:00:00:0f:01", port = "late" }]

[bridge.br0.port.a]
ofport = 5

[bridge.br0.port.b]

[bridge.br0.port.late]
protected = true
TOML

note "--dry-run says what would be done, and does nothing"
shunt config load "$file" --dry-run >"$RUNDIR/announced"
shunt config diff "$file" | diff "$RUNDIR/announced" -
grep -q '^+ port late of br0: ofport 2, protected on$' "$RUNDIR/announced" || fail "$(cat "$RUNDIR/announced")"
equal "bridges" "[]" "$(json 'd["bridges"]' bridge list)"
shunt config load "$file" | diff "$RUNDIR/announced" -
expect_ping a 10.0.0.2
equal "what is left to do" "" "$(shunt config diff "$file")"
shunt config show >"$RUNDIR/shown"
equal "what the shown file would change" "" "$(shunt config diff "$RUNDIR/shown")"

note "a port that comes late is attached when it does"
equal "its state" "['gone']" "$(json '[p["state"] for p in d["ports"] if p["name"] == "late"]' port list br0)"
add_guest late 10.0.0.3/24
expect_up() { [ "$(json "[p['state'] for p in d['ports'] if p['name'] == '$1']" port list br0)" = "['up']" ]; }
wait_until 5 "the port is up" expect_up late
expect_ping late 10.0.0.2

note "a change leaves alone what stays: no packet of others is lost, rules keep their counters"
counted=$(json '[r["packets"] for r in d["rules"] if r["priority"] == 10][0]' flow list br0)
at_least "packets of the rule" 1 "$counted"
background a ping -n -q -i 0.01 -c 200 10.0.0.2 >"$RUNDIR/ping"
ping=$CHILD
sed 's/priority=11,udp,tp_dst=7/priority=12,udp,tp_dst=8/; s/^protected = true/tag = 9/; s/600/601/' "$file" >"$RUNDIR/two.toml"
for _ in 1 2 3; do
  shunt config load "$RUNDIR/two.toml" >/dev/null
  shunt config load "$file" >/dev/null
done
wait "$ping" || fail "ping: $(cat "$RUNDIR/ping")"
grep -q ' 0% packet loss' "$RUNDIR/ping" || fail "packets were lost: $(cat "$RUNDIR/ping")"
at_least "packets of the rule" "$counted" "$(json '[r["packets"] for r in d["rules"] if r["priority"] == 10][0]' flow list br0)"

note "all or nothing: the last of many changes is refused"
shunt config show >"$RUNDIR/shown"
{ sed 's/600/700/; s/priority=10,/priority=20,/' "$file"; echo '[bridge.zz.port.lo]'; } >"$RUNDIR/bad.toml"
refused 1 "nothing was changed.*'lo' cannot be a port" shunt config load "$RUNDIR/bad.toml"
shunt config show | diff "$RUNDIR/shown" - || fail "something was changed"
expect_ping a 10.0.0.2

note "a file that is wrong is told with its name, line, column and path"
printf '[bridge.br0]\nmac-agein = 3\n' >"$RUNDIR/bad.toml"
refused 1 "bad.toml: line 2, column 1: bridge.br0.mac-agein: unknown key .did you mean 'mac-ageing'" \
  shunt config load "$RUNDIR/bad.toml"
head -c 200 "$file" >"$RUNDIR/bad.toml"
refused 1 'bad.toml: line' shunt config load "$RUNDIR/bad.toml"
: >"$RUNDIR/bad.toml"
refused 1 'says nothing of bridges' shunt config load "$RUNDIR/bad.toml"
shunt config show | diff "$RUNDIR/shown" - || fail "something was changed"

note "undo, over a restart"
shunt config load "$RUNDIR/two.toml" >/dev/null
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
start_switch
shunt config undo --dry-run >"$RUNDIR/announced"
shunt config undo | diff "$RUNDIR/announced" - || fail "undo did something else than announced"
shunt config show | diff "$RUNDIR/shown" - || fail "undo did not bring back what was"
for _ in $(seq 8); do shunt config undo >"$RUNDIR/undone" 2>&1 || break; done
grep -q 'nothing to undo' "$RUNDIR/undone" || fail "undo has no end"
equal "bridges after all was taken back" "[]" "$(json 'd["bridges"]' bridge list)"

note "undo takes back what the load changed, and leaves alone what came by command since then"
shunt config load "$file" >/dev/null
shunt config load "$RUNDIR/two.toml" >/dev/null
add_guest c 10.0.0.4/24
attach c
shunt flow add br0 'priority=99,tcp,tp_dst=99,actions=drop'
shunt port set br0 a --flood off >/dev/null
expect_ping c 10.0.0.2
background c ping -n -q -i 0.01 -c 100 10.0.0.2 >"$RUNDIR/ping"
ping=$CHILD
equal "what undo says" 4 "$(shunt config undo | wc -l)"
wait "$ping" || fail "ping: $(cat "$RUNDIR/ping")"
grep -q ' 0% packet loss' "$RUNDIR/ping" || fail "packets were lost: $(cat "$RUNDIR/ping")"
shunt config show >"$RUNDIR/undone"
for line in '[bridge.br0.port.c]' 'priority=99,tcp,tp_dst=99' 'flood = false' 'mac-ageing = 600' 'priority=11,udp,tp_dst=7' 'protected = true'; do
  grep -qF "$line" "$RUNDIR/undone" || fail "no '$line' in $(cat "$RUNDIR/undone")"
done
grep -qF 'priority=12' "$RUNDIR/undone" && fail "a rule of the load is still there"
stop_switch || fail "the daemon's exit status"

note "the start with a file, over what was stored; a wrong one is told, and the switch goes on"
start_switch --config "$file"
expect_ping a 10.0.0.2
stop_switch || fail "the daemon's exit status"
head -c 300 "$file" >"$RUNDIR/half.toml"
start_switch --config "$RUNDIR/half.toml"
grep -q "half.toml' is not loaded: line" "$RUNDIR/shuntd.log" || fail "the log does not say what is wrong"
shunt config show | diff "$RUNDIR/shown" - || fail "the wrong file changed something"
expect_ping a 10.0.0.2
stop_switch || fail "the daemon's exit status"

note "controllers, datapath id and fail mode of a file: from the start, and taken back"
printf '%s\n' '[bridge.br0]' 'datapath-id = "00000000000000ab"' 'fail-mode = "secure"' 'controllers = [{ target = "ptcp:6641" }]' \
  '[bridge.br0.port.a]' '[bridge.br0.port.b]' >"$RUNDIR/openflow.toml"
start_switch --config "$RUNDIR/openflow.toml"
openflow() { json '(d["datapath_id"], d["fail_mode"])' bridge show br0 && json '[c["target"] for c in d["controllers"]]' controller list br0; }
equal "what the file says" "('00000000000000ab', 'secure')
['ptcp:6641']" "$(openflow)"
host bash -c 'exec 3<>/dev/tcp/127.0.0.1/6641' || fail "nobody listens for the controller"
equal "differences" "" "$(shunt config diff "$RUNDIR/openflow.toml")"
host python3 -c 'import socket, time; s = socket.socket(); s.bind(("127.0.0.1", 6642)); s.listen(); time.sleep(60)' &
CHILDREN+=($!)
somebody_listens() { host bash -c 'exec 3<>/dev/tcp/127.0.0.1/6642'; }
wait_until 10 "somebody else has the port" somebody_listens
sed 's/6641/6642/' "$RUNDIR/openflow.toml" >"$RUNDIR/taken.toml"
refused 1 'nothing was changed.*6642|in use' shunt config load "$RUNDIR/taken.toml"
equal "after a refusal" "['ptcp:6641']" "$(json '[c["target"] for c in d["controllers"]]' controller list br0)"
shunt config undo >/dev/null
equal "taken back" "[]" "$(json '[c["target"] for c in d["controllers"]]' controller list br0)"
equal "fail mode" standalone "$(json 'd["fail_mode"]' bridge show br0)"
stop_switch || fail "the daemon's exit status"

note "the guide's examples"
examples=0
python3 - "$(dirname "$0")/../../docs/config.md" "$RUNDIR" <<'PY'
import re, sys
text = open(sys.argv[1]).read()
for number, block in enumerate(re.findall(r"```toml\n(.*?)```", text, re.S)):
    open(f"{sys.argv[2]}/example-{number}.toml", "w").write(block)
PY
start_switch
for example in "$RUNDIR"/example-*.toml; do
  shunt config load "$example" >/dev/null || fail "an example is refused: $(cat "$example")"
  equal "what is left to do" "" "$(shunt config diff "$example")"
  examples=$((examples + 1))
done
at_least "examples" 2 "$examples"
