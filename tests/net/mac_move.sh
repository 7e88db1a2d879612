#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A MAC that speaks on another port moves there, and back: traffic to it follows, cached flows included.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c; do add_guest "$name"; done
start_switch
bridge_of a b c
mover=02:00:00:00:99:99
shunt fdb flush br0

speak() { # GUEST: the mover speaks there; then 100 frames go to it
  send "$1" --src $mover --dst 02:00:00:00:00:03 --count 3 --rate 100 >/dev/null
  wait_until 5 "the MAC is on port $1" fdb_has $mover "$1"
  listen a a --dport 9
  listen b b --dport 9
  send c --src 02:00:00:00:00:03 --dst $mover --count 100 --rate 2000 >/dev/null
  heard a b
}
send c --src 02:00:00:00:00:03 --count 1 >/dev/null
for where in a b a b; do
  speak $where
  if [ $where = a ]; then expected="100 0"; else expected="0 100"; fi
  equal "frames at a and b, the MAC being on $where" "$expected" "$(result a 'd["frames"]') $(result b 'd["frames"]')"
done
