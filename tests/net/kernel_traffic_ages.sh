#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# MACs age by what the kernel forwards, too: a source that is only seen there stays, one that is silent goes. Many MACs on
# one port push out only that port's.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch
bridge_of a b c
shunt fdb set br0 --ageing 3
silent=02:00:00:00:0a:01
speaking=02:00:00:00:0a:02
mac=$(mac_of b)
shunt fdb add br0 "$mac" b # which never speaks here
for source in $silent $speaking; do send a --src $source --dst "$mac" --count 1 >/dev/null; done
wait_until 2 "both are known" fdb_has $silent a
fdb_has $speaking a || fail "the speaking MAC is not known"

background a python3 "$FRAMES" send eth0 --src $speaking --dst "$mac" --rate 20 --seconds 30 >/dev/null
sleep 1
before=$(json 'd["misses"]' cache stats)
unknown() { [ "$(json "[e for e in d['macs'] if e['mac'] == '$silent']" fdb list br0)" = "[]" ]; }
wait_until 8 "the silent MAC is forgotten" unknown
sleep 3
fdb_has $speaking a || fail "a MAC that speaks in the kernel was forgotten"
equal "misses meanwhile" "$before" "$(json 'd["misses"]' cache stats)"

note "a table full of one port's MACs evicts that port's own"
shunt fdb set br0 --ageing 300 --limit 500
send c --src 02:00:00:00:0c:01 --dst "$mac" --count 1 >/dev/null
wait_until 2 "c's MAC is known" fdb_has 02:00:00:00:0c:01 c
send a --src 06:00:00:00:00:00 --dst "$mac" --vary mac --flows 1000 --count 1000 --rate 3000 >/dev/null
full() { [ "$(json 'len(d["macs"])' fdb list br0)" -eq 500 ]; }
wait_until 5 "the table is full" full
newest() { [ "$(json "len([e for e in d['macs'] if e['mac'] == '06:00:00:00:03:e7'])" fdb list br0)" -eq 1 ]; }
wait_until 5 "the newest of a's MACs is there" newest
fdb_has 02:00:00:00:0c:01 c || fail "a's MACs pushed out c's"
