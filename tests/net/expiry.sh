#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Cached flows go away when they are idle, and come back when they are needed; MACs stay.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
start_switch --idle-timeout 1
bridge_of a b
expect_ping a 10.0.0.2
at_least "cached flows" 2 "$(json 'd["flows"]' cache stats)"
no_flows() { [ "$(json 'd["flows"]' cache stats)" -eq 0 ]; }
wait_until 8 "idle flows are gone" no_flows
equal "flows in the list" 0 "$(json 'len(d["flows"])' cache list)"
at_least "expired flows counted" 2 "$(json 'd["expired"]' cache stats)"
wait_until 1 "a's MAC is still known" fdb_has 02:00:00:00:00:01 a
expect_ping a 10.0.0.2

note "a flow in use stays"
background a ping -q -i 0.1 -c 40 10.0.0.2 >/dev/null
sleep 3.5
at_least "flows in use" 2 "$(json 'd["flows"]' cache stats)"
at_least "seconds the oldest flow is cached" 3 "$(json 'int(max(f["age_s"] for f in d["flows"]))' cache list)"
