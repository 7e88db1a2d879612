#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Least privilege: root's daemon keeps the capabilities that it uses and no other, its files are readable by its group
# alone; as shuntd.service starts it, members of its group command the switch and nobody else does; and a user who has
# four capabilities and nothing else, as in a container, runs a switch.
. "$(dirname "$0")/../support/netns.sh"
begin ping setpriv
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
status() { awk -v field="$1:" '$1 == field { print $2 }' "/proc/$DAEMON/status"; }

note "as root"
group=$(getent group games daemon nogroup | head -n 1 | cut -d: -f1)
start_switch --group "$group"
bridge_of a b
expect_ping a 10.0.0.2
# net_admin 12, net_raw 13, ipc_lock 14, sys_ptrace 19, sys_admin 21, perfmon 38, bpf 39
allowed=$((1 << 12 | 1 << 13 | 1 << 14 | 1 << 19 | 1 << 21 | 1 << 38 | 1 << 39))
for set in CapEff CapPrm CapBnd; do
  equal "capabilities in $set beyond those used" 0 $((0x$(status $set) & ~allowed))
done
for task in /proc/"$DAEMON"/task/*; do
  equal "capabilities of a thread beyond those used" 0 $((0x$(awk '$1 == "CapEff:" { print $2 }' "$task/status") & ~allowed))
done
equal "NoNewPrivs" 1 "$(status NoNewPrivs)"
for file in "$RUNDIR/$INSTANCE.sock" "$RUNDIR/$INSTANCE.pid" "$RUNDIR/state" "$RUNDIR/state/$INSTANCE.db"; do
  equal "group of $file" "$group" "$(stat -c %G "$file")"
  case $(stat -c %a "$file") in *0) ;; *) fail "others may use $file: $(stat -c %a "$file")" ;; esac
done
stop_switch
refused 1 "no group 'nosuchgroup'" "$SHUNTD" --rundir "$RUNDIR" --no-state --instance "$INSTANCE" --group nosuchgroup

note "as shuntd.service starts it"
# The run directory had no group, so that members of the socket's group could not enter it.
setting() { sed -n "s/^$1=//p" "$(dirname "$0")/../../packaging/shuntd.service.in"; }
owner=root # what systemd takes where no group is set
[ -z "$(setting Group)" ] || owner=$group # which here stands for shunt
run=$RUNDIR/run
install -d -m "$(setting RuntimeDirectoryMode)" -g "$owner" "$run"
install -d -m "$(setting StateDirectoryMode)" -g "$owner" "$RUNDIR/kept"
install -m 755 "$SHUNT" "$RUNDIR/shunt" # where any user can run it
chmod 711 "$RUNDIR"
bounding=-all,$(setting CapabilityBoundingSet | sed 's/CAP_/+/g' | tr '[:upper:] ' '[:lower:],')
(exec nsenter --net="/run/netns/$TAG-host" -- setpriv --regid="$owner" --clear-groups --bounding-set="$bounding" --no-new-privs \
  "$SHUNTD" --rundir "$run" --statedir "$RUNDIR/kept" --instance "$INSTANCE" --umem-frames 2048 2>>"$RUNDIR/shuntd.log") &
DAEMON=$!
wait_until 20 "shuntd answers" "$SHUNT" --rundir "$run" --instance "$INSTANCE" bridge list
equal "capabilities it was given and does not use" 0 $((0x$(status CapBnd) & ~allowed))
command_by() { # GROUP COMMAND…: a user who is no root, and in this group
  setpriv --reuid=65534 --regid=65534 --groups="$1" "$RUNDIR/shunt" --rundir "$run" --instance "$INSTANCE" "${@:2}"
}
command_by "$group" bridge add br0
command_by "$group" bridge list | grep -q br0 || fail "a member sees no bridge"
refused 1 "run as root, or as a member of its group" command_by 65534 bridge list
equal "group of the state" "$owner" "$(stat -c %G "$RUNDIR/kept/$INSTANCE.db")"
stop_switch

note "as a user with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON"
rm -rf "$RUNDIR/state"
mkdir -p "/sys/fs/bpf/shunt/$INSTANCE"
chown -R 65534:65534 "$RUNDIR" "/sys/fs/bpf/shunt/$INSTANCE"
chmod 755 "$RUNDIR"
capabilities=+net_admin,+net_raw,+bpf,+perfmon
(exec nsenter --net="/run/netns/$TAG-host" -- setpriv --reuid=65534 --regid=65534 --clear-groups \
  --bounding-set=-all,$capabilities --inh-caps=-all,$capabilities --ambient-caps=-all,$capabilities \
  "$SHUNTD" --rundir "$RUNDIR" --statedir "$RUNDIR/state" --instance "$INSTANCE" --umem-frames 2048 2>>"$RUNDIR/shuntd.log") &
DAEMON=$!
wait_until 20 "shuntd answers" daemon_answers
equal "its user" 65534 "$(awk '$1 == "Uid:" { print $3 }' "/proc/$DAEMON/status")"
equal "its capabilities" $((1 << 12 | 1 << 13 | 1 << 38 | 1 << 39)) $((0x$(status CapEff)))
bridge_of a b
# Its peers' namespaces are out of reach: their stacks' GRO is not ours to switch on.
expect_ping a 10.0.0.2
grep -q "missing capability CAP_SYS_ADMIN" "$RUNDIR/shuntd.log" || fail "what is missing is not told"
shunt flow add br0 'priority=100,icmp,actions=dec_ttl,normal'
expect_ping a 10.0.0.2
