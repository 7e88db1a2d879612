#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# os-ken's switch tests against Shunt: switch_cases.sh CASES, a folder or file of them, as os-ken's sources have them in
# os_ken/tests/switch/of13. The tester is Debian's Open vSwitch; TESTER=shunt takes a second Shunt instead. os-ken's
# sctp.py computes its checksum over the text form of the bytes: it is corrected at run time, in this process only.
#
# Prints the driver's report; fails where a case does.
. "$(dirname "$0")/../support/netns.sh"
CASES=${1:?a folder or file of switch cases}
TESTER=${TESTER:-ovs}
PYTHON=${PYTHON:-/usr/bin/python3}
[ -e "$CASES" ] || skip "no cases at '$CASES': they are not part of the project"
begin ovs-vswitchd ovsdb-server ovsdb-tool ovs-vsctl
"$PYTHON" -c 'import os_ken.tests.switch.tester' 2>/dev/null || skip "needs python3-os-ken"

host sysctl -qw net.ipv6.conf.default.disable_ipv6=1
for i in 1 2 3; do
  host ip link add "t$i" type veth peer name "o$i"
  host ip link set "t$i" up
  host ip link set "o$i" up
  host ethtool -K "o$i" tx off rx off txvlan off rxvlan off >/dev/null 2>&1 || true
done
start_switch
shunt bridge add target --datapath-id 0000000000000001 --fail-mode secure
for i in 1 2 3; do shunt port attach target "t$i" --ofport "$i" >/dev/null; done

start_ovs() {
  export OVS_RUNDIR=$RUNDIR/ovs OVS_LOGDIR=$RUNDIR/ovs OVS_DBDIR=$RUNDIR/ovs
  mkdir "$RUNDIR/ovs"
  ovsdb-tool create "$RUNDIR/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
  (exec nsenter --net="/run/netns/$TAG-host" -- ovsdb-server -vconsole:off --remote="punix:$RUNDIR/ovs/db.sock" \
    --unixctl="$RUNDIR/ovs/db.ctl" "$RUNDIR/ovs/conf.db") &
  CHILDREN+=($!)
  wait_until 10 "ovsdb-server" test -S "$RUNDIR/ovs/db.sock"
  ovs-vsctl --no-wait --db="unix:$RUNDIR/ovs/db.sock" init
  (exec nsenter --net="/run/netns/$TAG-host" -- ovs-vswitchd -vconsole:off --disable-system \
    --log-file="$RUNDIR/ovs/log" --unixctl="$RUNDIR/ovs/vswitchd.ctl" "unix:$RUNDIR/ovs/db.sock") &
  CHILDREN+=($!)
  wait_until 10 "ovs-vswitchd" test -S "$RUNDIR/ovs/vswitchd.ctl"
  # Its barrier does not wait until its cache has followed, and the driver sends at once: it is to cache nothing.
  ovs-vsctl --timeout=20 --db="unix:$RUNDIR/ovs/db.sock" -- set Open_vSwitch . other_config:flow-limit=0 -- add-br tester \
    -- set bridge tester datapath_type=netdev fail-mode=secure protocols=OpenFlow13 other-config:datapath-id=0000000000000002 \
    -- add-port tester o1 -- set interface o1 ofport_request=1 -- add-port tester o2 -- set interface o2 ofport_request=2 \
    -- add-port tester o3 -- set interface o3 ofport_request=3 -- set-controller tester tcp:127.0.0.1:6653
}
if [ "$TESTER" = shunt ]; then
  shunt bridge add tester --datapath-id 0000000000000002 --fail-mode secure
  for i in 1 2 3; do shunt port attach tester "o$i" --ofport "$i" >/dev/null; done
  shunt controller add tester tcp:127.0.0.1:6653
else
  start_ovs
fi
shunt controller add target tcp:127.0.0.1:6653

cat >"$RUNDIR/driver.py" <<'PYTHON'
import sys
from os_ken.lib.packet import sctp
# The checksum of RFC 4960: CRC-32C, of the bytes themselves.
_crc = sctp.sctp._checksum if hasattr(sctp.sctp, "_checksum") else None
TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
    TABLE.append(n)
def checksum(self, data):
    crc = 0xffffffff
    for byte in bytes(data):
        crc = TABLE[(crc ^ byte) & 0xff] ^ crc >> 8
    return int.from_bytes((crc ^ 0xffffffff).to_bytes(4, "little"), "big")
if _crc is not None:
    sctp.sctp._checksum = checksum
from os_ken.cmd.manager import main
sys.exit(main())
PYTHON
report=$RUNDIR/report
set +e
# Those of groups measure a rate of frames that the driver paces by sleeping 10 ms a time, and allow for a tenth: on a busy
# machine it has to go before others.
(exec nsenter --net="/run/netns/$TAG-host" -- chrt --fifo 10 timeout "${LIMIT:-1500}" "$PYTHON" "$RUNDIR/driver.py" --ofp-tcp-listen-port 6653 \
  --test-switch-dir "$CASES" os_ken.tests.switch.tester >"$report" 2>&1) &
driver=$!
CHILDREN+=("$driver")
# The driver does not end by itself.
for _ in $(seq "${LIMIT:-1500}"); do
  grep -q '^OK(' "$report" 2>/dev/null && break
  kill -0 "$driver" 2>/dev/null || break
  sleep 1
done
kill "$driver" 2>/dev/null || true
set -e
cp "$report" "${REPORT:-/dev/null}"
sed -n '/--- Test report ---/,$p' "$report"
grep -q '^OK(' "$report" || { tail -20 "$report"; fail "the driver gave no report"; }
if grep -qE '^OK\([0-9]+\) / ERROR\([1-9]' "$report"; then
  grep -B1 -A2 'ERROR$' "$report" | head -80
  fail "some cases fail"
fi
