#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many MACs behind a few ports, each of which talks to each: no flow for a pair, every frame where it belongs, and
# counters that are what was sent. MACs that move, go and come, ports that change, a daemon that dies.
. "$(dirname "$0")/../support/netns.sh"
begin
MACS=30 # behind each guest: 06:00:00:00:NN:01 and so on, NN the guest's number
for name in a b c d; do add_guest "$name"; done
start_switch
shunt bridge add br0
attach a --tag 10
attach b --tag 10
attach c --tag 10
attach d --trunks 10,20

cat >"$RUNDIR/talk.py" <<'PYTHON'
"""talk.py GUEST VID LISTENERS MACS: a frame from each MAC of the guest to each MAC of each listener."""
import struct
import sys
import time

from frames import MAGIC, PAYLOAD, Port, argparse


def mac(guest, number):
    return bytes([6, 0, 0, 0, guest, number])


guest, vid, macs = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4])
port = Port(argparse.Namespace(tap=False, interface="eth0"))
port.open_for_sending("eth0")
tag = struct.pack("!HH", 0x8100, vid) if vid else b""
sent = 0
for listener in map(int, sys.argv[3].split(",")):
    for source in range(1, macs + 1):
        for target in range(1, macs + 1):
            payload = PAYLOAD.pack(MAGIC, source << 16 | listener << 8 | target, 0, time.monotonic_ns())
            port.send(mac(listener, target) + mac(guest, source) + tag + b"\x88\xb5" + payload + bytes(40))
            sent += 1
            time.sleep(0.0002)
print(sent)
PYTHON
declare -A NUMBER=([a]=1 [b]=2 [c]=3 [d]=4)
talk() { # GUEST LISTENER,…
  local vid=0 numbers=${2//a/1}
  numbers=${numbers//b/2} numbers=${numbers//c/3} numbers=${numbers//d/4}
  [ "$1" != d ] || vid=10
  listening
  guest "$1" env PYTHONPATH="$SUPPORT" python3 "$RUNDIR/talk.py" "${NUMBER[$1]}" $vid "$numbers" "${3:-$MACS}" >/dev/null
}
flows() { json 'len(d["flows"])' cache list --limit 100000; }
bridged() { json 'sum(f["actions"] == "bridge" for f in d["flows"])' cache list --limit 100000; }
misses() { json 'd["misses"]' cache stats; }
sent() { json "[(p['tx_packets'], p['tx_bytes']) for p in d['ports'] if p['name'] == '$1'][0]" port list br0; }
difference() { python3 -c "print(tuple(a - b for a, b in zip($1, $2)))"; }

note "MACs are learned from one frame each"
for name in a b c d; do send "$name" --src "$(mac_of "$name")" --count 1 $([ $name != d ] || echo --vlan 10) >/dev/null; done
for name in a b c d; do
  to=$([ $name = a ] && mac_of b || mac_of a)
  send $name --src 06:00:00:00:0${NUMBER[$name]}:00 --dst "$to" --count 1 $([ $name != d ] || echo --vlan 10) >/dev/null
  guest $name env PYTHONPATH="$SUPPORT" python3 - $name "$to" $MACS <<'PYTHON'
import sys
import time

from frames import Port, argparse

name, to, macs = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), int(sys.argv[3])
port = Port(argparse.Namespace(tap=False, interface="eth0"))
port.open_for_sending("eth0")
tag = b"\x81\x00\x00\x0a" if name == "d" else b""
for number in range(1, macs + 1):
    port.send(to + bytes([6, 0, 0, 0, "abcd".index(name) + 1, number]) + tag + b"\x88\xb6" + bytes(46))
    time.sleep(0.002)
# So many in all that the kernel's exact-match cache keeps no pairs of them; up to the flush below.
for number in range(200 if name == "c" else 0):
    port.send(to + bytes([10, 0, 0, 0, 0, number]) + b"\x88\xb6" + bytes(46))
    time.sleep(0.002)
PYTHON
done
known() { [ "$(json 'sum(e["mac"].startswith(("06:", "0a:")) for e in d["macs"])' fdb list br0)" -eq $((4 * (MACS + 1) + 200)) ]; }
wait_until 5 "all MACs are known" known
shunt cache flush # what was flooded

note "every pair of the access ports: $((6 * MACS * MACS)) frames, three flows"
before=$(misses)
declare -A tx
for name in a b c; do tx[$name]=$(sent $name); done
for name in a b c; do listen $name $name --type 0x88b5; done
talk a b,c
talk b a,c
talk c a,b
SETTLE=0.5 heard a b c
for name in a b c; do
  equal "frames at $name" $((2 * MACS * MACS)) "$(result $name 'd["frames"]')"
  equal "tags at $name" "{'': $((2 * MACS * MACS))}" "$(result $name 'd["tags"]')"
done
at_most "misses" 30 $(($(misses) - before))
equal "flows of bridged packets" 3 "$(bridged)"
at_most "flows" 8 "$(flows)"
sleep 1.2
bytes=$((2 * MACS * MACS * (14 + 24 + 40)))
for name in a b c; do
  equal "port $name: packets and bytes sent" "($((2 * MACS * MACS)), $bytes)" "$(difference "$(sent $name)" "${tx[$name]}")"
done
equal "packets of the rule" "$(json "sum(p['rx_packets'] for p in d['ports'])" port list br0)" \
  "$(json 'sum(r["packets"] for r in d["rules"])' flow list br0)"

note "the trunk gets them tagged, by flows of their pairs, and answers so"
listen d d --type 0x88b5
listen a a --type 0x88b5
talk a d 5
talk d a 5
SETTLE=0.5 heard a d
equal "tags at d" "{'10@0x8100': 25}" "$(result d 'd["tags"]')"
equal "tags at a" "{'': 25}" "$(result a 'd["tags"]')"

note "a MAC that moves takes its frames along"
send c --src 06:00:00:00:02:01 --dst 06:00:00:00:01:01 --count 3 --rate 100 >/dev/null
wait_until 5 "the MAC is on port c" fdb_has 06:00:00:00:02:01 c
listen b b --type 0x88b5
listen c c --type 0x88b5
talk a b 5
heard b c
equal "frames at b and c" "20 5" "$(result b 'd["frames"]') $(result c 'd["frames"]')"

note "protected ports: nothing goes from the one to the other, all else does"
shunt port set br0 a --protected on >/dev/null
shunt port set br0 b --protected on >/dev/null
for name in a b c; do listen $name $name --type 0x88b5; done
talk a b,c 6
talk c a 6
heard a b c
equal "frames at a, b, c" "36 0 42" "$(result a 'd["frames"]') $(result b 'd["frames"]') $(result c 'd["frames"]')"
shunt port set br0 a --protected off >/dev/null
shunt port set br0 b --protected off >/dev/null

note "a port that changes its VLAN hears nothing more of the old one from when the command returns"
listen c c --type 0x88b5
shunt port set br0 c --tag 20 >/dev/null
talk a c 6
talk b c 6
heard c
equal "frames at c" 0 "$(result c 'd["frames"]')"
shunt port set br0 c --tag 10 >/dev/null

note "flushed, all is flooded and learned again"
shunt fdb flush br0
listen b b --type 0x88b5
talk a b 3
talk b a 3
talk a b 3
heard b
equal "frames at b" 18 "$(result b 'd["frames"]')"
wait_until 5 "learned again" fdb_has 06:00:00:00:02:02 b

note "the kernel goes on alone, and the next daemon with it"
talk a b 3
talk b a 3
talk a b 3
sleep 0.3
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
listen b b --type 0x88b5
listen a a --type 0x88b5
talk a b 3
talk b a 3
start_switch
fdb_has 06:00:00:00:02:02 b || fail "the MAC is not known any more"
before=$(misses)
talk a b 3
heard a b
equal "frames at a and b" "9 18" "$(result a 'd["frames"]') $(result b 'd["frames"]')"
at_most "misses" 3 $(($(misses) - before))
