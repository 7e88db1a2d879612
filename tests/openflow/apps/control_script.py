# SPDX-License-Identifier: Apache-2.0
"""What os-ken's ofctl_rest offers over HTTP, from a file: SCRIPT has a line a request, the name of a function of
os_ken.lib.ofctl_v1_3 and its arguments in JSON. OUTPUT gets a line a request: its answer in JSON; then "end"."""
import json
import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub, ofctl_v1_3
from os_ken.ofproto import ofproto_v1_3

COMMANDS = {"add": "ADD", "modify": "MODIFY", "modify_strict": "MODIFY_STRICT", "delete": "DELETE",
            "delete_strict": "DELETE_STRICT"}
PREFIXES = {"mod_flow_entry": "OFPFC_", "mod_group_entry": "OFPGC_", "mod_meter_entry": "OFPMC_"}


class ControlScript(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.waiters = {}
        self.errors = []

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)
    def on_switch(self, event):
        self.threads.append(hub.spawn(self.run, event.datapath))

    def run(self, switch):
        with open(os.environ["SCRIPT"]) as script, open(os.environ["OUTPUT"], "w", buffering=1) as output:
            for line in filter(str.strip, script):
                name, _, text = line.strip().partition(" ")
                output.write(json.dumps(self.request(switch, name, json.loads(text or "[]"))) + "\n")
            output.write("end\n")

    def request(self, switch, name, arguments):
        function = getattr(ofctl_v1_3, name)
        if name in PREFIXES:
            command, what = arguments
            function(switch, what, getattr(switch.ofproto, PREFIXES[name] + COMMANDS[command]))
        elif name in ("mod_port_behavior", "set_role"):
            function(switch, *arguments)
        else:
            return function(switch, self.waiters, *arguments)
        self.errors.clear()
        self.barrier(switch)
        return list(self.errors)

    def barrier(self, switch):
        request = switch.ofproto_parser.OFPBarrierRequest(switch)
        switch.set_xid(request)
        event = hub.Event()
        self.waiters.setdefault(switch.id, {})[request.xid] = (event, [])
        switch.send_msg(request)
        event.wait(timeout=5)

    @set_ev_cls([ofp_event.EventOFPBarrierReply, ofp_event.EventOFPDescStatsReply, ofp_event.EventOFPFlowStatsReply,
                 ofp_event.EventOFPAggregateStatsReply, ofp_event.EventOFPTableStatsReply,
                 ofp_event.EventOFPTableFeaturesStatsReply, ofp_event.EventOFPPortStatsReply,
                 ofp_event.EventOFPQueueStatsReply, ofp_event.EventOFPQueueGetConfigReply,
                 ofp_event.EventOFPMeterStatsReply, ofp_event.EventOFPMeterFeaturesStatsReply,
                 ofp_event.EventOFPMeterConfigStatsReply, ofp_event.EventOFPGroupStatsReply,
                 ofp_event.EventOFPGroupFeaturesStatsReply, ofp_event.EventOFPGroupDescStatsReply,
                 ofp_event.EventOFPPortDescStatsReply, ofp_event.EventOFPRoleReply], MAIN_DISPATCHER)
    def on_reply(self, event):
        message = event.msg
        waiting = self.waiters.get(message.datapath.id, {})
        if message.xid not in waiting:
            return
        lock, messages = waiting[message.xid]
        messages.append(message)
        if getattr(message, "flags", 0) & 1:  # more to come
            return
        del waiting[message.xid]
        lock.set()

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def on_error(self, event):
        self.errors.append([event.msg.type, event.msg.code])
