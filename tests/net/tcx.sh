#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ports in mode tcx, what a veth with a local stack behind it gets by itself: large packets stay whole, tags beside the
# frame are seen, what TC leaves to XDP comes out the same, bridges of both modes work, and a daemon that was killed is
# followed by one that takes over.
. "$(dirname "$0")/../support/netns.sh"
begin iperf3 nstat tcpdump bpftool
last=0
for name in a b c n; do add_guest "$name" "10.0.0.$((++last))/24" "fd00::$last/64"; done
PORT_MODE=auto start_switch
bridge_of a b c
attach n --mode native
mode_of() { json "[p['mode'] for p in d['ports'] if p['name'] == '$1'][0]" port list br0; }
[ "$(mode_of a)" = tcx ] || skip "the kernel has no TCX (Linux 6.6)"
equal "mode of n, which was asked for" native "$(mode_of n)"
equal "mode of br0's own port" tcx "$(mode_of br0)"

note "every pair, both families"
for from in a b n; do
  for to in 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 fd00::1 fd00::4; do expect_ping "$from" "$to"; done
done

note "TCP stays in large packets between stacks, and is cut for a port in mode native"
iperf_server b
iperf_server n
buffers() { host ip -j -s link show dev a | python3 -c 'import json, sys
print(json.load(sys.stdin)[0]["stats64"]["rx"]["packets"])'; }
received() { json "[p['rx_packets'] for p in d['ports'] if p['name'] == 'a'][0]" port list br0; }
for address in 10.0.0.2 fd00::2; do
  buffers=$(buffers) counted=$(received)
  at_least "TCP to $address, bits a second" 100000000 "$(iperf a -c "$address" -t 1)"
  buffers=$(($(buffers) - buffers)) counted=$(($(received) - counted))
  at_least "packets of the wire for each buffer of a's stack, to $address" 5 $((counted / buffers))
done
for address in 10.0.0.4 fd00::4; do
  at_least "TCP to $address, bits a second" 100000000 "$(iperf a -c "$address" -t 1)"
  at_least "TCP from $address, bits a second" 100000000 "$(iperf a -c "$address" -t 1 -R)"
done
expect_no_checksum_errors a b n

note "tags that the kernel keeps beside the frame"
tagged() { # TAGS-AS-HEARD OPTION…
  local heard_as=$1
  shift
  listen b b --type 0x88b5
  send a --dst "$(mac_of b)" --type 0x88b5 --payload 64 --count 50 --rate 500 "$@" >/dev/null
  heard b
  equal "what b hears of $heard_as" "{'$heard_as': 50}" "$(result b 'd["tags"]')"
}
tagged 10@0x8100 --vlan 10
tagged 100@0x88a8,20@0x8100 --vlan 100@0x88a8 --vlan 20
tagged "" --src 02:00:00:00:aa:02

note "a capture sees the packets of the wire, and each of them once"
shunt capture br0 a --before --count 20 --write "$RUNDIR/a.pcapng" --filter 'tcp dst port 5201' >/dev/null &
CHILDREN+=("$!")
capture=$!
sleep 0.5
iperf a -c 10.0.0.2 -t 1 >/dev/null
wait "$capture"
at_most "bytes of the longest frame captured" 1514 \
  "$(tcpdump -r "$RUNDIR/a.pcapng" -e -n 2>/dev/null | sed -n 's/.*, length \([0-9]*\): .*/\1/p' | sort -n | tail -1)"

note "edits: TCP through rules that route, and rewrite addresses and ports, in large packets"
lanes() { host ip -j link show | python3 -c "import json, sys
print(*sorted(l['ifname'] for l in json.load(sys.stdin) if l.get('ifalias', '').startswith('shunt lane: $INSTANCE')))"; }
lane_packets() { for end in $(lanes); do host ip -j -s link show dev "$end"; done | python3 -c 'import json, sys
print(sum(json.loads(line)[0]["stats64"]["tx"]["packets"] for line in sys.stdin))'; }
rules() { shunt flow add br0 "priority=10,$1" >/dev/null; }
route="set_field:$(mac_of b)->eth_dst,set_field:02:00:00:00:00:99->eth_src,dec_ttl"
back="set_field:$(mac_of a)->eth_dst,set_field:02:00:00:00:00:99->eth_src,dec_ttl"
rules "tcp,nw_dst=10.0.0.9,tp_dst=80,actions=set_field:10.0.0.2->ip_dst,set_field:5201->tcp_dst,$route,2"
rules "tcp,nw_src=10.0.0.2,tp_src=5201,actions=set_field:10.0.0.9->ip_src,set_field:80->tcp_src,$back,1"
rules "tcp6,ipv6_dst=fd00::9,tp_dst=80,actions=set_field:fd00::2->ipv6_dst,set_field:5201->tcp_dst,$route,2"
rules "tcp6,ipv6_src=fd00::2,tp_src=5201,actions=set_field:fd00::9->ipv6_src,set_field:80->tcp_src,$back,1"
rules "udp,nw_dst=10.0.0.9,tp_dst=80,actions=set_field:10.0.0.2->ip_dst,set_field:5353->udp_dst,$route,2"
for address in 10.0.0.9 fd00::9; do
  guest a ip neigh add "$address" lladdr 02:00:00:00:00:98 dev eth0
  for direction in "" -R; do
    buffers=$(buffers) counted=$(received) left=$(lane_packets)
    # shellcheck disable=SC2086 # no word, or one
    at_least "TCP through the edits by $address $direction, bits a second" 100000000 \
      "$(iperf a -c "$address" -p 80 -t 1 $direction)"
    buffers=$(($(buffers) - buffers)) counted=$(($(received) - counted))
    at_most "packets that TC left to XDP, of those to $address $direction" $((counted / 20)) \
      $(($(lane_packets) - left))
    [ -n "$direction" ] || at_least "packets of the wire for each buffer of a's stack" 5 $((counted / buffers))
  done
done
before=$(counter b UdpNoPorts)
guest a python3 "$SUPPORT/talk.py" datagrams 10.0.0.9 80 50
wait_until 3 "b's stack has the datagrams, with right checksums" eval '[ "$(counter b UdpNoPorts)" = $((before + 50)) ]'
expect_no_checksum_errors a b
for protocol in tcp tcp6 udp; do shunt flow del br0 "$protocol" >/dev/null; done

note "a killed daemon leaves the ports forwarding; the next one takes them over, the lane too"
before=$(lanes)
equal "ends of the lane" 2 "$(wc -w <<<"$before")"
expect_ping a 10.0.0.2
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
expect_ping a 10.0.0.2
PORT_MODE=auto start_switch
equal "the lane after the restart" "$before" "$(lanes)"
equal "mode of a after the restart" tcx "$(mode_of a)"
for to in 10.0.0.2 10.0.0.4 fd00::3; do expect_ping a "$to"; done

note "where a program of XDP sends, ports are in mode native; nothing is left at the end"
host ip link add name x type veth peer name y
host ip link set dev y up
host ip link set dev y xdp obj "${BPF_OBJECTS:?folder of the BPF object files}/foreign.bpf.o" sec xdp
attach x
equal "mode of x" native "$(mode_of x)"
refused 1 'queues.*tcx' shunt port attach br0 y --mode tcx --queues 2
shunt port detach br0 a
if host bpftool net show dev a 2>/dev/null | grep -q shunt_tc; then fail "detach left the TC program at a"; fi
stop_switch
equal "the lane after the daemon has gone" "" "$(lanes)"
