# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For network tests: namespaces, a switch between them, and assertions. Sourced, then:
#
#   begin                    checks what the test needs (exit 77: skipped, with the reason), sets the clean-up
#   start_switch [OPTION…]   shuntd in the namespace "host", with its own run directory and instance; its ports are in
#                            mode $PORT_MODE, native without one
#   add_guest NAME [V4 [V6]] a namespace NAME with eth0; its other end, NAME, is in "host"
#   shunt …                  the command; json EXPRESSION …: its --json output `d`, through a Python expression
#   host …, guest NAME …     runs a program in there
#
# "host" is entered by nsenter, which leaves /sys alone: the daemon sees the machine's bpffs. All names hold the
# test's process number, so that tests run side by side. A test ends at the first failed command; everything it made
# goes away with it.
set -Eeuo pipefail

PATH=/usr/sbin:/usr/bin:$PATH  # Debian's Python has the modules that scripts/install-deps installs, another need not
SUPPORT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FRAMES=$SUPPORT/frames.py
: "${SHUNT:?path of the command shunt}" "${SHUNTD:?path of the daemon shuntd}"

TAG=st$$
INSTANCE=$TAG
RUNDIR=
DAEMON=
GUESTS=()
CHILDREN=()

note() { printf -- '-- %s\n' "$*"; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}
skip() {
  printf 'skipped: %s\n' "$*" >&2
  exit 77
}

# Of the kernel's receive queues, a line for each CPU: packets that found no room, times that it stopped with packets
# left. What a veth was given then waits for ksoftirqd, and what goes by another CPU may overtake it.
softnet() {
  local dropped squeezed
  while read -r _ dropped squeezed _; do
    echo "dropped $((16#$dropped)), squeezed $((16#$squeezed))"
  done </proc/net/softnet_stat
}

begin() {
  [ "$(id -u)" -eq 0 ] || skip "needs root"
  local tool
  for tool in ip nsenter python3 "$SHUNT" "$SHUNTD" "$@"; do
    command -v "$tool" >/dev/null || skip "needs $tool"
  done
  RUNDIR=$(mktemp -d "/tmp/$TAG-XXXXXX")
  trap 'clean_up $?' EXIT
  trap 'exit 130' INT TERM
  trap 'printf "FAILED: %s line %s: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR
  SOFTNET=$(softnet)
  ip netns add "$TAG-host" || skip "cannot make a network namespace"
  host ip link set lo up
}

clean_up() {
  local status=$1 name pid
  trap - EXIT INT TERM ERR
  set +e
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && [ -s "$RUNDIR/shuntd.log" ]; then
    echo "-- the daemon's log, its last lines:" >&2
    tail -n 30 "$RUNDIR/shuntd.log" >&2
    echo "-- the kernel's receive queues, by CPU, at the test's begin and now:" >&2
    paste -d';' - <(softnet) <<<"$SOFTNET" >&2
  fi
  for pid in "${CHILDREN[@]}"; do kill "$pid" 2>/dev/null; done
  stop_switch
  for name in "${GUESTS[@]}" host; do
    [ ! -e "/run/netns/$TAG-$name" ] || ip netns pids "$TAG-$name" | xargs -r kill -9 2>/dev/null
    ip netns del "$TAG-$name" 2>/dev/null
  done
  rm -rf "$RUNDIR" "/sys/fs/bpf/shunt/$INSTANCE"
  exit "$status"
}

host() { nsenter --net="/run/netns/$TAG-host" -- "$@"; }
guest() {
  local name=$1
  shift
  ip netns exec "$TAG-$name" "$@"
}

# background GUEST PROGRAM…: started now, ended with the test. $CHILD is its process number: both `ip netns exec` and
# nsenter become the program, and exec leaves no shell in between, so that a signal reaches it.
background() {
  listening
  start_in "$@"
}
start_in() {
  (exec ip netns exec "$TAG-$1" "${@:2}") &
  CHILD=$!
  CHILDREN+=("$CHILD")
}

# MTU=9000 add_guest a 10.0.0.1/24 fd00::1/64. The MAC is 02:00:00:00:00:NN, NN counting from 01. Without a V6 address
# the guest speaks no IPv6 at all: it sends nothing that the test did not ask for.
add_guest() {
  local name=$1 v4=${2:-} v6=${3:-}
  ip netns add "$TAG-$name"
  GUESTS+=("$name")
  guest "$name" ip link set lo up
  make_link "$name" "$v4" "$v6"
}

make_link() { # the veth of add_guest: also for one that comes back
  local name=$1 v4=${2:-} v6=${3:-} mac i
  for i in "${!GUESTS[@]}"; do [ "${GUESTS[$i]}" != "$name" ] || break; done
  mac=$(printf '02:00:00:00:00:%02x' $((i + 1)))
  if [ -z "$v6" ]; then
    guest "$name" sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1
  fi
  host sysctl -qw net.ipv6.conf.default.disable_ipv6=1
  host ip link add name "$name" type veth peer name eth0 netns "$TAG-$name"
  guest "$name" ip link set dev eth0 address "$mac" mtu "${MTU:-1500}" up
  host ip link set dev "$name" mtu "${MTU:-1500}" up
  [ -z "$v4" ] || guest "$name" ip address add "$v4" dev eth0
  [ -z "$v6" ] || guest "$name" ip address add "$v6" dev eth0 nodad
}

mac_of() { guest "$1" cat /sys/class/net/eth0/address; }

start_switch() {
  (exec nsenter --net="/run/netns/$TAG-host" -- "$SHUNTD" --rundir "$RUNDIR" --instance "$INSTANCE" \
    --statedir "$RUNDIR/state" --port-mode "${PORT_MODE:-native}" "$@" \
    2>>"$RUNDIR/shuntd.log") &
  DAEMON=$!
  wait_until 20 "shuntd answers" daemon_answers
}
daemon_answers() {
  kill -0 "$DAEMON" 2>/dev/null || fail "shuntd ended at start"
  shunt bridge list >/dev/null 2>&1
}

stop_switch() { # by SIGTERM, as a service manager does
  [ -n "$DAEMON" ] || return 0
  kill -TERM "$DAEMON" 2>/dev/null
  local i status=0
  for i in $(seq 100); do
    kill -0 "$DAEMON" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$DAEMON" 2>/dev/null; then
    echo "shuntd did not stop within 10 s of SIGTERM" >&2
    kill -KILL "$DAEMON"
  fi
  wait "$DAEMON" 2>/dev/null || status=$?
  DAEMON=
  return "$status"
}

shunt() {
  host "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" "$@" || return
  [ -n "$AWAIT_PROGRAM" ] || return 0
  case "$1 ${2:-}" in
    "flow add" | "flow mod"* | "flow replace" | "group add"* | "group mod" | "port attach" | "port set" | "config "*) await_program ;;
  esac
}
# A rule is in force when its command returns; that its flows are answered in the kernel may take until a larger program
# is loaded. Tests that ask which of the two it was want to wait for it: those that empty AWAIT_PROGRAM do not.
AWAIT_PROGRAM=yes
await_program() { wait_until 30 "the program is loaded" program_rests; }
program_rests() { [[ $(AWAIT_PROGRAM='' shunt cache stats) != *"being loaded"* ]]; }

# json EXPRESSION COMMAND…: prints what the Python expression makes of the command's JSON, `d`.
json() {
  local expression=$1
  shift
  shunt "$@" --json | python3 -c "import json, sys
d = json.load(sys.stdin)
print($expression)"
}

# attach GUEST [OPTION…]: to the bridge br0.
attach() { shunt port attach br0 "$@" >/dev/null; }

# bridge_of GUEST…: br0 with these ports.
bridge_of() {
  shunt bridge add br0
  local name
  for name in "$@"; do attach "$name"; done
}

# wait_until SECONDS WHAT COMMAND…
wait_until() {
  local seconds=$1 what=$2 end=$((SECONDS + $1 + 1))
  shift 2
  while [ "$SECONDS" -lt "$end" ]; do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.05
  done
  fail "not within $seconds s: $what"
}

# equal WHAT EXPECTED GOT; at_least WHAT MINIMUM GOT; at_most WHAT MAXIMUM GOT (whole numbers)
equal() { [ "$2" = "$3" ] || fail "$1: expected $2, got $3"; }
at_least() { [ "$3" -ge "$2" ] || fail "$1: expected at least $2, got $3"; }
at_most() { [ "$3" -le "$2" ] || fail "$1: expected at most $2, got $3"; }

expect_ping() { # GUEST ADDRESS [PING OPTION…]
  local name=$1 address=$2 output
  shift 2
  output=$(guest "$name" ping -n -q -c 5 -i 0.05 -W 2 "$@" "$address" 2>&1) ||
    fail "$name cannot ping $address $*: $output"
  case $output in *" 0% packet loss"*) ;; *) fail "$name lost pings to $address $*: $output" ;; esac
}
expect_no_ping() {
  local name=$1 address=$2
  shift 2
  if guest "$name" ping -n -q -c 2 -i 0.1 -W 1 "$@" "$address" >/dev/null 2>&1; then fail "$name can ping $address"; fi
}

# refused STATUS PATTERN COMMAND…: the command must end with this status and say on stderr what the pattern (grep -E)
# wants.
refused() {
  local status=$1 pattern=$2 got=0
  shift 2
  "$@" >"$RUNDIR/refused.out" 2>"$RUNDIR/refused.err" || got=$?
  [ "$got" -eq "$status" ] || fail "exit status $got instead of $status: $* $(cat "$RUNDIR/refused.err")"
  grep -qiE -- "$pattern" "$RUNDIR/refused.err" || fail "'$*' says '$(cat "$RUNDIR/refused.err")', not '$pattern'"
}

# listen GUEST NAME [OPTION…]: a receiver of frames in the background, ready before anything is sent (send,
# background); heard NAME ends it, and its JSON is in $RUNDIR/NAME.json.
declare -A LISTENER=()
NOT_READY=()
listen() { listen_on "$1" eth0 "${@:2}"; }
listen_on() { # GUEST INTERFACE NAME [OPTION…]
  local as=$3
  rm -f "$RUNDIR/$as.ready"
  start_in "$1" python3 "$FRAMES" receive "$2" --ready "$RUNDIR/$as.ready" "${@:4}" >"$RUNDIR/$as.json"
  LISTENER[$as]=$CHILD
  NOT_READY+=("$as")
}
listening() { # all of them are ready
  local as
  for as in "${NOT_READY[@]}"; do wait_until 10 "receiver $as is ready" test -e "$RUNDIR/$as.ready"; done
  NOT_READY=()
}
heard() { # NAME…
  local as
  listening
  sleep "${SETTLE:-0.2}"
  for as in "$@"; do kill -TERM "${LISTENER[$as]}" 2>/dev/null || true; done
  for as in "$@"; do wait "${LISTENER[$as]}" || fail "receiver $as failed"; done
}
result() { python3 -c "import json, sys
d = json.load(open('$RUNDIR/$1.json'))
print($2)"; }

# What is said at OpenFlow's port, into a file that openflow_heard reads. tshark takes its time to open the interface, seconds
# on a busy machine: packets of the host's own show that it does capture. A segment on lo is up to 64 KB, and what is not
# captured leaves a gap behind which all looks malformed: hence the buffer, in MiB.
capture_openflow() {
  (exec nsenter --net="/run/netns/$TAG-host" -- tshark -q -B 64 -i lo -w "$RUNDIR/of.pcap" -f 'tcp port 6653' 2>/dev/null) &
  CAPTURE=$!
  CHILDREN+=("$CAPTURE")
  wait_until 30 "tshark captures" openflow_is_captured
}
openflow_is_captured() {
  host bash -c ': </dev/tcp/127.0.0.1/6653' 2>/dev/null || true
  [ "$(stat -c %s "$RUNDIR/of.pcap" 2>/dev/null || echo 0)" -gt 1000 ]
}
end_capture() {
  sleep 0.5
  kill "$CAPTURE"
  wait "$CAPTURE" 2>/dev/null || true
}
openflow_heard() { tshark -r "$RUNDIR/of.pcap" -d tcp.port==6653,openflow "$@" 2>/dev/null; } # TSHARK-OPTION…
expect_none_heard() { # WHAT FILTER: frames that are there all the same are shown whole
  local found
  found=$(openflow_heard -Y "$2")
  [ -z "$found" ] && return
  openflow_heard -Y "$2" -V -x | sed -n 1,1000p >&2
  fail "$1: $found"
}

# send GUEST OPTION…: see frames.py
send() {
  local name=$1
  shift
  listening
  guest "$name" python3 "$FRAMES" send eth0 "$@"
}

# A counter of the guest's stack: counter b TcpInCsumErrors
counter() { guest "$1" nstat -asz "$2" | awk -v name="$2" '$1 == name { print $2 }'; }
expect_no_checksum_errors() {
  local name counter
  for name in "$@"; do
    for counter in IpInHdrErrors TcpInCsumErrors UdpInCsumErrors Udp6InCsumErrors IcmpInCsumErrors Icmp6InCsumErrors; do
      equal "$counter in $name" 0 "$(counter "$name" "$counter")"
    done
  done
}

iperf_server() { # GUEST
  guest "$1" iperf3 -s -D -I "$RUNDIR/iperf-$1.pid" >/dev/null
  wait_until 5 "iperf3 listens in $1" guest "$1" sh -c "ss -Hltn sport = :5201 | grep -q ."
}
# iperf GUEST OPTION…: prints bits a second as received, a whole number.
iperf() {
  local name=$1
  shift
  guest "$name" iperf3 -J "$@" >"$RUNDIR/iperf.json" || fail "iperf3 $*: $(python3 -c "
import json; print(json.load(open('$RUNDIR/iperf.json')).get('error'))")"
  python3 -c "
import json
end = json.load(open('$RUNDIR/iperf.json'))['end']
print(int((end.get('sum_received') or end['sum'])['bits_per_second']))"
}

# cases [GUEST…] <<'PYTHON': tables of rules and frames (pipeline_cases.py, and scapy to write the frames with), over
# these guests' interfaces, which are up; all, where none is named.
cases() {
  python3 -c 'import scapy.layers.inet6' 2>/dev/null || skip "needs python3-scapy"
  (
    export RUNDIR INSTANCE TAG GUEST_NAMES="${*:-${GUESTS[*]}}" PYTHONPATH=$SUPPORT:$RUNDIR
    exec python3 -
  )
}

fdb_has() { # MAC PORT
  [ "$(json "[e['port'] for e in d['macs'] if e['mac'] == '$1']" fdb list br0)" = "['$2']" ]
}
