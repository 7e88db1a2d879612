#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rates of an OpenFlow 1.3 connection: openflow_rates.py SOCKET flow-mods|barriers|packet-ins|dump [COUNT]

SOCKET is a bridge's management socket. Prints one line: what, how many, seconds, a second.
flow-mods: COUNT rules are added, a barrier at the end. barriers: COUNT times a rule and a barrier, as fast as the switch
takes them. packet-ins: COUNT of them are awaited; a rule sends what comes in by port 3 to the controller.
dump: all rules are listed. tests/bench/openflow_rates runs them all."""
import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import openflow_peer as of

SET_CONFIG = 9
CONTROLLER = 0xfffffffd
TABLE = 3


def rule(n, xid):  # of a host of its own
    fields = (5, b"\x08\x00"), (12, struct.pack("!I", 0x0a000000 + n))
    return of.flow_mod(fields, of.output(2), table=TABLE, cookie=n, xid=xid)


class Connection(of.Peer):
    def count(self, kind, count, data=b""):
        """Sends `data`, and reads meanwhile, until so many messages of this kind have come."""
        self.socket.setblocking(False)
        sent = found = 0
        while found < count:
            try:
                if sent < len(data):
                    sent += self.socket.send(data[sent:sent + (1 << 18)])
            except BlockingIOError:
                pass
            try:
                self.fill()
            except BlockingIOError:
                time.sleep(0.0002)
            while len(self.buffer) - self.at >= 8:
                _, which, size = struct.unpack_from("!BBH", self.buffer, self.at)
                if len(self.buffer) - self.at < size:
                    break
                if which == of.ERROR:
                    sys.exit("error %d, %d" % struct.unpack_from("!HH", self.buffer, self.at + 8))
                found += which == kind
                self.at += size
        self.socket.setblocking(True)
        return found


def timed(function, *arguments):
    begin = time.monotonic()
    found = function(*arguments)
    return found, time.monotonic() - begin


def flow_mods(connection, count):
    data = b"".join(rule(n, n) for n in range(count)) + of.message(of.BARRIER)
    _, seconds = timed(connection.count, of.BARRIER_REPLY, 1, data)
    return count, seconds


def barriers(connection, count):
    data = b"".join(rule(n, 2 * n) + of.message(of.BARRIER, xid=2 * n + 1) for n in range(count))
    return timed(connection.count, of.BARRIER_REPLY, count, data)


def packet_ins(connection, count):
    connection.send(of.message(SET_CONFIG, struct.pack("!HH", 0, 0xffff)))
    connection.send(of.flow_mod([(0, struct.pack("!I", 3))], of.output(CONTROLLER), priority=100))
    connection.barrier()
    connection.count(of.PACKET_IN, 1)  # somebody sends
    return timed(connection.count, of.PACKET_IN, count)


def dump(connection, _):
    return timed(list_all, connection)


def list_all(connection):
    connection.send(of.dump_flows())
    count, more = 0, True
    while more:
        _, body = connection.wait_for(of.MULTIPART_REPLY)
        more = body[3] == 1
        at = 8
        while at < len(body):
            at += struct.unpack_from("!H", body, at)[0]
            count += 1
    return count


def main():
    path, what = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100000
    connection = Connection(path, timeout=120)
    connection.barrier()
    measured = {"flow-mods": flow_mods, "barriers": barriers, "packet-ins": packet_ins, "dump": dump}[what]
    done, seconds = measured(connection, count)
    print("%s: %d in %.2f s, %d a second" % (what, done, seconds, done / seconds))


main()
