# SPDX-License-Identifier: Apache-2.0
"""os-ken's topology service (osken-manager --observe-links os_ken.topology.switches), asked ten times a second: the
switches, links and hosts that it knows are in the file OUTPUT, a line each."""
import os

from os_ken.base import app_manager
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3
from os_ken.topology import api


class Topology(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def start(self):
        super().start()
        self.threads.append(hub.spawn(self.look))

    def look(self):
        while True:
            lines = ["switch %d: %s" % (each.dp.id, " ".join(str(port.port_no) for port in each.ports))
                     for each in api.get_all_switch(self)]
            lines += ["link %d:%d %d:%d" % (each.src.dpid, each.src.port_no, each.dst.dpid, each.dst.port_no)
                      for each in api.get_all_link(self)]
            lines += ["host %s %d:%d" % (each.mac, each.port.dpid, each.port.port_no)
                      for each in api.get_all_host(self)]
            with open(os.environ["OUTPUT"] + ".new", "w") as file:
                file.writelines(line + "\n" for line in sorted(lines))
            os.rename(os.environ["OUTPUT"] + ".new", os.environ["OUTPUT"])
            hub.sleep(0.1)
