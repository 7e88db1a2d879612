#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# TCP and UDP between two guests with the offloads that they were born with. The receiving stack and tshark judge the
# checksums.
. "$(dirname "$0")/../support/netns.sh"
begin iperf3 tshark nstat
add_guest a 10.0.0.1/24 fd00::1/64
add_guest b 10.0.0.2/24 fd00::2/64
guest a ethtool -k eth0 >"$RUNDIR/offloads"
grep -q '^tx-checksumming: on' "$RUNDIR/offloads" || fail "the guest's checksum offload is off: this tests nothing"
start_switch
bridge_of a b
iperf_server b

for address in 10.0.0.2 fd00::2; do
  at_least "TCP to $address, bits a second" 100000000 "$(iperf a -c "$address" -t 1)"
  at_least "TCP from $address, bits a second" 100000000 "$(iperf a -c "$address" -t 1 -R)"
  at_least "UDP to $address, bits a second" 40000000 "$(iperf a -c "$address" -t 1 -u -b 50M)"
done
expect_no_checksum_errors a b

note "a conversation in small pieces, captured where it arrives"
background b tshark -q -i eth0 -w "$RUNDIR/capture.pcap" \
  -f 'src host 10.0.0.1 or src host fd00::1' 2>"$RUNDIR/tshark.err"
tshark=$CHILD
wait_until 10 "tshark captures" grep -q 'Capturing on' "$RUNDIR/tshark.err"
sleep 0.5
background b python3 "$SUPPORT/talk.py" serve :: 7000
wait_until 5 "the server listens" guest b sh -c "ss -Hltn sport = :7000 | grep -q ."
for address in 10.0.0.2 fd00::2; do
  guest a python3 "$SUPPORT/talk.py" talk "$address" 7000 60
  guest a python3 "$SUPPORT/talk.py" datagrams "$address" 7001 20
done
sleep 1
kill -INT "$tshark"
wait "$tshark" || true
check() { # FILTER: number of captured frames
  tshark -r "$RUNDIR/capture.pcap" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE \
    -Y "$1" 2>/dev/null | wc -l
}
at_least "TCP frames with data captured" 100 "$(check 'tcp.len > 0 and tcp.checksum.status == "Good"')"
at_least "UDP frames captured" 40 "$(check 'udp.dstport == 7001 and udp.checksum.status == "Good"')"
equal "frames with a bad checksum" 0 \
  "$(check 'ip.checksum.status == "Bad" or tcp.checksum.status == "Bad" or udp.checksum.status == "Bad"')"
expect_no_checksum_errors a b
