# SPDX-License-Identifier: Apache-2.0
"""The daemon's control socket, for tests that ask more of it than one `shunt` after the other can (user/control/README.md)."""
import json
import socket


class Control:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.replies = self.socket.makefile("rb")
        self.number = 0

    def call(self, method, **params):
        """-> the result; a refusal is a RuntimeError."""
        self.number += 1
        request = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(self.replies.readline())
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]
