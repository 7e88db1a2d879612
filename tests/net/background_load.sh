#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A larger program is loaded while everything goes on: here its load takes until the test lets it go (held_load.cpp), and a
# command that waited for it would never return.
. "$(dirname "$0")/../support/netns.sh"
: "${HELD_LOAD:?path of held_load, a shared object}"
begin
for name in a b c; do add_guest "$name" "10.0.0.$((${#GUESTS[@]} + 1))/24"; done
# The guests' kernels answer what comes for nobody: they must not ask for each other's MAC whenever it suits them.
for pair in "a 2" "b 1"; do
  set -- $pair
  guest "$1" ip neighbour add "10.0.0.$2" lladdr "02:00:00:00:00:0$2" dev eth0 nud permanent
done
GATE=$RUNDIR/gate
AWAIT_PROGRAM=
LD_PRELOAD=$HELD_LOAD LOAD_GATE=$GATE start_switch --idle-timeout 60  # masks stay, however slow the machine
bridge_of a b

hold() { # the next load
  rm -f "$GATE.waits"
  touch "$GATE"
}
is_held() { test -e "$GATE.waits"; }
let_go() { rm "$GATE"; }
features() { json '",".join(f["name"] for f in d["program"]["features"])' cache stats; }
loading() { json '",".join(d["program"]["loading"])' cache stats; }
has() { case ",$(features)," in *",$1,"*) ;; *) return 1 ;; esac }
is_down() { [ "$(json "[p['state'] for p in d['ports'] if p['name'] == '$1']" port list br0)" = "['down']" ]; } # PORT
has_no_tap() { ! has capture && program_rests; }
misses() { json 'd["misses"]' cache stats; }
start() { # COMMAND…: shunt's, in the background; $STARTED, which has not ended a while later
  (exec nsenter --net="/run/netns/$TAG-host" -- "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" "$@" 2>"$RUNDIR/started") &
  STARTED=$!
  CHILDREN+=("$STARTED")
  sleep 0.5
  kill -0 "$STARTED" || fail "it did not wait: $*"
}
arrives() { # NAME FRAMES SEND-OPTION…: so many come to b, to the MAC $TO or any
  local as=$1 count=$2
  shift 2
  listen b "$as" --dport 7 ${TO:+--dst "$TO"}
  send a --dst 02:00:00:00:00:02 --dport 7 --count 20 --rate 500 "$@" >/dev/null
  heard "$as"
  equal "frames at b ($as)" "$count" "$(result "$as" 'd["frames"]')"
}

note "rules that need a larger program, and that no flow meets yet, are in force at once, through userspace"
before=$(features)
hold
shunt flow add br0 --file - <<'RULES'
priority=10,udp,tp_src=5,actions=drop
priority=10,udp,tp_src=6,actions=mod_dl_dst:02:00:00:00:00:77,output:b
RULES
wait_until 10 "the load has begun" is_held
equal "what is loaded" "$before" "$(features)"
equal "what is being loaded" "l3,l4,edits" "$(loading)"
arrives dropped 0 --sport 5
TO=02:00:00:00:00:77 arrives changed 20 --sport 6

note "nor do other commands wait, and what they ask for is not lost"
shunt flow add br0 'priority=20,udp,tp_src=9,actions=drop'
shunt flow del br0 udp,tp_src=9
shunt group add br0 'group_id=1,type=select,selection_method=dp_hash,bucket=weight:1,actions=output:b'
equal "what is being loaded" "l3,l4,edits,hash" "$(loading)"

note "afterwards the kernel answers"
let_go
wait_until 30 "everything is loaded" program_rests
for feature in l3 l4 edits hash; do has $feature || fail "$feature is not loaded: $(features)"; done
TO=02:00:00:00:00:77 arrives first 20 --sport 6
sleep 0.1
before=$(misses)
TO=02:00:00:00:00:77 arrives known 20 --sport 6
equal "misses of a known flow" "$before" "$(misses)"

note "flows that ask for more: the exact-match cache, once a port has many masks"
if has hints; then fail "it is there before it is wanted"; fi
hold
for i in 1 2 3 4; do
  shunt flow add br0 "priority=$((30 + i)),udp,nw_dst=10.0.$((8 * i)).0/$((20 + i)),tp_src=$i,actions=output:b"
done
for i in 1 2 3 4; do
  send a --dst 02:00:00:00:00:02 --dst-ip "10.0.$((8 * i)).1" --sport "$i" --dport 7 --count 50 --rate 1000 >/dev/null
done
wait_until 20 "the load has begun" is_held
equal "what is being loaded" hints "$(loading)"
expect_ping a 10.0.0.2
shunt flow add br0 'priority=50,udp,tp_src=6,actions=mod_dl_dst:02:00:00:00:00:78,output:b'
TO=02:00:00:00:00:78 arrives other 20 --sport 6

note "a capture waits for its tap: of what it misses nobody could tell. What flows have asked for is not lost"
start capture br0 --write "$RUNDIR/tap.pcapng"
capture=$STARTED
if grep -q ^capturing "$RUNDIR/started"; then fail "it has begun without a tap"; fi
let_go
wait_until 30 "the capture has begun" grep -q ^capturing "$RUNDIR/started"
has hints || fail "what flows had asked for is lost: $(features)"
has capture || fail "no tap: $(features)"

note "a load that fails leaves the program, and says so"
touch "$GATE.fails"
kill -INT "$capture"
wait "$capture" || fail "capture: $(cat "$RUNDIR/started")"
wait_until 20 "it is told" grep -q "no smaller XDP program" "$RUNDIR/shuntd.log"
has capture || fail "the tap is gone: $(features)"
shunt meter add br0 'meter=1,kbps,bands=type=drop,rate=100000'
shunt flow add br0 'priority=60,udp,tp_src=12,actions=meter:1,output:b'
wait_until 20 "it is told" grep -q "no larger XDP program" "$RUNDIR/shuntd.log"
arrives metered 20 --sport 12
rm "$GATE.fails"
shunt flow add br0 'priority=61,udp,tp_src=13,actions=meter:1,output:b'
wait_until 30 "it is loaded" has meter

note "a rule that cached flows meet waits: until it is in force they stay in the kernel, under the older one"
attach c
arrives metered2 20 --sport 12
arrives known2 20 --sport 6
before=$(misses)
rule='priority=70,udp,tp_src=6,actions=push_mpls:0x8847,output:b'
hold
start flow add br0 "$rule"
is_held || fail "it waits for something else"
rule_waiter=$STARTED
TO=02:00:00:00:00:78 arrives older 20 --sport 6
equal "misses meanwhile" "$before" "$(misses)"

note "nobody else waits with it: commands, controllers, links, and rules that no cached flow meets"
equal "the rule that waits" 0 "$(shunt flow list br0 | grep -c push_mpls || true)"
shunt bridge list >/dev/null
shunt port list >/dev/null
shunt flow add br0 'priority=20,udp,tp_src=9,actions=drop'
guest c ip link set dev eth0 down
wait_until 5 "the port is down" is_down c
MGMT=unix:$RUNDIR/br0.mgmt
ofctl() { host timeout 30 ovs-ofctl -O OpenFlow13 "$@"; }
if command -v ovs-ofctl >/dev/null; then
  ofctl probe "$MGMT"
  ofctl dump-flows "$MGMT" | grep -q tp_src=9 || fail "no rules by OpenFlow"
  ofctl add-flow "$MGMT" 'priority=21,udp,tp_src=9,actions=drop'  # and a barrier

  note "a controller's rule that cached flows meet waits for the same load, on its connection"
  (exec nsenter --net="/run/netns/$TAG-host" -- ovs-ofctl -O OpenFlow13 add-flow "$MGMT" \
    'priority=71,udp,tp_src=12,actions=push_mpls:0x8847,output:2') &
  of_waiter=$!
  CHILDREN+=("$of_waiter")
  sleep 0.5
  kill -0 "$of_waiter" || fail "ovs-ofctl did not wait"
  ofctl probe "$MGMT"
fi

note "who hangs up meanwhile has asked for nothing"
start flow add br0 'priority=72,udp,tp_src=6,actions=push_mpls:0x8847,output:b'
kill "$STARTED"
wait "$STARTED" || true
cat >"$RUNDIR/given_up.toml" <<'TOML'
[bridge.br0]
mac-ageing = 77
rules = ["priority=73,udp,tp_src=6,actions=push_mpls:0x8847,output:2"]
TOML
start config load "$RUNDIR/given_up.toml"
kill "$STARTED"
wait "$STARTED" || true

note "with the load what waited is in force"
let_go
wait "$rule_waiter" || fail "the rule: $(cat "$RUNDIR/started")"
has mpls || fail "it has not waited: $(features)"
arrives newer 0 --sport 6
[ -z "${of_waiter:-}" ] || wait "$of_waiter" || fail "ovs-ofctl"
equal "rules with priority 70" 1 "$(shunt flow list br0 | grep -c priority=70)"
[ -z "${of_waiter:-}" ] || equal "rules with priority 71" 1 "$(shunt flow list br0 | grep -c priority=71)"
equal "rules of who hung up" 0 "$(shunt flow list br0 | grep -c 'priority=7[23]' || true)"
equal "the ageing of who hung up" 300 "$(json 'd["bridges"][0]["mac_ageing_s"]' bridge list)"

note "a load that the kernel refuses: what waited for it is in force all the same, through userspace"
shunt flow add br0 'priority=80,udp,tp_src=30,actions=output:b'
arrives before_failure 20 --sport 30
failures() { grep -c "no larger XDP program" "$RUNDIR/shuntd.log"; }
before=$(failures)
hold
start flow add br0 'priority=81,udp,tp_src=30,actions=sample(probability=65535),output:b'
touch "$GATE.fails"
let_go
wait "$STARTED" || fail "the rule: $(cat "$RUNDIR/started")"
at_least "failures told" $((before + 1)) "$(failures)"
if has sample; then fail "sample is loaded"; fi
arrives after_failure 20 --sport 30
rm "$GATE.fails"
shunt flow add br0 'priority=81,udp,tp_src=31,actions=sample(probability=65535),output:b'
wait_until 30 "it is loaded" has sample

note "a capture that is given up before it has begun leaves no tap"
shunt flow del br0 udp,tp_src=31
start capture br0 --write "$RUNDIR/short.pcapng"
kill -INT "$STARTED"
wait "$STARTED" || true
wait_until 30 "the tap is given back" has_no_tap
hold
start capture br0 --write "$RUNDIR/given_up.pcapng"
is_held || fail "the capture waits for something else"
shunt bridge list >/dev/null
kill "$STARTED"
wait "$STARTED" || true
let_go
wait_until 30 "the tap is loaded, and given back" has_no_tap

note "a daemon that is told to stop while it loads ends in order, as soon as the load does"
arrives cached 20 --sport 30
hold
shunt flow add br0 'priority=80,ipv6,icmp6,icmp_type=135,nd_target=fd00::1,actions=drop'
wait_until 10 "the load has begun" is_held
start flow add br0 'priority=82,udp,tp_src=30,actions=push_pbb:0x88e7,output:b'
kill -TERM "$DAEMON"
sleep 0.3
let_go
stop_switch
if wait "$STARTED"; then fail "a change that was not made is said to be in force"; fi
[ ! -e "/sys/fs/bpf/shunt/$INSTANCE" ] || fail "its pins are left"
