#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two workers share ports of two queues, and ports whose only socket belongs to the other worker. Traffic passes both
# ways, packets that one worker hands to the other keep their order and their length, and every frame comes back.
. "$(dirname "$0")/../support/netns.sh"
begin ping iperf3
[ "$(nproc)" -ge 2 ] || skip "needs two cores"

# A veth whose end in "host" has QUEUES receive queues; the guest's end has one, so that what it receives has one order.
make_link() {
  local name=$1 v4=${2:-} v6=${3:-} mac
  mac=$(printf '02:00:00:00:00:%02x' ${#GUESTS[@]})
  host sysctl -qw net.ipv6.conf.default.disable_ipv6=1
  host ip link add name "$name" numrxqueues "${QUEUES:-1}" numtxqueues 1 mtu 9000 type veth \
    peer name eth0 numrxqueues 1 numtxqueues "${QUEUES:-1}" mtu 9000 netns "$TAG-$name"
  guest "$name" ip link set dev eth0 address "$mac" up
  host ip link set dev "$name" up
  guest "$name" ip address add "$v4" dev eth0
  guest "$name" ip address add "$v6" dev eth0 nodad
}
QUEUES=2 add_guest a 10.0.0.1/24 fd00::1/64
QUEUES=2 add_guest b 10.0.0.2/24 fd00::2/64
QUEUES=1 add_guest c 10.0.0.3/24 fd00::3/64
QUEUES=1 add_guest d 10.0.0.4/24 fd00::4/64

start_switch --cores 0,1
bridge_of a b c d
workers() { ls "/proc/$DAEMON/task" | while read -r task; do cat "/proc/$DAEMON/task/$task/comm"; done | grep -c '^worker'; }
equal "workers" 2 "$(workers)"
equal "queues of a" 2 "$(json '[p["queues"] for p in d["ports"] if p["name"] == "a"][0]' port list br0)"

for pair in 'a 2' 'a 3' 'c 4' 'd 1'; do
  read -r from to <<<"$pair"
  expect_ping "$from" 10.0.0.$to
  expect_ping "$from" fd00::$to
done
iperf_server b
at_least "TCP over two queues, bits a second" 50000000 "$(iperf a -c 10.0.0.2 -t 1 -P 4)"
at_least "TCP over IPv6, bits a second" 50000000 "$(iperf c -c fd00::2 -t 1)"
expect_no_checksum_errors a b c

note "userspace forwards all of it: every port's packets leave by sockets of both workers"
# The same port twice is what the kernel side cannot do.
for to in a b c d; do
  shunt flow add br0 "priority=50,dl_dst=$(mac_of $to),actions=output:$to,output:$to"
done
iperf_server d
at_least "TCP through userspace, bits a second" 1000000 "$(iperf a -c 10.0.0.2 -t 1)"
at_least "TCP between workers, bits a second" 1000000 "$(iperf c -c 10.0.0.4 -t 1)"
at_least "packets that userspace sent" 1000 "$(json 'd["upcalls"]["unsupported"]' cache stats)"
# Jumbo frames are handed over in several parts: none may come out in pieces.
listen d jumbo --dport 5003
listen c jumbo_c --dport 5003
background a python3 "$FRAMES" send eth0 --dst "$(mac_of d)" --dport 5003 --payload 8000 --rate 2000 --count 2000 >/dev/null
first=$CHILD
background b python3 "$FRAMES" send eth0 --dst "$(mac_of c)" --dport 5003 --payload 8000 --rate 2000 --count 2000 >/dev/null
wait "$first" "$CHILD"
heard jumbo jumbo_c
for who in jumbo jumbo_c; do
  at_least "jumbo frames at $who" 1900 "$(result $who 'd["frames"]')"
  equal "lengths at $who" "['8042']" "$(result $who 'sorted(d["lengths"])')"
done
shunt flow del br0

note "order over a miss, out of either queue and to either worker"
shunt flow add br0 "priority=0,actions=normal"
for to in c d; do send $to --src "$(mac_of $to)" --count 1 >/dev/null; done
listen c c --dport 5001
listen d d --dport 5001
for i in $(seq 6); do
  shunt cache flush
  send a --dst "$(mac_of c)" --dport 5001 --first-flow $((i * 4)) --flows 4 --count 800 >/dev/null
  send b --dst "$(mac_of d)" --dport 5001 --first-flow $((i * 4)) --flows 4 --count 800 >/dev/null
done
heard c d
for who in c d; do
  at_least "frames at $who" 4000 "$(result $who 'd["frames"]')"
  equal "frames out of order at $who" 0 "$(result $who 'd["inversions"]')"
done

note "queues move while they work: nothing is lost, and flows keep their order"
worker_of() { json "[w['worker'] for w in d['workers'] for q in w['queues'] if q['port'] == '$1' and q['queue'] == $2][0]" worker list; }
for to in c d; do shunt flow add br0 "priority=50,dl_dst=$(mac_of $to),actions=output:$to,output:$to"; done
listen c moved_c --dport 5004
listen d moved_d --dport 5004
# What goes to one port twice is for userspace to forward.
background a python3 "$FRAMES" send eth0 --dst "$(mac_of c)" --dport 5004 --rate 2000 --count 8000 >/dev/null
first=$CHILD
background b python3 "$FRAMES" send eth0 --dst "$(mac_of d)" --dport 5004 --rate 2000 --count 8000 >/dev/null
second=$CHILD
for i in $(seq 20); do
  bit=0
  for port in a b c d; do
    worker=$((i >> bit++ & 1))
    shunt port set br0 $port --queue-workers "0:$worker" >/dev/null
    equal "worker of $port's first queue" $worker "$(worker_of $port 0)"
  done
done
wait "$first" "$second"
heard moved_c moved_d
for who in moved_c moved_d; do
  equal "frames at $who" 16000 "$(result $who 'd["frames"]')"
  equal "frames out of order at $who" 0 "$(result $who 'd["inversions"]')"
done
equal "where d's queue is wanted" "0:$worker" "$(json '[p["queue_workers"] for p in d["ports"] if p["name"] == "d"][0]' port list br0)"
refused 1 "there is no worker 2" shunt port set br0 c --queue-workers 0:2
for port in a b c d; do shunt port set br0 $port --queue-workers auto >/dev/null; done

note "two busy queues of one worker part"
shunt port set br0 a --queue-workers 0:0,1:0 >/dev/null
shunt port set br0 a --queue-workers auto >/dev/null
background a python3 "$FRAMES" send eth0 --dst "$(mac_of c)" --dport 5005 --flows 16 --rate 20000 --count 600000 >/dev/null
parted() { [ "$(worker_of a 0)" != "$(worker_of a 1)" ]; }
wait_until 30 "a's queues are served by two workers" parted
kill "$CHILD"
shunt flow del br0
shunt flow add br0 "priority=0,actions=normal"

note "every frame comes back"
# Nothing but what the kernel holds to receive into: the same before and after, port for port.
census() { json 'd["umem_frames"] - d["umem_free"]' cache stats; }
settled() { local before; before=$(census); sleep 0.6; [ "$before" -eq "$(census)" ]; }
wait_until 10 "frames in use settle" settled
before=$(census)
for from in a b c d; do
  send "$from" --src 06:00:00:00:00:00 --vary mac --flows 300 --count 2000 >/dev/null
done
back() { [ "$(census)" -eq "$before" ]; }
wait_until 10 "frames in use are $before again" back
sleep 0.6
equal "frames in use" "$before" "$(census)"

note "a port goes and comes back while the others work"
expect_ping a 10.0.0.2 -i 0.02 -c 100 &
pings=$!
for _ in 1 2 3; do
  shunt port detach br0 c
  shunt port attach br0 c >/dev/null
done
wait "$pings" || fail "pings were lost while a port went and came back"
expect_ping c 10.0.0.1
wait_until 10 "frames in use are $before again" back
for name in a b c d; do shunt port detach br0 $name; done
shunt bridge del br0
none() { [ "$(census)" -eq 0 ]; }
wait_until 5 "no frame is in use without ports" none
