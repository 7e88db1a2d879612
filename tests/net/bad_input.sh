#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is refused is refused by exit status and a message that helps, and changes nothing.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24

note "the daemon's options"
refused 2 'flow-limit' host "$SHUNTD" --no-state --rundir "$RUNDIR" --instance "$INSTANCE" --flow-limit 0
refused 2 'flow-limit' host "$SHUNTD" --no-state --rundir "$RUNDIR" --instance "$INSTANCE" --flow-limit 2000001
refused 2 'CPU' host "$SHUNTD" --no-state --rundir "$RUNDIR" --instance "$INSTANCE" --cores 0,x
refused 2 'unknown-option|unrecogni' host "$SHUNTD" --unknown-option
refused 1 'CAP_' \
  host setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$SHUNTD" --no-state --rundir "$RUNDIR" --instance "$INSTANCE"
daemon_refused() { # STATUS PATTERN OPTION…
  refused "$1" "$2" host timeout 10 "$SHUNTD" --no-state --rundir "$RUNDIR" --instance "$INSTANCE" "${@:3}"
}
daemon_refused 2 'umem-frames' --umem-frames 100000000
no_memory() (
  ulimit -v 2000000
  daemon_refused 1 'umem-frames' --umem-frames 2000000
)
no_memory
refused 1 'parent directory' host timeout 10 "$SHUNTD" --no-state --rundir "$RUNDIR/no/such" --instance "$INSTANCE"
refused 2 'instance' host timeout 10 "$SHUNTD" --no-state --rundir "$RUNDIR" --instance ../x
note "no bpffs, and no right to mount it"
refused 1 'mount -t bpf' host unshare -m sh -c "while umount -l /sys/fs/bpf; do :; done; exec timeout 10 setpriv \\
  --bounding-set=-sys_admin --inh-caps=-sys_admin '$SHUNTD' --no-state --rundir '$RUNDIR' --instance '$INSTANCE'"
equal "what the refused daemons left" "" "$(ls -A "$RUNDIR" | grep -v refused || true)"
note "no daemon"
refused 1 'running|connect|daemon' shunt bridge list

start_switch
bridge_of a b
expect_ping a 10.0.0.2

note "a second daemon of the same instance"
daemon_refused 1 'already running'
expect_ping a 10.0.0.2

note "usage"
refused 2 '.' shunt
refused 2 '.' shunt no-such-group
refused 2 '.' shunt bridge add
refused 2 '.' shunt bridge list --no-such-option

note "bridges and ports"
refused 1 'br0' shunt bridge add br0
refused 1 'br9' shunt bridge del br9
refused 1 'br9' shunt port attach br9 a
refused 1 'nosuch' shunt port attach br0 nosuch
refused 1 'a' shunt port attach br0 a
refused 1 'lo' shunt port attach br0 lo
refused 1 'nosuch' shunt port detach br0 nosuch
host ip link add name x type veth peer name y
refused 1 '1' shunt port attach br0 x --ofport 1
refused_somehow() { # usage or refusal: a value that is wrong whatever the switch's state
  local got=0
  "$@" >/dev/null 2>"$RUNDIR/refused.err" || got=$?
  case $got in 1 | 2) ;; *) fail "exit status $got: $*" ;; esac
  [ -s "$RUNDIR/refused.err" ] || fail "refused without a word: $*"
}
refused_somehow shunt port attach br0 x --ofport 0
refused_somehow shunt port attach br0 x --ofport 65534
refused_somehow shunt port attach br0 x --ofport 70000
refused_somehow shunt port attach br0 x --ofport 65280
refused_somehow shunt port attach br0 x --trunks 5-3
refused_somehow shunt port attach br0 x --tag 4095
refused_somehow shunt port attach br0 x --tag 10 --trunks 1,2
refused_somehow shunt port attach br0 x --queues 0
refused_somehow shunt port attach br0 x --mode fast
host ip link add name kbr type bridge
host ip link set dev y master kbr
refused 1 "member of 'kbr'" shunt port attach br0 y
refused 1 'bridge interface' shunt port attach br0 kbr
refused 1 'own port' shunt port detach br0 br0
refused 1 'already' shunt bridge add x
host ip link set dev y nomaster
equal "ports after all refusals" "['a', 'b', 'br0']" "$(json 'sorted(p["name"] for p in d["ports"])' port list br0)"
equal "programs on x" 0 "$(host ip link show dev x | grep -c xdp || true)"

note "rules: the message points at the column"
rules() { json '[(r["priority"], r["match"], r["actions"]) for r in d["rules"]]' flow list br0; }
before=$(rules)
refused 1 'column 12' shunt flow add br0 'priority=1,nosuchfield=1,actions=drop'
refused 1 'tp_dst' shunt flow add br0 'tp_dst=80,actions=drop'
refused 1 'column' shunt flow add br0 'ip,nw_dst=10.0.0.300,actions=drop'
refused 1 'column' shunt flow add br0 'priority=65536,actions=drop'
refused 1 'nosuchaction' shunt flow add br0 'actions=nosuchaction'
refused 1 'actions' shunt flow add br0 'priority=5,ip'
printf 'priority=7,ip,actions=drop\npriority=8,ip,actions=what\n' >"$RUNDIR/rules"
refused 1 'line 2' shunt flow add br0 --file "$RUNDIR/rules"
refused 1 'line 2' shunt flow replace br0 --file "$RUNDIR/rules"
refused 1 'nosuchfile' shunt flow add br0 --file "$RUNDIR/nosuchfile"
equal "rules after all refusals" "$before" "$(rules)"

note "MAC table"
refused_somehow shunt fdb add br0 nonsense a
refused_somehow shunt fdb add br0 02:00:00:00:00:77 nosuch
refused_somehow shunt fdb add br0 01:00:5e:00:00:01 a

note "hostile requests: refused or cut off, and the daemon goes on"
socket=$RUNDIR/$INSTANCE.sock
equal "mode of the socket" 660 "$(stat -c %a "$socket")"
python3 - "$socket" <<'PYTHON'
import os, socket, sys

def request(data, wait=True):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(sys.argv[1])
        try:
            client.sendall(data)
            return client.recv(65536) if wait else b""
        except (BrokenPipeError, ConnectionResetError):
            return b""

for text in (b"{}\n", b"[]\n", b"nonsense\n", b'{"jsonrpc":"2.0","id":1,"method":"no.such"}\n', b"[" * 100000 + b"\n",
             b'{"jsonrpc":"2.0","id":1,"method":"bridge.add","params":{"name":"' + b"x" * 5000 + b'"}}\n',
             b'{"jsonrpc":"2.0","id":1,"method":"bridge.add","params":{"name":7}}\n', os.urandom(5000) + b"\n"):
    answer = request(text)
    assert b'"result"' not in answer, (text[:60], answer)
request(b'{"jsonrpc":"2.0","id":1,"meth', wait=False)  # cut short
PYTHON
expect_ping a 10.0.0.2
equal "bridges after all that" "['br0']" "$(json '[b["name"] for b in d["bridges"]]' bridge list)"
