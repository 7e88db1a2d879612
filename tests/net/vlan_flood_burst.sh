#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Broadcasts and unicasts of one VLAN that the kernel sends in one batch: access ports get both without a tag, the trunk
# with it, and a customer's own tag stays on. (The kernel runs one devmap program for a batch, that of its first frame.)
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b t; do add_guest "$name"; done
start_switch
bridge_of
attach a --vlan-mode dot1q-tunnel --tag 10
attach b --vlan-mode dot1q-tunnel --tag 10
attach t --trunks 10
# Frames that came since the last poll are polled together.
ip netns exec "$TAG-host" sh -c 'echo 1 >/sys/class/net/a/threaded' 2>/dev/null || note "(no threaded NAPI here)"
send b --src "$(mac_of b)" --dst ff:ff:ff:ff:ff:ff --type 0x88b5 --count 1 >/dev/null # b's MAC is known

listen b b --type 0x88b5 --seconds 8
listen t t --type 0x88b5 --seconds 8
listening
# By turns to b, with a customer's tag, and to all, without one.
guest a python3 - "$(mac_of a)" "$(mac_of b)" <<'PY'
import socket, sys, time
source, known = (bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[1:])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
body = b"\x88\xb5" + bytes(100)
frames = [known + source + b"\x81\x00\x00\x07" + body, b"\xff" * 6 + source + body]
for i in range(4000):
    while True:
        try:
            s.send(frames[i % 2])
            break
        except OSError:  # ENOBUFS: the other end has not polled yet
            time.sleep(0.001)
PY
heard b t
at_least "unicasts with the customer's tag at b" 300 "$(result b 'd["tags"].get("7@0x8100", 0)')"
at_least "broadcasts without a tag at b" 100 "$(result b 'd["tags"].get("", 0)')"
equal "frames at b with another tag" 0 "$(result b 'sum(n for tags, n in d["tags"].items() if tags not in ("", "7@0x8100"))')"
equal "frames at t with another tag than the service's" 0 "$(result t 'sum(n for tags, n in d["tags"].items() if tags != "10@0x88a8")')"
