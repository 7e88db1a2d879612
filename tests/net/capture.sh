#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shunt capture: packets that never leave XDP and those that userspace sends, each once; filters, drops with their reasons,
# cuts, losses; a reader that stands still. The files are read back by tshark.
. "$(dirname "$0")/../support/netns.sh"
begin ping tshark iperf3
for name in a b; do add_guest "$name" "10.0.0.$((${#GUESTS[@]} + 1))/24"; done
start_switch
bridge_of a b
UDP=(--dst 02:00:00:00:00:02 --src-ip 10.0.0.1 --dst-ip 10.0.0.2)

declare -A CAPTURE=()
capture() { # NAME OPTION…: in the background, begun when it returns
  local as=$1
  shift
  (exec nsenter --net="/run/netns/$TAG-host" -- "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" capture br0 "$@" \
    --write "$RUNDIR/$as.pcapng" 2>"$RUNDIR/$as.err") &
  CAPTURE[$as]=$!
  CHILDREN+=("$!")
  wait_until 10 "capture $as has begun" grep -q ^capturing "$RUNDIR/$as.err"
}
ended() { # NAME…: interrupted, as by Ctrl-C
  local as
  sleep 0.2
  for as in "$@"; do kill -INT "${CAPTURE[$as]}"; done
  for as in "$@"; do wait "${CAPTURE[$as]}" || fail "capture $as: $(cat "$RUNDIR/$as.err")"; done
}
fields() { # NAME FIELD…
  local as=$1 args=() field
  shift
  for field in "$@"; do args+=(-e "$field"); done
  tshark -r "$RUNDIR/$as.pcapng" -T fields "${args[@]}" 2>/dev/null
}
count() { tshark -r "$RUNDIR/$1.pcapng" ${2:+-Y "$2"} 2>/dev/null | wc -l; }
lost() { sed -n 's/.* packets captured, \([0-9]*\) lost.*/\1/p' "$RUNDIR/$1.err"; }
captured() { sed -n 's/^\([0-9]*\) packets captured.*/\1/p' "$RUNDIR/$1.err"; }
tap_is_given_back() { [ "$(tap_is_loaded)" = False ]; }
tap_is_loaded() { json '"capture" in [f["name"] for f in d["program"]["features"]]' cache stats; }

note "hits that never leave XDP, while iperf runs: each ping twice before and twice after, and nothing lost"
expect_ping a 10.0.0.2
iperf_server b
guest a iperf3 -c 10.0.0.2 -t 4 -b 300M >/dev/null &
IPERF=$!
sleep 1
capture pings --filter icmp
equal "the tap is loaded" True "$(tap_is_loaded)"
capture to_b b --after --filter 'icmp[icmptype] == icmp-echo'
misses=$(json 'd["misses"]' cache stats)
guest a ping -q -n -i 0.005 -c 200 10.0.0.2 >/dev/null
ended pings to_b
at_most "misses meanwhile" 20 $(($(json 'd["misses"]' cache stats) - misses))
wait "$IPERF" || fail "iperf3"
equal "pings in the file" 800 "$(count pings icmp)"
equal "other packets" 800 "$(count pings)"
equal "lost" 0 "$(lost pings)"
equal "said to be captured" 800 "$(captured pings)"
equal "requests before, at a" 200 "$(count pings 'icmp.type == 8 && frame.interface_name == "a" && frame.packet_flags_direction == 1')"
equal "requests after, at b" 200 "$(count pings 'icmp.type == 8 && frame.interface_name == "b" && frame.packet_flags_direction == 2')"
equal "requests out of b" 200 "$(count to_b)"
equal "bad checksums" 0 "$(tshark -o ip.check_checksum:TRUE -r "$RUNDIR/to_b.pcapng" -Y 'ip.checksum.status == 0' 2>/dev/null | wc -l)"
wait_until 20 "the tap is given back" tap_is_given_back

note "packets that userspace sends: each once, too"
shunt flow add br0 'priority=90,udp,actions=controller(max_len=32),output:b'
capture misses --filter udp
upcalls=$(json 'd["upcalls_handled"]' cache stats)
send a "${UDP[@]}" --count 50 --rate 200 --flows 50 >/dev/null
ended misses
at_least "packets that userspace has handled" 50 $(($(json 'd["upcalls_handled"]' cache stats) - upcalls))
shunt flow del br0 udp
equal "before" 50 "$(count misses 'udp && frame.packet_flags_direction == 1')"
equal "after" 50 "$(count misses 'udp && frame.packet_flags_direction == 2')"
equal "twice the same" "" "$(fields misses udp.srcport frame.packet_flags_direction | grep . | sort | uniq -d)"

note "drops, in the kernel and in userspace, with their reason as comment"
shunt flow add br0 'priority=100,udp,tp_dst=9,actions=drop'
shunt flow add br0 'priority=100,udp,tp_dst=10,actions=controller'
capture drops --drops --filter udp
send a "${UDP[@]}" --dport 9 --count 30 --rate 300 >/dev/null
send a "${UDP[@]}" --dport 10 --count 5 --rate 300 >/dev/null
expect_ping a 10.0.0.2
ended drops
equal "dropped by the rule" 30 "$(count drops 'udp.dstport == 9 && frame.comment contains "rule: a rule says drop"')"
equal "sent to the controller only" 5 "$(count drops 'udp.dstport == 10 && frame.comment contains "controller"')"
equal "all drops" 35 "$(count drops)"
shunt flow del br0 'udp'

note "cut to a length; the packet's own is kept"
capture short --snaplen 60 --filter icmp --before
guest a ping -q -n -s 1000 -i 0.01 -c 10 10.0.0.2 >/dev/null
ended short
equal "lengths" "1042 60" "$(fields short frame.len frame.cap_len | sort -u | tr '\t' ' ')"
equal "packets" 20 "$(count short)"

note "to standard output, and so many"
nsenter --net="/run/netns/$TAG-host" -- "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" capture br0 a --before --count 5 \
  --seconds 20 --write - 2>"$RUNDIR/out.err" >"$RUNDIR/out.pcapng" &
OUT=$!
wait_until 10 "the capture has begun" grep -q ^capturing "$RUNDIR/out.err"
guest a ping -q -n -i 0.01 -c 20 10.0.0.2 >/dev/null
wait "$OUT" || fail "capture to standard output: $(cat "$RUNDIR/out.err")"
equal "packets" 5 "$(tshark -r - <"$RUNDIR/out.pcapng" 2>/dev/null | wc -l)"

note "filters that are wrong, hostile or too long; other options that cannot be"
capture_refused() { refused "$1" "$2" shunt capture br0 "${@:3}" --write "$RUNDIR/no.pcapng"; }
capture_refused 1 "syntax error.*pcap-filter" --filter 'icmp and and'
capture_refused 1 "4096" --filter "$(printf 'host 10.0.0.1 or %.0s' $(seq 400)) icmp"
capture_refused 1 "at most 512" --filter "$(for i in $(seq 150); do printf 'port %d or ' $((i * 7)); done) icmp"
capture_refused 1 "pcap-filter" --filter "$(printf '(%.0s' $(seq 4000))"
capture_refused 1 "nosuch" nosuch
capture_refused 2 "snaplen" --snaplen 0
capture_refused 2 "snaplen" --snaplen 16385
refused 2 "write" shunt capture br0
refused 1 "br7" shunt capture br7 --write "$RUNDIR/no.pcapng"
refused 1 "no/such" shunt capture br0 --write "$RUNDIR/no/such"
equal "captures that run" 0 "$(json 'len(d["captures"])' captures)"
python3 - "$SUPPORT" "$RUNDIR/$INSTANCE.sock" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
from control import Control
control = Control(sys.argv[2])
for program in ("1\n65535 0 0 0\n", "2\n5 0 0 4294967295\n6 0 0 1\n", "9" * 100, "512\n", "-1", "1\n0 0 0 0\n"):
    try:
        control.call("capture.start", bridge="br0", before=True, filter=program)
        sys.exit(f"taken: {program!r}")
    except RuntimeError:
        pass
PYTHON
expect_ping a 10.0.0.2

note "a reader that stands still loses packets of its own, and no others"
capture stalled --buffer 1 --filter icmp
kill -STOP "${CAPTURE[stalled]}"
guest a ping -q -n -s 1400 -i 0.001 -c 1000 10.0.0.2 >"$RUNDIR/ping" || fail "pings were lost: $(cat "$RUNDIR/ping")"
grep -q ' 0% packet loss' "$RUNDIR/ping" || fail "pings were lost: $(cat "$RUNDIR/ping")"
shunt bridge list >/dev/null
kill -CONT "${CAPTURE[stalled]}"
ended stalled
at_least "lost" 1 "$(lost stalled)"
equal "captured and lost" 4000 $(($(captured stalled) + $(lost stalled)))
equal "captured" "$(captured stalled)" "$(count stalled)"

note "over the rate: lost and told"
capture slow --rate 100 --filter icmp --before
guest a ping -q -n -i 0.001 -c 500 10.0.0.2 >/dev/null
ended slow
grep -q 'over the rate' "$RUNDIR/slow.err" || fail "no word of the rate: $(cat "$RUNDIR/slow.err")"
equal "captured and lost" 1000 $(($(captured slow) + $(lost slow)))

note "eight at once, and no ninth; one that is killed ends, too"
for i in 1 2 3 4 5 6 7 8; do capture "many$i" a --before --filter icmp; done
refused 1 'captures run already' shunt capture br0 --write "$RUNDIR/no.pcapng"
guest a ping -q -n -i 0.01 -c 10 10.0.0.2 >/dev/null
kill -KILL "${CAPTURE[many8]}"
seven() { [ "$(json 'len(d["captures"])' captures)" = 7 ]; }
wait_until 5 "the killed capture has ended" seven
ended many1 many2 many3 many4 many5 many6 many7
for i in 1 2 3 4 5 6 7; do equal "packets of capture $i" 10 "$(count "many$i")"; done
wait_until 20 "the tap is given back" tap_is_given_back

note "a port that comes while it runs"
capture later --filter icmp --after
add_guest c 10.0.0.3/24
attach c
guest a ping -q -n -i 0.05 -c 5 -W 2 10.0.0.3 >/dev/null
ended later
equal "pings out of c" 5 "$(count later 'icmp.type == 8 && frame.interface_name == "c"')"

note "the daemon stops while it runs: the capture says so"
capture orphan --before
stop_switch || fail "shuntd ended badly"
wait "${CAPTURE[orphan]}" && fail "the capture has not noticed that the daemon ended"
grep -q 'closed the connection' "$RUNDIR/orphan.err" || fail "it says: $(cat "$RUNDIR/orphan.err")"
