#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends and receives Ethernet frames for the network tests.

send:    UDP/IPv4 frames (or bare ones of another type) whose payload says when they were made, and their number.
receive: counts them, and says what is missing, doubled, or out of order; tags as they came over the wire.
Both speak on a packet socket, or with --tap as the program behind a TAP.
"""
import argparse
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time

MAGIC = 0x53484E54
PAYLOAD = struct.Struct("!IIQQ")  # magic, flow, number, CLOCK_MONOTONIC ns
ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
AUXDATA = struct.Struct("=IIIHHHH")


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def internet_checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4_header(source, destination, length):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0x4000, 64, 17, 0, source, destination)
    return header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:]


class Port:
    """A packet socket or a TAP."""

    def __init__(self, args):
        self.tap = None
        if args.tap:
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.tap, 0x400454CA, struct.pack("16sH", args.interface.encode(), 0x0002 | 0x1000))
            return
        # Protocol 0 hears nothing until it is bound; "any" hears every interface from the start.
        protocol = socket.htons(ETH_P_ALL) if args.interface == "any" else 0
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, protocol)
        for option in (33, 32):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
            self.socket.setsockopt(socket.SOL_SOCKET, option, 64 << 20)

    def listen(self, interface):
        if self.tap is None:
            self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            if interface != "any":
                self.socket.bind((interface, ETH_P_ALL))

    def open_for_sending(self, interface):
        if self.tap is None:
            self.socket.bind((interface, 0))

    def fileno(self):
        return self.tap if self.tap is not None else self.socket.fileno()

    def send(self, frame):
        if self.tap is not None:
            os.write(self.tap, frame)
        else:
            try:
                self.socket.send(frame)
            except OSError as error:
                if error.errno != 105:  # ENOBUFS: the queue is full, the frame is lost as on a wire
                    raise

    def receive(self):
        """-> frame as on the wire, the receiving interface's name or None"""
        if self.tap is not None:
            return os.read(self.tap, 65536), None
        frame, extra, _, address = self.socket.recvmsg(65536, 128, socket.MSG_DONTWAIT)
        for level, kind, data in extra:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[: AUXDATA.size])
                if status & TP_STATUS_VLAN_VALID:  # the kernel took the outer tag off: put it back
                    tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        return frame, address[0]


def build(args, flow, number):
    """The frame `number` of `flow`. What varies by flow: the source port, or the source MAC."""
    source_mac = mac(args.src)
    if args.vary == "mac":
        source_mac = source_mac[:2] + struct.pack("!I", flow)
    tags = b""
    for tag in args.vlan:
        vid, _, tpid = tag.partition("@")
        tags += struct.pack("!HH", int(tpid or "0x8100", 0), int(vid))
    head = mac(args.dst) + source_mac + tags
    payload = PAYLOAD.pack(MAGIC, flow, number, time.monotonic_ns())
    if args.type is not None:
        return head + struct.pack("!H", args.type) + (payload + bytes(args.payload))[: args.payload]
    payload += bytes(max(0, args.payload - len(payload)))
    port = args.sport + flow % 50000 if args.vary == "port" else args.sport
    udp = struct.pack("!HHHH", port, args.dport, 8 + len(payload), 0)
    addresses = socket.inet_aton(args.src_ip), socket.inet_aton(args.dst_ip)
    return head + struct.pack("!H", 0x0800) + ipv4_header(*addresses, 8 + len(payload)) + udp + payload


def send(args):
    port = Port(args)
    port.open_for_sending(args.interface)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    start = time.monotonic()
    numbers = {}
    sent = 0
    while not stop and (not args.count or sent < args.count) and (
            not args.seconds or time.monotonic() - start < args.seconds):
        flow = sent % args.flows if args.flows else sent
        number = numbers.get(flow, 0) if args.flows else 0
        if args.flows:
            numbers[flow] = number + 1
        port.send(build(args, args.first_flow + flow, number))
        sent += 1
        if args.rate:
            ahead = start + sent / args.rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
    json.dump({"sent": sent}, sys.stdout)
    print()


def describe(frame):
    """-> tags [vid@tpid], ethertype, offset of what follows"""
    tags, at = [], 12
    while True:
        kind = struct.unpack_from("!H", frame, at)[0]
        if kind not in (0x8100, 0x88A8) or len(frame) < at + 6:
            return tags, kind, at + 2
        tags.append(f"{struct.unpack_from('!H', frame, at + 2)[0] & 0xFFF}@{kind:#06x}")
        at += 4


def receive(args):
    port = Port(args)
    port.listen(args.interface)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    if args.ready:
        open(args.ready, "w").close()
    end = time.monotonic() + args.seconds
    frames, shapes, lengths, interfaces = 0, {}, {}, {}
    newest, seen, inversions, doubled = {}, {}, 0, 0
    log = open(args.log, "w") if args.log else None
    poll = select.poll()
    poll.register(port.fileno(), select.POLLIN)
    while time.monotonic() < end and (not args.count or frames < args.count):
        if not poll.poll(20):
            if stop:
                break
            continue
        try:
            frame, interface = port.receive()
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno == 100:  # ENETDOWN: a test takes it down on purpose
                time.sleep(0.01)
                continue
            raise
        tags, kind, at = describe(frame)
        if args.type is not None:
            if kind != args.type:
                continue
        else:
            if kind != 0x0800 or len(frame) < at + 28 + PAYLOAD.size or frame[at + 9] != 17:
                continue
            if args.dport and struct.unpack_from("!H", frame, at + 22)[0] != args.dport:
                continue
            at += 28
        if args.dst and frame[:6] != mac(args.dst):
            continue
        frames += 1
        shape = ",".join(tags)
        shapes[shape] = shapes.get(shape, 0) + 1
        lengths[len(frame)] = lengths.get(len(frame), 0) + 1
        if interface:
            interfaces[interface] = interfaces.get(interface, 0) + 1
        if len(frame) < at + PAYLOAD.size:
            continue
        magic, flow, number, made = PAYLOAD.unpack_from(frame, at)
        if magic != MAGIC:
            continue
        if log:
            log.write(f"{flow} {number} {made}\n")
        if args.interface == "any":
            continue
        mine = seen.setdefault(flow, set())
        doubled += number in mine
        mine.add(number)
        inversions += number < newest.get(flow, -1)
        newest[flow] = max(number, newest.get(flow, -1))
    missing = sum(newest[flow] + 1 - len(mine) for flow, mine in seen.items())
    json.dump({"frames": frames, "tags": shapes, "lengths": lengths, "interfaces": interfaces, "flows": len(seen),
               "inversions": inversions, "doubled": doubled, "missing": missing}, sys.stdout)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    number = lambda text: int(text, 0)

    sender = commands.add_parser("send")
    sender.add_argument("interface")
    sender.add_argument("--dst", default="ff:ff:ff:ff:ff:ff")
    sender.add_argument("--src", default="02:00:00:00:aa:01")
    sender.add_argument("--src-ip", default="192.0.2.1")
    sender.add_argument("--dst-ip", default="192.0.2.2")
    sender.add_argument("--sport", type=number, default=1024)
    sender.add_argument("--dport", type=number, default=9)
    sender.add_argument("--type", type=number, help="a bare frame of this EtherType instead of UDP")
    sender.add_argument("--vlan", action="append", default=[], help="VID[@TPID], the outer one first")
    sender.add_argument("--payload", type=number, default=PAYLOAD.size, help="bytes")
    sender.add_argument("--count", type=number, default=0)
    sender.add_argument("--seconds", type=float, default=0)
    sender.add_argument("--rate", type=float, default=0, help="frames a second")
    sender.add_argument("--flows", type=number, default=1, help="in turn; 0: every frame a new one")
    sender.add_argument("--first-flow", type=number, default=0, help="the first flow's number")
    sender.add_argument("--vary", choices=["port", "mac"], default="port", help="what makes a flow another one")
    sender.add_argument("--tap", action="store_true")
    sender.set_defaults(run=send)

    receiver = commands.add_parser("receive")
    receiver.add_argument("interface", help="a name, or any")
    receiver.add_argument("--ready", help="file made when the receiver listens")
    receiver.add_argument("--seconds", type=float, default=180)
    receiver.add_argument("--count", type=number, default=0)
    receiver.add_argument("--type", type=number)
    receiver.add_argument("--dport", type=number, default=0)
    receiver.add_argument("--dst")
    receiver.add_argument("--log", help="file: flow, number, time of making, a line a frame")
    receiver.add_argument("--tap", action="store_true")
    receiver.set_defaults(run=receive)

    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
