#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the daemon tells a service manager of Type=notify: that it is ready, not before its control socket answers; that it
# lives, for as long as its threads do; and that it stops.
. "$(dirname "$0")/../support/netns.sh"
begin
cat >"$RUNDIR/as-a-service" <<END
#!/bin/sh
export NOTIFY_SOCKET=$RUNDIR/notify WATCHDOG_USEC=300000 WATCHDOG_PID=\$\$
exec "$SHUNTD" "\$@"
END
chmod +x "$RUNDIR/as-a-service"
SHUNTD=$RUNDIR/as-a-service

# The service manager: writes down what it is told, and commands at the first moment at which it may.
cat >"$RUNDIR/manager.py" <<'PY'
import socket, sys
notify, control = sys.argv[1:]
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind(notify)
while True:
    for line in told.recv(4096).decode().splitlines():
        print(line, flush=True)
        if line == "READY=1":
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(10)
            client.connect(control)
            client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"version"}\n')
            print("answers" if b'"result"' in client.recv(65536) else "refuses", flush=True)
PY
(exec python3 "$RUNDIR/manager.py" "$RUNDIR/notify" "$RUNDIR/$INSTANCE.sock" >"$RUNDIR/told") &
CHILDREN+=($!)
wait_until 10 "the service manager listens" test -S "$RUNDIR/notify"
told() { grep -cx "$1" "$RUNDIR/told" || true; }
more_than() { [ "$(told "$2")" -gt "$1" ]; }

start_switch
wait_until 10 "a command is answered when it is ready" more_than 0 answers
wait_until 10 "the watchdog is fed" more_than 4 WATCHDOG=1
equal "what it said first" READY=1 "$(head -n 1 "$RUNDIR/told")"
equal "how often it became ready" 1 "$(told READY=1)"

for name in worker0 revalidator; do
  note "$name hangs"
  thread=$(grep -lx $name /proc/"$DAEMON"/task/*/comm | cut -d/ -f5)
  # A debugger's way to stop one thread; it goes on when the debugger is gone.
  (exec python3 -c "import ctypes, sys, time
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
seize, interrupt = 0x4206, 0x4207
for request in seize, interrupt:
    if libc.ptrace(request, $thread, None, None) != 0: sys.exit('ptrace')
time.sleep(60)") &
  debugger=$!
  CHILDREN+=("$debugger")
  wait_until 10 "$name is stopped" grep -q '^State:.t' "/proc/$DAEMON/task/$thread/status"
  sleep 0.3 # for what was under way
  before=$(told WATCHDOG=1)
  sleep 1
  equal "times the watchdog was fed while $name hung" "$before" "$(told WATCHDOG=1)"
  kill "$debugger"
  wait_until 10 "the watchdog is fed again" more_than "$before" WATCHDOG=1
done

stop_switch
wait_until 10 "it says that it stops" more_than 0 STOPPING=1
