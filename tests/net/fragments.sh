#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fragmented datagrams pass whole, over IPv4 and IPv6, also under a rule that looks at ports (later fragments have
# none).
. "$(dirname "$0")/../support/netns.sh"
begin ping iperf3 nstat
add_guest a 10.0.0.1/24 fd00::1/64
add_guest b 10.0.0.2/24 fd00::2/64
start_switch
bridge_of a b
expect_ping a 10.0.0.2 -s 4000
expect_ping a fd00::2 -s 4000

shunt flow add br0 'priority=100,udp,tp_dst=9999,actions=drop'
expect_ping a 10.0.0.2 -s 4000
iperf_server b
at_least "UDP in datagrams of 8000 bytes, bits a second" 15000000 "$(iperf a -c 10.0.0.2 -u -l 8000 -b 20M -t 1)"
at_least "datagrams put together in b" 100 "$(counter b IpReasmOKs)"
expect_no_checksum_errors a b

note "later fragments can be matched"
shunt flow add br0 'priority=200,ip,ip_frag=later,actions=drop'
expect_no_ping a 10.0.0.2 -s 4000
expect_ping a 10.0.0.2
at_least "packets of the rule" 2 "$(json 'sum(r["packets"] for r in d["rules"] if r["priority"] == 200)' flow list br0)"
