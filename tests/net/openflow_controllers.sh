#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Open vSwitch's controller over TCP and TLS (a learning switch, OpenFlow 1.0 and 1.3); the fail modes; what
# `shunt controller` shows; and no message of it all is malformed to tshark. os-ken's are in openflow_apps.sh.
. "$(dirname "$0")/../support/netns.sh"
begin ovs-testcontroller openssl tshark
add_guest a 10.0.0.2/24
add_guest b 10.0.0.3/24

note "certificates"
(cd "$RUNDIR" && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2 &&
  for who in switch controller; do
    openssl req -newkey rsa:2048 -nodes -keyout "$who.key" -out "$who.csr" -subj "/CN=$who" &&
      openssl x509 -req -in "$who.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$who.pem" -days 2
  done) >/dev/null 2>&1
start_switch --tls-key "$RUNDIR/switch.key" --tls-certificate "$RUNDIR/switch.pem" --tls-authority "$RUNDIR/ca.pem"
bridge_of a b
capture_openflow

connected() { [ "$(json 'all(c["connected"] for c in d["controllers"]) and len(d["controllers"])' controller list br0)" = "$1" ]; }
controller() { # OPTION…
  (exec nsenter --net="/run/netns/$TAG-host" -- ovs-testcontroller --unixctl="$RUNDIR/controller.ctl" "$@" >>"$RUNDIR/controller.log" 2>&1) &
  CHILDREN+=($!)
  CONTROLLER=$!
}
end_controller() {
  kill "$CONTROLLER"
  wait "$CONTROLLER" 2>/dev/null || true
}

for version in OpenFlow10 OpenFlow13; do
  note "a learning controller, $version"
  controller -O "$version" ptcp:6653
  shunt controller add br0 tcp:127.0.0.1:6653
  wait_until 10 "the controller is connected" connected 1
  equal "version" "${version:8:1}.${version:9:1}" "$(json 'd["controllers"][0]["version"]' controller list br0)"
  equal "table 0's own setting" drop "$(json 'next((t["miss"] for t in d["tables"] if t["table"] == 0), "drop")' table list br0)"
  expect_ping a 10.0.0.3
  shunt flow list br0 | grep -q 'idle_timeout=60' || fail "the controller has set no rule: $(shunt flow list br0)"
  meetings() { grep -c 'controller tcp:127.0.0.1:6653 is connected' "$RUNDIR/shuntd.log"; }
  met=$(meetings)
  meets_again() { [ "$(meetings)" -gt "$met" ]; }
  shunt bridge set br0 --datapath-id "00000000000000${version:8:2}"
  wait_until 5 "the controller meets the bridge by its new datapath id" meets_again
  end_controller
  shunt controller del br0
  shunt flow replace br0 'priority=0,actions=NORMAL'
done

note "secure: without a controller no rule comes; standalone is the default, and comes late"
shunt bridge set br0 --fail-mode secure
shunt controller add br0 tcp:127.0.0.1:6653
equal "the default rule" 0 "$(json 'd["bridges"][0]["rules"]' bridge list)"
expect_no_ping a 10.0.0.3
refused 1 'already' shunt controller add br0 tcp:127.0.0.1:6653
refused 1 'no controller' shunt controller add br0 tcp:example.org
shunt controller del br0

note "TLS"
controller -O OpenFlow13 pssl:6654 --private-key="$RUNDIR/controller.key" --certificate="$RUNDIR/controller.pem" --ca-cert="$RUNDIR/ca.pem"
shunt controller add br0 ssl:127.0.0.1:6654
wait_until 10 "the controller is connected by TLS" connected 1
expect_ping a 10.0.0.3
end_controller
shunt controller del br0
shunt flow replace br0 'priority=0,actions=NORMAL'

# It was asked again and again whether it could be written to.
note "one that says nothing while TLS shakes hands costs nothing"
shunt controller add br0 pssl:6655:127.0.0.1
(exec nsenter --net="/run/netns/$TAG-host" -- bash -c 'exec 3<>/dev/tcp/127.0.0.1/6655; exec sleep 30') &
CHILDREN+=($!)
wait_until 5 "it is connected" eval '[ "$(json "d[\"controllers\"][0][\"connections\"]" controller list br0)" = 1 ]'
cpu() { awk '{ print $14 + $15 }' "/proc/$DAEMON/stat"; } # hundredths of a second
before=$(cpu)
sleep 2
at_most "hundredths of a second of CPU in 2 s" 100 "$(($(cpu) - before))"
shunt controller del br0

note "tshark finds nothing malformed"
end_capture
openflow_heard -Y openflow_v1\|\|openflow_v4 | wc -l >"$RUNDIR/count"
at_least "segments with OpenFlow messages" 12 "$(cat "$RUNDIR/count")"
expect_none_heard "malformed" _ws.malformed
