#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rates of an OpenFlow 1.3 connection: openflow_rates.py SOCKET flow-mods|barriers|dump [COUNT]

SOCKET is a bridge's management socket. Prints one line: what, how many, seconds, a second.
flow-mods: COUNT rules are added, a barrier at the end. barriers: COUNT times a rule and a barrier, as fast as the switch
takes them. dump: all rules are listed."""
import socket
import struct
import sys
import time

HELLO, FLOW_MOD, MULTIPART, BARRIER = 0, 14, 18, 20
BARRIER_REPLY, ERROR, MULTIPART_REPLY = 21, 1, 19


def message(kind, body=b"", xid=0):
    return struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body


def flow_mod(n, xid):
    match = struct.pack("!IH", 0x80000a02, 0x0800) + struct.pack("!II", 0x80001804, 0x0a000000 + n)
    match = struct.pack("!HH", 1, 4 + len(match)) + match
    match += bytes(-len(match) % 8)
    output = struct.pack("!HHIHxxxxxx", 0, 16, 2, 0)
    apply = struct.pack("!HHxxxx", 4, 8 + len(output)) + output
    body = struct.pack("!QQBBHHHIIIHxx", n, 0, 3, 0, 0, 0, 10, 0xffffffff, 0xffffffff, 0xffffffff, 0)
    return message(FLOW_MOD, body + match + apply, xid)


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer = b""
        self.socket.sendall(message(HELLO))
        self.read()

    def fill(self):
        data = self.socket.recv(1 << 20)
        if not data:
            sys.exit("the switch has closed the connection")
        self.buffer += data

    def read(self):
        while len(self.buffer) < 8 or len(self.buffer) < struct.unpack_from("!H", self.buffer, 2)[0]:
            self.fill()
        size = struct.unpack_from("!H", self.buffer, 2)[0]
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        if found[1] == ERROR:
            sys.exit("error %d, %d" % struct.unpack_from("!HH", found, 8))
        return found

    # Sends all, and reads meanwhile, until `count` barriers were answered.
    def run(self, data, count):
        self.socket.setblocking(False)
        sent = answered = 0
        while answered < count:
            try:
                if sent < len(data):
                    sent += self.socket.send(data[sent:sent + (1 << 18)])
            except BlockingIOError:
                pass
            try:
                self.buffer += self.socket.recv(1 << 20)
            except BlockingIOError:
                time.sleep(0.0002)
            at = 0
            while len(self.buffer) - at >= 8:
                size = struct.unpack_from("!H", self.buffer, at + 2)[0]
                if len(self.buffer) - at < size:
                    break
                if self.buffer[at + 1] == ERROR:
                    sys.exit("error %d, %d" % struct.unpack_from("!HH", self.buffer, at + 8))
                answered += self.buffer[at + 1] == BARRIER_REPLY
                at += size
            self.buffer = self.buffer[at:]


def main():
    path, what = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100000
    connection = Connection(path)
    if what == "flow-mods":
        data = b"".join(flow_mod(n, n) for n in range(count)) + message(BARRIER, xid=count)
        begin = time.monotonic()
        connection.run(data, 1)
    elif what == "barriers":
        data = b"".join(flow_mod(n, 2 * n) + message(BARRIER, xid=2 * n + 1) for n in range(count))
        begin = time.monotonic()
        connection.run(data, count)
    else:
        request = struct.pack("!HHxxxxBxxxIIxxxxQQHHxxxx", 1, 0, 0xff, 0xffffffff, 0xffffffff, 0, 0, 1, 4)
        begin = time.monotonic()
        connection.socket.sendall(message(MULTIPART, request, 1))
        count, more = 0, True
        while more:
            reply = connection.read()
            more = reply[11] == 1
            at = 16
            while at < len(reply):
                at += struct.unpack_from("!H", reply, at)[0]
                count += 1
    seconds = time.monotonic() - begin
    print("%s: %d in %.2f s, %d a second" % (what, count, seconds, count / seconds))


main()
