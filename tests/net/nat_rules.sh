#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rules that rewrite addresses and ports between two real TCP stacks: a server is reached at an address and port that
# nobody has. Checksums must be right, or nothing is answered; in IPv4 and IPv6, TCP and UDP, in the kernel.
. "$(dirname "$0")/../support/netns.sh"
begin nstat
add_guest a 10.0.0.1/24 fd00::1/64
add_guest b 10.0.0.2/24 fd00::2/64
start_switch
bridge_of a b
guest a ip neigh add 10.0.0.100 lladdr "$(mac_of b)" dev eth0
guest a ip neigh add fd00::100 lladdr "$(mac_of b)" dev eth0
shunt flow add br0 --file - <<'RULES'
# towards the server
priority=100,tcp,nw_dst=10.0.0.100,tp_dst=80,actions=set_field:10.0.0.2->ip_dst,set_field:8080->tcp_dst,dec_ttl,normal
priority=100,tcp6,ipv6_dst=fd00::100,tp_dst=80,actions=set_field:fd00::2->ipv6_dst,set_field:8080->tcp_dst,dec_ttl,normal
priority=100,udp,nw_dst=10.0.0.100,tp_dst=53,actions=mod_nw_dst:10.0.0.2,mod_tp_dst:5353,normal
# and back
priority=100,tcp,nw_src=10.0.0.2,tp_src=8080,actions=set_field:10.0.0.100->ip_src,set_field:80->tcp_src,normal
priority=100,tcp6,ipv6_src=fd00::2,tp_src=8080,actions=set_field:fd00::100->ipv6_src,set_field:80->tcp_src,normal
RULES
background b python3 "$SUPPORT/talk.py" serve :: 8080
wait_until 5 "the server listens" guest b sh -c "ss -Hltn sport = :8080 | grep -q ."
for address in 10.0.0.100 fd00::100; do
  timeout 20 ip netns exec "$TAG-a" python3 "$SUPPORT/talk.py" talk $address 80 30 || fail "small messages by $address"
  timeout 20 ip netns exec "$TAG-a" python3 "$SUPPORT/talk.py" transfer $address 80 20000000 ||
    fail "a stream by $address"
done
before=$(counter b UdpNoPorts)
guest a python3 "$SUPPORT/talk.py" datagrams 10.0.0.100 53 50
sleep 0.3
equal "datagrams that reached b's stack with a right checksum" $((before + 50)) "$(counter b UdpNoPorts)"
expect_no_checksum_errors a b
at_least "flows cached" 4 "$(json 'len(d["flows"])' cache list)"
at_least "packets answered in the kernel, of each that went up" 3 \
  "$(json '(d["megaflow_hits"] + d["exact_hits"]) // max(1, d["misses"])' cache stats)"
equal "flows that had to stay in userspace" 0 "$(json 'sum(f["where"] != "kernel" for f in d["flows"])' cache list)"
at_least "packets counted by the rules" 5000 \
  "$(json 'sum(r["packets"] for r in d["rules"] if r["priority"] == 100)' flow list br0)"
