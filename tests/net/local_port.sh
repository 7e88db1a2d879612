#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The host itself speaks through the bridge's interface: ping, TCP both ways, and it goes away with the bridge.
. "$(dirname "$0")/../support/netns.sh"
begin ping iperf3
add_guest a 10.0.0.1/24 fd00::1/64
start_switch
bridge_of a
host ip link show dev br0 >/dev/null || fail "there is no interface br0"
host sysctl -qw net.ipv6.conf.br0.disable_ipv6=0
host ip link set dev br0 up
host ip address add 10.0.0.254/24 dev br0
host ip address add fd00::254/64 dev br0 nodad
expect_ping a 10.0.0.254
expect_ping a fd00::254 -s 1400
host ping -n -q -c 3 -i 0.05 10.0.0.1 >/dev/null || fail "the host cannot ping a"
iperf_server a
at_least "TCP from the host, bits a second" 100000000 "$(host iperf3 -J -c 10.0.0.1 -t 1 |
  python3 -c 'import json, sys; print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]))')"
at_least "TCP to the host over IPv6, bits a second" 100000000 "$(host iperf3 -J -c fd00::1 -t 1 -R |
  python3 -c 'import json, sys; print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]))')"
expect_no_checksum_errors a
equal "kind of port br0" local "$(json '[p["kind"] for p in d["ports"] if p["name"] == "br0"][0]' port list br0)"
refused 1 'br0|exists' shunt bridge add br0
shunt port detach br0 a
shunt bridge del br0
if host ip link show dev br0 2>/dev/null; then fail "br0 outlived its bridge"; fi
