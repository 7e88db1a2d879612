#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SOCKET READY GO: monitors all rules (OpenFlow 1.4), makes the file READY, and reads nothing until the file GO is there.
Then prints, as JSON, how often it was paused and resumed, and which cookies there are in the end."""
import json
import os
import socket
import struct
import sys
import time

HELLO, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER, BARRIER_REPLY = 0, 18, 19, 20, 21
ADD, REMOVED, MODIFY, INSTRUCTIONS = 2, 4, 8, 16


def message(kind, body=b"", xid=1):
    return struct.pack("!BBHI", 5, kind, 8 + len(body), xid) + body


def messages(sock, quiet):
    """What comes, until nothing does for `quiet` seconds."""
    sock.settimeout(quiet)
    data = b""
    while True:
        try:
            more = sock.recv(1 << 20)
        except socket.timeout:
            return
        data += more
        at = 0
        while len(data) - at >= 8:
            size = struct.unpack_from("!H", data, at + 2)[0]
            if len(data) - at < size:
                break
            yield data[at + 1], data[at + 8:at + size]
            at += size
        data = data[at:]
        if not more:
            return


def main():
    path, ready, go = sys.argv[1:]
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    any_match = struct.pack("!HHxxxx", 1, 4)
    monitor = struct.pack("!IIIHBB", 1, 0xffffffff, 0xffffffff, ADD | REMOVED | MODIFY | INSTRUCTIONS, 0xff, 0) + any_match
    sock.sendall(message(HELLO) + message(MULTIPART_REQUEST, struct.pack("!HHxxxx", 16, 0) + monitor) + message(BARRIER))
    for kind, _ in messages(sock, 10):
        if kind == BARRIER_REPLY:
            break
    open(ready, "w").close()
    while not os.path.exists(go):
        time.sleep(0.05)
    cookies, paused, resumed, wrong = set(), 0, 0, 0
    for kind, body in messages(sock, 3):
        if kind != MULTIPART_REPLY:
            continue
        at = 8
        while at < len(body):
            size, event = struct.unpack_from("!HH", body, at)
            cookie = struct.unpack_from("!Q", body, at + 16)[0] if size > 16 else None
            paused += event == 5
            resumed += event == 6
            # 1: added, 2: removed, 3: modified.
            wrong += (event == 1 and cookie in cookies) + (event in (2, 3) and cookie not in cookies)
            if event == 1:
                cookies.add(cookie)
            elif event == 2:
                cookies.discard(cookie)
            at += size
    print(json.dumps({"paused": paused, "resumed": resumed, "wrong": wrong, "rules": len(cookies), "sum": sum(cookies)}))


main()
