#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In an unprivileged container: an OCI runtime starts the daemon as a user, with four capabilities, no new privileges, a
# read-only root and a /proc and /sys that are masked as Docker and Podman mask them. It forwards; killed and started again
# it takes its flows over.
. "$(dirname "$0")/../support/netns.sh"
begin ping ethtool runc
add_guest a 10.0.0.1/24
add_guest b 10.0.0.2/24
bundle=$RUNDIR/bundle
pins=/sys/fs/bpf/shunt/$INSTANCE
mkdir -p "$bundle/root"/{usr,etc,dev,proc,sys,run/shunt,tmp,opt/shunt} "$RUNDIR/run/state" "$pins"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$bundle/root/$name"; done
chown -R 65534:65534 "$RUNDIR/run" "$pins"
chmod 755 "$RUNDIR" # not the container's user's
chmod 700 "$RUNDIR/run"
runtime() { runc --root "$RUNDIR/runc" "$@"; }

runtime spec --bundle "$bundle"
python3 - "$bundle/config.json" "/run/netns/$TAG-host" "$(dirname "$SHUNTD")" "$RUNDIR/run" "$pins" "$INSTANCE" <<'PY'
import json, sys
path, network, programs, rundir, pins, instance = sys.argv[1:]
config = json.load(open(path))
process = config["process"]
process["terminal"] = False
process["user"] = {"uid": 65534, "gid": 65534}
process["args"] = ["/opt/shunt/shuntd", "--rundir", "/run/shunt", "--statedir", "/run/shunt/state", "--instance", instance,
                   "--umem-frames", "2048"]
names = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"]
process["capabilities"] = {set: names for set in ("bounding", "effective", "inheritable", "permitted", "ambient")}
process["noNewPrivileges"] = True
config["root"] = {"path": "root", "readonly": True}
config["mounts"] = [m for m in config["mounts"] if "cgroup" not in m["destination"]]
def bind(source, destination, *options):
    config["mounts"].append({"destination": destination, "type": "bind", "source": source, "options": ["bind", *options]})
bind("/usr", "/usr", "ro", "nosuid")
bind("/etc", "/etc", "ro", "nosuid")
bind(programs, "/opt/shunt", "ro", "nosuid")
bind(rundir, "/run/shunt", "rw", "nosuid", "nodev")
bind("/sys/fs/bpf", "/sys/fs/bpf", "rw", "nosuid", "nodev", "noexec")
for namespace in config["linux"]["namespaces"]:
    if namespace["type"] == "network":
        namespace["path"] = network
json.dump(config, open(path, "w"))
PY

shunt() { host "$SHUNT" --rundir "$RUNDIR/run" --instance "$INSTANCE" "$@"; }
start_container() {
  runtime run --bundle "$bundle" --detach --pid-file "$RUNDIR/pid" "$TAG" 2>>"$RUNDIR/shuntd.log" </dev/null
  wait_until 20 "shuntd answers" shunt bridge list
}
trap 'status=$?; runtime delete --force "$TAG" >/dev/null 2>&1; clean_up $status' EXIT

start_container
pid=$(cat "$RUNDIR/pid")
status() { awk -v field="$1:" '$1 == field { print $2 }' "/proc/$pid/status"; }
equal "its user" 65534 "$(status Uid)"
equal "its capabilities" $((1 << 12 | 1 << 13 | 1 << 38 | 1 << 39)) $((0x$(status CapEff)))
equal "NoNewPrivs" 1 "$(status NoNewPrivs)"
[ "$(readlink "/proc/$pid/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ] || fail "it is in no container"
# The guests do for themselves what the daemon cannot do in their namespaces: their ends take what is redirected to them.
for name in a b; do guest $name ethtool -K eth0 gro on; done
bridge_of a b
expect_ping a 10.0.0.2
shunt flow add br0 'priority=100,icmp,actions=dec_ttl,normal'
expect_ping a 10.0.0.2
note "killed: flows go on, and are taken over"
flows=$(json 'd["flows"]' cache stats)
at_least "cached flows" 2 "$flows"
runtime delete --force "$TAG" # SIGKILL
expect_ping a 10.0.0.2
start_container
expect_ping a 10.0.0.2
grep -q "cached flows taken over" "$RUNDIR/shuntd.log" || fail "nothing was taken over"
equal "rules" 2 "$(json 'len(d["rules"])' flow list br0)"
