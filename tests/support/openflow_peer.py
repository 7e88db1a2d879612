# SPDX-License-Identifier: Apache-2.0
"""A bare OpenFlow 1.3 peer for tests: messages as bytes, no opinion on what the switch ought to do with them."""
import socket
import struct

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, PACKET_IN, PACKET_OUT, FLOW_MOD, GROUP_MOD = 0, 1, 2, 3, 10, 13, 14, 15
MULTIPART, MULTIPART_REPLY, BARRIER, BARRIER_REPLY, METER_MOD, EXPERIMENTER = 18, 19, 20, 21, 29, 4
ONF = 0x4f4e4600
NONE = 0xffffffff


def message(kind, body=b"", xid=0, version=4):
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def match(fields=()):  # pairs of OXM number and value
    oxm = b"".join(struct.pack("!HBB", 0x8000, number << 1, len(value)) + value for number, value in fields)
    whole = struct.pack("!HH", 1, 4 + len(oxm)) + oxm
    return whole + bytes(-len(whole) % 8)


def output(port, max_len=0xffff):
    return struct.pack("!HHIHxxxxxx", 0, 16, port, max_len)


def flow_mod(fields=(), actions=b"", priority=10, table=0, command=0, cookie=0, cookie_mask=0, xid=0):
    body = struct.pack("!QQBBHHHIIIHxx", cookie, cookie_mask, table, command, 0, 0, priority, NONE, NONE, NONE, 0)
    apply = struct.pack("!HHxxxx", 4, 8 + len(actions)) + actions
    return message(FLOW_MOD, body + match(fields) + apply, xid)


def dump_flows(xid=0):
    body = struct.pack("!HHxxxxBxxxIIxxxxQQ", 1, 0, 0xff, NONE, NONE, 0, 0)
    return message(MULTIPART, body + match(), xid)


class Closed(Exception):
    pass


class Peer:
    """One that has said hello; `hello` is what it says instead."""

    def __init__(self, target, hello=message(HELLO), timeout=10):
        if isinstance(target, tuple):
            self.socket = socket.create_connection(target)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(target)
        self.socket.settimeout(timeout)
        self.buffer, self.at = b"", 0  # read up to there
        self.send(hello)

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed
        self.buffer, self.at = self.buffer[self.at:] + data, 0

    def read(self):
        """The next message, as kind, xid and body."""
        while True:
            left = len(self.buffer) - self.at
            if left >= 8:
                _, kind, size, xid = struct.unpack_from("!BBHI", self.buffer, self.at)
                if left >= size:
                    self.at += size
                    return kind, xid, self.buffer[self.at - size + 8:self.at]
            self.fill()

    def wait_for(self, wanted):
        while True:
            kind, xid, body = self.read()
            if kind == ECHO_REQUEST and wanted != ECHO_REQUEST:
                self.send(message(ECHO_REPLY, body, xid))
            if kind == wanted:
                return xid, body
            if kind == ERROR:
                raise AssertionError("error %d, %d" % struct.unpack_from("!HH", body))

    def error(self):
        """The type and code of the next error; an experimenter's (OpenFlow 1.3 says so of bundles) is its code."""
        while True:
            kind, xid, body = self.read()
            if kind == ECHO_REQUEST:
                self.send(message(ECHO_REPLY, body, xid))
            if kind == ERROR:
                return struct.unpack_from("!HH", body)

    def barrier(self):
        self.send(message(BARRIER))
        self.wait_for(BARRIER_REPLY)

    def ended(self):
        """True: the other side has closed the connection, within the timeout."""
        try:
            while True:
                self.fill()
        except Closed:
            return True
        except TimeoutError:
            return False
