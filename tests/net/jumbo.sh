#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Frames of 9000 bytes: unicast in the kernel, floods through userspace, TCP at full size.
. "$(dirname "$0")/../support/netns.sh"
begin ping iperf3
export MTU=9000
add_guest a 10.0.0.1/24 fd00::1/64
add_guest b 10.0.0.2/24 fd00::2/64
add_guest c
start_switch
bridge_of a b c
equal "MTU shown for a" 9000 "$(json '[p["mtu"] for p in d["ports"] if p["name"] == "a"][0]' port list br0)"

expect_ping a 10.0.0.2 -M "do" -s 8972
expect_ping a fd00::2 -M "do" -s 8952
expect_ping b 10.0.0.1 -M "do" -s 5000

note "a jumbo frame to a MAC that nobody knows reaches everybody, whole"
listen b b --dport 9
listen c c --dport 9
send a --dst 02:00:00:00:77:77 --payload 8972 --count 30 --rate 300 >/dev/null
heard b c
equal "frames at b" "{'9014': 30}" "$(result b 'd["lengths"]')"
equal "frames at c" "{'9014': 30}" "$(result c 'd["lengths"]')"

iperf_server b
at_least "TCP at MTU 9000, bits a second" 200000000 "$(iperf a -c 10.0.0.2 -t 2)"
expect_no_checksum_errors a b
