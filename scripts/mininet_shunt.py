# SPDX-License-Identifier: Apache-2.0
"""Shunt as Mininet's switch:

    mn --custom scripts/mininet_shunt.py --switch shunt --topo tree,2 --controller remote --test pingall

A switch is a bridge of a shuntd that runs in the network namespace where mn does. --switch shunt,rundir=DIR,instance=NAME
says which one; failMode=standalone makes it a learning switch where no controller is connected, or is wanted
(--controller none)."""

import os
import subprocess

from mininet.log import error
from mininet.node import Switch


class ShuntSwitch(Switch):
    "A bridge of a running shuntd."

    def __init__(self, name, failMode="secure", rundir="/run/shunt", instance="default", shunt=None, **params):
        Switch.__init__(self, name, **params)
        self.failMode = failMode
        self.rundir = rundir
        self.command = [shunt or os.environ.get("SHUNT", "shunt"), "--rundir", rundir, "--instance", instance]

    @classmethod
    def setup(cls):
        "Mininet asks each class once whether it can work: the daemon is asked when a switch is started."

    def shunt(self, *words):
        "Runs a command of shunt; its errors are shown, and end the start."
        done = subprocess.run(self.command + [str(word) for word in words], capture_output=True, text=True)
        if done.returncode != 0:
            error("*** %s: shunt %s: %s\n" % (self.name, " ".join(map(str, words)), done.stderr.strip()))
            raise RuntimeError("shunt failed")
        return done.stdout

    def start(self, controllers):
        self.shunt("bridge", "add", self.name, "--datapath-id", self.dpid, "--fail-mode", self.failMode)
        for port, intf in sorted(self.intfs.items()):
            if intf.name != "lo":
                self.attach(intf, port)
        for each in controllers:
            self.shunt("controller", "add", self.name, "tcp:%s:%d" % (each.IP(), each.port))

    def stop(self, deleteIntfs=True):
        self.shunt("bridge", "del", self.name)
        Switch.stop(self, deleteIntfs)

    def attach(self, intf, port=None):
        "Adds an interface, as Mininet does when a link is made while the network runs."
        number = port if port is not None else self.ports[self.nameToIntf[str(intf)]]
        self.shunt("port", "attach", self.name, intf, "--ofport", number)

    def detach(self, intf):
        self.shunt("port", "detach", self.name, intf)

    def connected(self):
        "Is some controller connected?"
        listed = self.shunt("controller", "list", self.name)
        return " yes " in listed or self.failMode == "standalone"

    def dpctl(self, *args):
        "Runs ovs-ofctl on the bridge's management socket."
        return self.cmd("ovs-ofctl", "-O", "OpenFlow13", args[0], "unix:%s/%s.mgmt" % (self.rundir, self.name), *args[1:])


switches = {"shunt": ShuntSwitch}
