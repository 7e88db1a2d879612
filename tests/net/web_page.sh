#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page in a headless Chromium: it shows the ports that there are with their peers, rates, drops and flows; a click on a
# flow shows the rules that made it; a port's odd name is text and not markup; and the browser has nothing to complain about.
. "$(dirname "$0")/../support/netns.sh"
begin
command -v chromium >/dev/null || skip "needs chromium (scripts/install-deps --browser)"
python3 -c 'import websockets' 2>/dev/null || skip "needs python3-websockets (scripts/install-deps --browser)"
add_guest a 10.0.0.1/24
add_guest '<b>' 10.0.0.2/24 2>/dev/null || skip "no interface can be called <b> here"
add_guest c 10.0.0.3/24
start_switch --metrics 0 --flow-limit 20
bridge_of a '<b>' c
URL=$(sed -n 's|.*a page at \(http://[^ ]*\)$|\1|p' "$RUNDIR/shuntd.log" | head -n 1)
browse() { host timeout 60 python3 "$SUPPORT/browser.py" "$URL$1" "${@:2}"; }

shunt flow replace br0 --file - <<'RULES'
table=0,priority=10,udp,actions=drop
table=0,priority=5,icmp,actions=resubmit(,1)
table=0,priority=0,actions=normal
table=1,priority=7,ip,cookie=0xbeef,actions=normal
RULES
expect_ping a 10.0.0.2
guest a bash -c 'for i in 1 2 3; do echo x >/dev/udp/10.0.0.3/9; done'
background a ping -i 0.05 10.0.0.2 >/dev/null

note "what the page shows"
browse '' 'wait=document.querySelectorAll("#ports tbody tr").length == 4' \
  'wait=parseFloat(document.querySelector("#t-rx").textContent) > 20' \
  'eval=[...document.querySelectorAll("#topology .name")].map(t => t.textContent).sort().join(" ")' \
  'eval=document.querySelector("#topology").textContent.includes("netns '"$TAG-a"'")' \
  'eval=document.querySelector("#drops").textContent.includes("rule3 packets")' \
  'eval=document.querySelectorAll("#topology path.rx").length > 0' \
  'eval=document.querySelectorAll("#ports b").length' \
  'eval=document.querySelector("#live").textContent' \
  'eval=document.querySelector("#warnings").textContent' >"$RUNDIR/page.out" 2>"$RUNDIR/page.err" || fail "$(cat "$RUNDIR/page.err")"
mapfile -t shown <"$RUNDIR/page.out"
equal "names in the topology" '"<b> a br0 br0 br0 c eth0 eth0 eth0"' "${shown[0]}"
equal "a's peer is shown" true "${shown[1]}"
equal "drops are shown" true "${shown[2]}"
equal "traffic is drawn" true "${shown[3]}"
equal "a port's name made no element" 4 "${shown[4]}" # one in each row is ours
equal "live" '"live"' "${shown[5]}"

note "a click on a flow shows its rules"
browse '' 'wait=[...document.querySelectorAll("#flows tbody tr")].some(r => r.textContent.includes("proto=1"))' \
  'eval=[...document.querySelectorAll("#flows tbody tr")].find(r => r.textContent.includes("proto=1")).click()' \
  'wait=document.querySelector("#why")?.open' 'eval=document.querySelector("#why").textContent' >"$RUNDIR/flow.out" ||
  fail "the browser complains"
grep -q 'table 0, priority 5, icmp → resubmit(,1)' "$RUNDIR/flow.out" || fail "no first rule: $(cat "$RUNDIR/flow.out")"
grep -q 'table 1, priority 7, ip → NORMAL' "$RUNDIR/flow.out" || fail "no second rule: $(cat "$RUNDIR/flow.out")"
grep -q 'cookie 0xbeef' "$RUNDIR/flow.out" || fail "no cookie"

note "and a link to one does"
browse '?flow=top' 'wait=document.querySelector("#why")?.open' 'eval=document.querySelectorAll("#why .rule-card").length > 0' \
  >"$RUNDIR/link.out" || fail "the browser complains"
equal "rules behind the link" true "$(cat "$RUNDIR/link.out")"

note "a daemon that goes is said to be gone"
browse '' 'wait=document.querySelector("#live")?.textContent == "live"' 'eval="live"' \
  'wait=document.querySelector("#live").classList.contains("lost")' 'eval="gone"' >"$RUNDIR/gone.out" 2>/dev/null &
browser=$!
wait_until 20 "the page is live" grep -q live "$RUNDIR/gone.out"
stop_switch
wait "$browser" || true # the failed request is an error in the page's log
equal "what the page says at last" '"gone"' "$(tail -n 1 "$RUNDIR/gone.out")"
