#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The two ends of soak.sh's traffic. Every frame says in its payload which rule version it was sent under, and holds a
checksum of itself; the rule writes its own version into the source MAC, and leads to receiver version % 3.

send INTERFACE VERSION-FILE SECONDS     100,000 flows in random order, as fast as this goes
receive INTERFACE NUMBER SECONDS        counts frames, and those that are broken, met an older version's verdict,
                                        or that of a version that leads elsewhere
"""
import json
import mmap
import random
import select
import signal
import socket
import struct
import sys
import time
import zlib

MAGIC = 0x534F414B
PAYLOAD = struct.Struct("!IIQ")  # magic, version, number; a CRC-32 of these follows
FLOWS = 100_000
ETH_P_ALL = 3


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(flow, version, number):
    payload = PAYLOAD.pack(MAGIC, version, number)
    payload += struct.pack("!I", zlib.crc32(payload))
    source = struct.pack("!BBH", 10, 1, flow // 50_000 + 1)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0x4000, 64, 17, 0, source, b"\x0a\x02\x00\x01")
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    udp = struct.pack("!HHHH", 10_000 + flow % 50_000, 7000, 8 + len(payload), 0)
    return b"\x02\x00\x00\x00\x0f\x01\x02\x00\x00\x00\x00\x01\x08\x00" + head + udp + payload


def send(interface, version_file, seconds):
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.bind((interface, 0))
    with open(version_file, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 4)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    end = time.monotonic() + float(seconds)
    choose = random.Random(1).randrange
    sent = lost = 0
    while not stop and time.monotonic() < end:
        for _ in range(64):
            version = struct.unpack_from("!I", shared)[0]
            try:
                out.send(frame(choose(FLOWS), version, sent))
                sent += 1
            except OSError:  # the queue is full, or the interface is down
                lost += 1
                time.sleep(0.001)
    json.dump({"sent": sent, "refused": lost}, sys.stdout)


def receive(interface, number, seconds):
    number = int(number)
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    port.bind((interface, ETH_P_ALL))
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    end = time.monotonic() + float(seconds)
    poll = select.poll()
    poll.register(port, select.POLLIN)
    frames = broken = stale = astray = 0
    while not stop and time.monotonic() < end:
        if not poll.poll(50):
            continue
        try:
            data = port.recv(2048, socket.MSG_DONTWAIT)
        except (BlockingIOError, OSError):
            continue
        if len(data) < 62 or data[12:14] != b"\x08\x00" or data[23] != 17 or data[36:38] != struct.pack("!H", 7000):
            continue
        frames += 1
        payload = data[42:58]
        magic, version, _ = PAYLOAD.unpack(payload)
        if magic != MAGIC or struct.unpack_from("!I", data, 58)[0] != zlib.crc32(payload):
            broken += 1
        # On its way while rules change it may meet newer ones; never an older one.
        met = int.from_bytes(data[8:12], "big")
        stale += met < version
        astray += met % 3 != number
    json.dump({"frames": frames, "broken": broken, "stale": stale, "astray": astray}, sys.stdout)


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](*sys.argv[2:])
