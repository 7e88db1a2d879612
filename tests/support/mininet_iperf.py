# SPDX-License-Identifier: Apache-2.0
"""mn --custom …,tests/support/mininet_iperf.py --test iperf: where it would hang.

Mininet sees that the server listens by a connection of telnet, and later waits for the server's figures of that one too;
iperf 2.1.8, Debian 12's, has none of a connection that sent nothing. With this it is a client of iperf that tries."""

import time

import mininet.net


def wait_listening(client, server, port, timeout=20):
    for _ in range(2 * timeout):
        if "/sec" in client.cmd("iperf -n 64K -p %d -c %s" % (port, server)):
            return True
        time.sleep(0.5)
    return False


mininet.net.waitListening = wait_listening
