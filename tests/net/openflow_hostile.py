#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Controllers that mean harm, or are slow, and one that means well.

attack ADDRESS PORT PID   each kind of harm in turn, on a switch that listens there; PID is the daemon's
watch SOCKET READY        asks for an echo every 20 ms until SIGTERM; then prints the longest wait, in ms"""
import os
import random
import signal
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import openflow_peer as of

MEGABYTE = 1 << 20
HELLO_FAILED, BAD_REQUEST = 0, 1
ALL_METERS = 0xffffffff


def equal(what, wanted, got):
    if wanted != got:
        sys.exit("%s: expected %s, got %s" % (what, wanted, got))


def resident(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def garbage(target):
    noise = random.Random(1).randbytes(4 * MEGABYTE)
    for what, hello, wanted in (
            ("a web browser", b"GET / HTTP/1.1\r\nHost: switch\r\n\r\n", (HELLO_FAILED, 0)),
            ("noise", b"\x04\x77" + noise, (HELLO_FAILED, 0)),
            ("TLS on a port without", bytes.fromhex("1603010200010001fc0303") + noise[:500], (HELLO_FAILED, 0)),
            ("a version that nobody speaks", of.message(of.HELLO, version=3), (HELLO_FAILED, 0)),
            ("noise behind the hello", of.message(of.HELLO) + b"\x77" + noise, (BAD_REQUEST, 0)),
            ("a message shorter than its header", of.message(of.HELLO) + b"\4\2\0\3\0\0\0\0", (BAD_REQUEST, 6))):
        peer = of.Peer(target, hello=b"")
        sender = threading.Thread(target=send_what_goes, args=(peer, hello))
        sender.start()
        equal(what, wanted, peer.error())
        equal(what + ": the connection is closed", True, peer.ended())
        sender.join()


def send_what_goes(peer, data):
    try:
        peer.send(data)
    except OSError:
        pass  # the switch has had enough


def never_reads(target, pid):
    """Asks for the features of all tables, 500 kB a time, and reads nothing of it."""
    before = resident(pid)
    peers = [of.Peer(target) for _ in range(4)]
    most = 0
    for peer in peers:
        peer.socket.setblocking(False)
        request = of.message(of.MULTIPART, struct.pack("!HHxxxx", 12, 0)) * 1000
        try:
            for _ in range(200):
                peer.socket.send(request)
        except BlockingIOError:
            pass
    for _ in range(20):
        time.sleep(0.05)
        most = max(most, resident(pid) - before)
    if most > 64 * MEGABYTE:
        sys.exit("four that read nothing cost %d MB" % (most // MEGABYTE))
    return peers


def floods(target):
    peer = of.Peer(target, timeout=60)
    small = of.message(of.ECHO_REQUEST) * 100000
    large = of.message(of.ECHO_REQUEST, bytes(60000)) * 1000
    for what, data, count in ("small", small, 100000), ("large", large, 1000):
        sender = threading.Thread(target=peer.send, args=(data,))
        sender.start()
        for _ in range(count):
            peer.wait_for(of.ECHO_REPLY)
        sender.join()
    # What looks at every rule, again and again.
    requests = b"".join(of.flow_mod(command=3, cookie=n + 1, cookie_mask=2**64 - 1) for n in range(2000))
    peer.send(requests)
    peer.barrier()


def crowd(target):
    """1,000 at once: those that there is no room for are told so, and closed."""
    peers = [of.Peer(target, hello=b"") for _ in range(1000)]
    waiting, refused, end = list(peers), 0, time.monotonic() + 20
    while refused < 1000 - 2 * 128 and time.monotonic() < end:
        still = []
        for peer in waiting:
            peer.socket.setblocking(False)
            try:
                while True:
                    peer.fill()
            except BlockingIOError:
                still.append(peer)
            except of.Closed:
                # Who was taken, and said no hello for 10 s, has got no error.
                equal("the first message", of.HELLO, peer.read()[0])
                if peer.at < len(peer.buffer):
                    equal("one too many", (HELLO_FAILED, 1), peer.error())
                    refused += 1
        waiting = still
        time.sleep(0.05)
    if refused < 1000 - 2 * 128:
        sys.exit("%d of 1000 were refused" % refused)
    for peer in peers:
        peer.socket.close()
    for _ in range(1000):
        of.Peer(target, hello=b"").socket.close()


def bundles(target):
    def control(number, kind, flags=0):
        return of.message(of.EXPERIMENTER, struct.pack("!IIIHH", of.ONF, 2300, number, kind, flags))

    def add(number, inner):
        return of.message(of.EXPERIMENTER, struct.pack("!IIIHH", of.ONF, 2301, number, 0, 0) + inner)
    peer = of.Peer(target)
    for number in range(64):
        peer.send(control(number, 0))
    peer.send(control(64, 0))
    equal("a bundle too many", (0xffff, 2305), peer.error())
    # 256 MB in the bundles of all: messages of 60 kB.
    large = add(1, of.flow_mod(actions=of.output(1) * 3700))
    count = 256 * MEGABYTE // len(large) + 1
    sender = threading.Thread(target=peer.send, args=(large * count,))
    sender.start()
    equal("a bundle too large", (0xffff, 2312), peer.error())
    sender.join()
    peer.socket.settimeout(20)
    error = peer.error()
    while error == (0xffff, 2312):
        error = peer.error()
    equal("bundles that nothing is said of", (0xffff, 2314), error)


def meters(target):
    peer = of.Peer(target)
    band = struct.pack("!HHIIxxxx", 1, 16, 1000, 100)
    for n in range(1, 4096):
        peer.send(of.message(of.METER_MOD, struct.pack("!HHI", 0, 5, n) + band))
    peer.barrier()
    peer.send(of.message(of.METER_MOD, struct.pack("!HHI", 0, 5, 5000) + band))
    equal("a meter too many", (12, 10), peer.error())
    peer.send(of.message(of.METER_MOD, struct.pack("!HHI", 2, 0, ALL_METERS)))
    peer.barrier()


def stalls(target):
    """In the middle of the hello, and of a message: given up by the probe."""
    half_hello = of.Peer(target, hello=of.message(of.HELLO)[:5], timeout=16)
    half_message = of.Peer(target, timeout=16)
    half_message.send(of.flow_mod()[:50])
    return [("one that stalled in its hello", half_hello), ("one that stalled in a message", half_message)]


def attack(address, port, pid):
    target = (address, int(port))
    step = time.monotonic()
    before = resident(int(pid))
    slow = stalls(target)
    deaf = never_reads(target, int(pid))
    for name, harm in (("garbage", garbage), ("floods", floods), ("a crowd", crowd), ("meters", meters),
                       ("bundles", bundles)):
        harm(target)
        print("%s: %.1f s" % (name, time.monotonic() - step), flush=True)
        step = time.monotonic()
    for what, peer in slow:
        equal(what, True, peer.ended())
    for peer in deaf:
        peer.socket.setblocking(True)
        peer.socket.settimeout(16)
        equal("one that did not read", True, peer.ended())
    print("resident: %d MB, then %d MB" % (before // MEGABYTE, resident(int(pid)) // MEGABYTE))


def watch(path, ready):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    peer = of.Peer(path, timeout=60)
    longest = 0
    while not stopped:
        begin = time.monotonic()
        peer.send(of.message(of.ECHO_REQUEST, xid=7))
        peer.wait_for(of.ECHO_REPLY)
        longest = max(longest, time.monotonic() - begin)
        if ready:
            open(ready, "w").close()
            ready = None
        time.sleep(0.02)
    print(int(longest * 1000))


{"attack": attack, "watch": watch}[sys.argv[1]](*sys.argv[2:])
