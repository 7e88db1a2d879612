#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""change SOCKET COUNT FILE: COUNT times an OpenFlow 1.3 flow-mod with a barrier behind it, on the management socket; the rules
write V+10000 into the UDP source port. FILE: a line "V time" for each, when the barrier's reply was read. What the
packets met, and who judges: stale_changes.py."""
import socket
import struct
import sys
import time

BASE = 10000
FLOW_MOD, BARRIER, ERROR, BARRIER_REPLY = 14, 20, 1, 21


def message(kind, body=b"", xid=0):
    return struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body


def match(*fields):
    oxm = b"".join(struct.pack("!HBB", 0x8000, number << 1, len(value)) + value for number, value in fields)
    whole = struct.pack("!HH", 1, 4 + len(oxm)) + oxm
    return whole + bytes(-len(whole) % 8)


UDP = [(5, b"\x08\x00"), (10, b"\x11")]


def flow_mod(table, command, priority, fields, instructions, xid):
    body = struct.pack("!QQBBHHHIIIHxx", 0, 0, table, command, 0, 0, priority, 0xffffffff, 0xffffffff, 0xffffffff, 0)
    return message(FLOW_MOD, body + match(*fields) + instructions, xid)


def apply(actions):
    return struct.pack("!HHxxxx", 4, 8 + len(actions)) + actions


OUTPUT = struct.pack("!HHIHxxxxxx", 0, 16, 2, 0)
GOTO = struct.pack("!HHBxxx", 1, 8, 1)


def rules(version):
    set_source = struct.pack("!HHHBBHxxxxxx", 25, 16, 0x8000, 15 << 1, 2, BASE + version)
    return apply(set_source + OUTPUT)


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.input = self.socket.makefile("rb")
        self.socket.sendall(message(0))
        self.read()

    def read(self):
        header = self.input.read(8)
        kind, size = header[1], struct.unpack_from("!H", header, 2)[0]
        body = self.input.read(size - 8)
        if kind == ERROR:
            sys.exit("error %d, %d" % struct.unpack_from("!HH", body))
        return kind

    def send(self, data):
        self.socket.sendall(data + message(BARRIER))
        while self.read() != BARRIER_REPLY:
            pass


def main():
    path, count, file = sys.argv[2], int(sys.argv[3]), sys.argv[4]
    connection = Connection(path)
    fields = UDP + [(16, struct.pack("!H", 5001))]
    connection.send(flow_mod(0, 3, 0, [], b"", 1) + flow_mod(0, 0, 1, UDP, GOTO, 2) +
                    flow_mod(1, 0, 10, UDP + [(16, struct.pack("!H", 5002))], apply(OUTPUT), 3) +
                    flow_mod(1, 0, 50, fields, rules(0), 4))
    with open(file, "w") as log:
        for version in range(1, count + 1):
            # In turns: the rule's actions change; it is added in its own place; a rule above it, which is gone the turn after.
            turn = version % 4
            if turn == 0:
                data = flow_mod(1, 1, 0, fields, rules(version), version)
            elif turn == 1:
                data = flow_mod(1, 0, 50, fields, rules(version), version)
            elif turn == 2:
                data = flow_mod(1, 0, 60, fields, rules(version), version)
            else:
                data = flow_mod(1, 0, 50, fields, rules(version), version) + flow_mod(1, 4, 60, fields, b"", version)
            connection.send(data)
            log.write(f"{version} {time.monotonic_ns()}\n")
            time.sleep(0.002)  # some packets meet each version


main()
