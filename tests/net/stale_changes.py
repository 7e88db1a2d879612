#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stale_changes.sh's parts.

change SOCKET COUNT FILE    makes COUNT changes; change V lets the rules write V+BASE into the UDP source port. FILE: a line
                            "V time" for each, the time (CLOCK_MONOTONIC, ns) after the command had returned
listen INTERFACE FILE READY logs "version time" a frame: what it met, when it was made; ends on SIGTERM
judge CHANGES FRAMES        counts the frames that were made after a change had returned and met an older one
"""
import bisect
import os
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from control import Control  # noqa: E402
from frames import MAGIC, PAYLOAD  # noqa: E402

BASE = 10000
BRIDGE = "br0"
MATCH = "table=1,priority=50,udp,tp_dst=5001"
OTHERS = "table=0,priority=1,udp,actions=goto_table:1\ntable=1,priority=10,udp,tp_dst=5002,actions=output:b\n"


def actions(version):
    return f"set_field:{BASE + version}->udp_src,output:b"


def change(path, count, file):
    control = Control(path)
    control.call("flow.replace", bridge=BRIDGE, rules=OTHERS + f"{MATCH},actions={actions(0)}\n")

    def modify(version):
        control.call("flow.mod", bridge=BRIDGE, rule=f"table=1,udp,tp_dst=5001,actions={actions(version)}")

    def add(version):  # in place of the one that is there
        control.call("flow.add", bridge=BRIDGE, rule=f"{MATCH},actions={actions(version)}")

    def replace(version):
        control.call("flow.replace", bridge=BRIDGE, rules=OTHERS + f"{MATCH},actions={actions(version)}\n")

    def delete_and_add(version):  # one request: no packet finds neither
        control.call("flow.add", bridge=BRIDGE,
                     rules=f"delete table=1,udp,tp_dst=5001\nadd {MATCH},actions={actions(version)}\n")

    def outdo(version):  # a rule above it, for this sender's packets; then the one below follows
        control.call("flow.add", bridge=BRIDGE,
                     rules=f"add table=1,priority=60,udp,nw_src=192.0.2.1,tp_dst=5001,actions={actions(version)}\n")

    def undo(version):
        control.call("flow.add", bridge=BRIDGE, rules=f"add {MATCH},actions={actions(version)}\n"
                     "delete_strict table=1,priority=60,udp,nw_src=192.0.2.1,tp_dst=5001\n")

    def group_of(version):
        control.call("group.add_or_mod", bridge=BRIDGE,
                     group=f"group_id=7,type=all,bucket=bucket_id:0,actions={actions(version)}")

    def through_group(version):
        group_of(version)
        control.call("flow.add", bridge=BRIDGE, rule=f"{MATCH},actions=group:7")

    steps = [modify, add, replace, delete_and_add, outdo, undo, modify, through_group, group_of, group_of]
    with open(file, "w") as log:
        for version in range(1, count + 1):
            steps[version % len(steps)](version)
            log.write(f"{version} {time.monotonic_ns()}\n")
            time.sleep(0.002)  # some packets meet each version


def listen(interface, file, ready):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    port.bind((interface, 3))
    port.settimeout(0.05)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    open(ready, "w").close()
    with open(file, "w") as log:
        while True:
            try:
                frame = port.recv(2048)
            except TimeoutError:
                if stop:
                    return
                continue
            if len(frame) < 42 + PAYLOAD.size or frame[12:14] != b"\x08\0" or frame[23] != 17:
                continue
            source, destination = struct.unpack_from("!HH", frame, 34)
            magic, _, _, made = PAYLOAD.unpack_from(frame, 42)
            if magic == MAGIC and destination == 5001:
                log.write(f"{source - BASE} {made}\n")


def judge(changes, frames):
    returned = [(int(v), int(when)) for v, when in (line.split() for line in open(changes))]
    times = [when for _, when in returned]
    stale = met = checked = 0
    seen = set()
    for version, made in ((int(v), int(t)) for v, t in (line.split() for line in open(frames))):
        met += 1
        seen.add(version)
        done = bisect.bisect_right(times, made)  # this many changes had returned
        if done == 0:
            continue
        checked += 1
        stale += version < returned[done - 1][0]
    print(f"-- {len(returned)} changes, {met} frames of {len(seen)} versions, {checked} made after a change, {stale} stale")
    if stale or checked < 5 * len(returned) or len(seen) < len(returned) // 2:
        sys.exit(1)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "change":
        change(rest[0], int(rest[1]), rest[2])
    else:
        {"listen": listen, "judge": judge}[what](*rest)
