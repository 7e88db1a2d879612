#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Load, in a form that CI can bear (SOAK=25 seconds; SOAK=3600 is the hour): traffic of 100,000 flows churns while ports
# come and go, links flap, rules change, clients stall, flood and die. No frame is broken or meets an older verdict;
# memory, file descriptors, maps, frames and cached flows are what they were before.
. "$(dirname "$0")/../support/netns.sh"
SOAK=${SOAK:-25}
begin ping bpftool
HERE=$(cd "$(dirname "$0")" && pwd)
for name in a b c d e; do add_guest "$name"; done
guest a ip address add 10.0.0.1/24 dev eth0
guest e ip address add 10.0.0.5/24 dev eth0
start_switch --idle-timeout 2 --upcall-rate 50000
bridge_of a b c d e
receivers=(b c d)
version=0
printf '\0\0\0\0' >"$RUNDIR/version"
set_version() { # the rule first, then the sender may rely on it
  version=$1
  shunt flow add br0 "priority=500,in_port=a,udp,tp_dst=7000,actions=mod_dl_src:$(
    printf '02:01:%02x:%02x:%02x:%02x' $((version >> 24 & 255)) $((version >> 16 & 255)) $((version >> 8 & 255)) $((version & 255))
  ),output:${receivers[$((version % 3))]}"
  python3 - "$RUNDIR/version" "$version" <<'PY'
import mmap, struct, sys
with open(sys.argv[1], "r+b") as f:
    struct.pack_into("!I", mmap.mmap(f.fileno(), 4), 0, int(sys.argv[2]))
PY
}
set_version 3
memory() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$DAEMON/status"; }
descriptors() { ls "/proc/$DAEMON/fd" | wc -l; }
# Maps that no descriptor holds: those of the flood groups.
group_maps() { bpftool -j map dump pinned "/sys/fs/bpf/shunt/$INSTANCE/flood_groups" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))'; }
free_frames() { json 'd["umem_free"]' cache stats; }
is_back() { [ "$(json '[p["state"] for p in d["ports"] if p["name"] == "e"][0]' port list)" != gone ]; }
settled() { [ "$(json 'd["flows"]' cache stats)" -le 4 ]; }

# Whatever a first round makes is there to stay: buffers, tables. The second and later ones must find it enough.
churn() { # SECONDS
  local end=$((SECONDS + $1)) round=0 i
  while [ "$SECONDS" -lt "$end" ]; do
    round=$((round + 1))
    set_version $((version + 1))
    host ip link set dev e down
    shunt port detach br0 d && attach d
    printf 'priority=%s,in_port=e,tcp,tp_dst=%s,actions=drop\n' 300 $round 301 $round 302 $round |
      shunt flow add br0 --file - >/dev/null
    host ip link set dev e up
    set_version $((version + 1))
    shunt flow del br0 tcp
    # Clients that die in the middle, say nonsense, and say nothing.
    timeout -s KILL 0.05 "$SHUNT" --rundir "$RUNDIR" --instance "$INSTANCE" cache list >/dev/null 2>&1 || true
    python3 - "$RUNDIR/$INSTANCE.sock" <<'PY'
import socket, sys
for text in [b"", b"{", b'{"jsonrpc":"2.0","id":1,"method":"cache.list"}\n', b"\0" * 4096, b'{"id":1}\n'] * 4:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    try:
        s.sendall(text)
    except OSError:
        pass
    s.close()
PY
    if [ $((round % 3)) -eq 0 ]; then
      guest e ip link del eth0
      make_link e 10.0.0.5/24
      wait_until 10 "the port is back" is_back
    fi
  done
  note "$round rounds"
}

traffic() { # SECONDS NAME
  local i
  for i in 0 1 2; do
    start_in "${receivers[$i]}" python3 "$HERE/soak.py" receive eth0 $i $(($1 + 60)) >"$RUNDIR/$2.$i"
    ENDS+=("$CHILD")
  done
  sleep 0.3
  start_in a python3 "$HERE/soak.py" send eth0 "$RUNDIR/version" $(($1 + 60)) >"$RUNDIR/$2.sent"
  SENDER=$CHILD
}
ended() {
  kill -TERM "$SENDER"
  wait "$SENDER"
  sleep 0.5
  kill -TERM "${ENDS[@]}"
  wait "${ENDS[@]}"
  ENDS=()
}
ENDS=()

descriptors_before=$(descriptors)
are_as_many() { [ "$(descriptors)" -eq "$descriptors_before" ]; }
traffic 8 first
churn 8
expect_ping a 10.0.0.5
ended
wait_until 20 "all flows have gone" settled
memory_before=$(memory) frames_before=$(free_frames) groups_before=$(group_maps)

traffic "$SOAK" soak
churn "$SOAK"
expect_ping a 10.0.0.5
ended
wait_until 20 "no flow is stuck" settled
python3 - "$RUNDIR" <<'PY'
import json, sys
sent = json.load(open(sys.argv[1] + "/soak.sent"))["sent"]
ends = [json.load(open(f"{sys.argv[1]}/soak.{i}")) for i in range(3)]
frames, broken, stale, astray = (sum(e[k] for e in ends) for k in ("frames", "broken", "stale", "astray"))
print(f"-- {sent} frames sent, {frames} came, {broken} broken, {stale} by an older verdict, {astray} at a wrong port")
sys.exit("FAILED: frames are broken, stale or astray" if broken or stale or astray or frames < sent // 4 else 0)
PY
memory_after=$(memory)
note "memory $memory_before -> $memory_after kB, descriptors $descriptors_before -> $(descriptors), free frames $frames_before -> $(free_frames), maps of groups $groups_before -> $(group_maps)"
wait_until 10 "file descriptors are as many as before" are_as_many
at_most "maps of groups" $((groups_before + 1)) "$(group_maps)"
equal "free frames" "$frames_before" "$(free_frames)"
at_most "memory, kB" $((memory_before + memory_before / 20 + 8192)) "$memory_after"

note "1,000 connections at once: all are answered, and those that were there before are not ended for them"
python3 - "$RUNDIR/$INSTANCE.sock" <<'PY'
import json, socket, struct, sys

class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)  # that blocks: where the backlog is full it waits
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 10, 0))
        self.socket.connect(sys.argv[1])
        self.socket.settimeout(10)
        self.lines = self.socket.makefile()
    def ask(self, method, **params):
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", "id": id(self), "method": method, "params": params}).encode() + b"\n")
    def told(self):
        return json.loads(self.lines.readline() or "{}")
    def is_answered(self):
        try:
            answer = self.told()
            return answer.get("id") == id(self) and "result" in answer
        except (OSError, ValueError):
            return False

idle, monitor = Client(), Client()
idle.ask("bridge.list")
monitor.ask("monitor", flow=True)
assert idle.is_answered() and monitor.is_answered()
peers = [Client() for _ in range(1000)]
for peer in peers:
    peer.ask("bridge.list")
answered = sum(peer.is_answered() for peer in peers)
print(f"-- {len(peers)} connected, {answered} answered")
if answered != len(peers):
    sys.exit("FAILED: not all are answered")
idle.ask("flow.add", bridge="br0", rule="priority=7,udp,tp_dst=7,actions=drop")
if not idle.is_answered() or "priority=7" not in monitor.told()["params"]["rule"]:
    sys.exit("FAILED: older clients were ended")
PY
expect_ping a 10.0.0.5
shunt bridge list >/dev/null
