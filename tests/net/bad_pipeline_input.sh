#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rules, groups, meters and tables that OpenFlow has an error for: each has its type and code, reaches the user with its
# place in the text, and leaves everything as it was.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b; do add_guest "$name"; done
start_switch
bridge_of a b
shunt group add br0 'group_id=1,type=indirect,bucket=actions=output:b'
shunt group add br0 'group_id=2,type=all,bucket=actions=group:1'
shunt meter add br0 'meter=1,kbps,bands=type=drop,rate=1000'
shunt table set br0 9 --max-rules 1
shunt flow replace br0 --file - <<'RULES'
priority=10,in_port=a,ip,actions=group:1
table=9,actions=drop
priority=0,actions=normal
RULES
state() {
  json '[(r["table"], r["priority"], r["match"], r["actions"]) for r in d["rules"]]' flow list br0
  shunt group list br0
  shunt meter list br0
  json '[(t["table"], t["max_rules"], t["evict"]) for t in d["tables"]]' table list br0
}
before=$(state)

# flow_error NAME RULE: by the command's exit status, its text, and the reply's data.
flow_error() {
  refused 1 "refused \(OFPET_[A-Z_]*/$1\): " shunt flow add br0 "$2"
}
# caret COLUMN: in the last refusal, under the text (which begins behind two blanks).
caret() {
  local line
  line=$(tail -n 1 "$RUNDIR/refused.err")
  equal "column of the caret in: $(cat "$RUNDIR/refused.err")" "$1" "$((${#line} - 2))"
}

note "matches"
flow_error OFPBMC_BAD_FIELD 'ip,nosuchfield=1,actions=drop'
caret 4
flow_error OFPBMC_BAD_PREREQ 'tp_dst=80,actions=drop'
caret 1
flow_error OFPBMC_BAD_VALUE 'tcp,tp_dst=99999,actions=drop'
flow_error OFPBMC_DUP_FIELD 'ip,nw_src=10.0.0.1,nw_src=10.0.0.2,actions=drop'
flow_error OFPBMC_BAD_MASK 'dl_vlan=5/0xff,actions=drop'

note "actions"
flow_error OFPBAC_BAD_TYPE 'actions=nosuchaction'
caret 9
flow_error OFPBAC_BAD_SET_ARGUMENT 'tcp,actions=set_field:99999->tcp_dst,output:b'
flow_error OFPBAC_MATCH_INCONSISTENT 'ip,actions=set_field:80->tcp_dst,output:b'
flow_error OFPBAC_BAD_OUT_GROUP 'actions=group:77'
caret 9
flow_error 'OFPMMFC_UNKNOWN_METER|OFPBAC_BAD_METER' 'actions=meter:77,output:b'
caret 9
flow_error OFPBAC_BAD_OUT_GROUP 'ip,actions=output:b,clone(dec_ttl,group:77)'
caret 35
flow_error OFPBAC_BAD_OUT_GROUP 'actions=write_actions(group:77)'
caret 23

note "tables and instructions"
flow_error OFPBIC_BAD_TABLE_ID 'table=5,actions=goto_table:5'
caret 28
flow_error OFPFMFC_TABLE_FULL 'table=9,arp,actions=drop'
caret 1
flow_error OFPFMFC_OVERLAP 'check_overlap,priority=10,in_port=a,actions=drop'
caret 1
refused 1 'OFPET_' shunt flow add br0 'table=254,actions=drop'

note "files: the line, and nothing of the file is in force"
printf '# rules\npriority=5,arp,actions=drop\npriority=6,tp_dst=80,actions=drop\n' >"$RUNDIR/rules"
refused 1 'refused \(OFPET_BAD_MATCH/OFPBMC_BAD_PREREQ\): line 3, column 12: ' shunt flow add br0 --file "$RUNDIR/rules"
printf 'priority=5,arp,actions=drop\n add table=9,ip,actions=drop\n' >"$RUNDIR/rules"
refused 1 'OFPFMFC_TABLE_FULL\): line 2, column 6: ' shunt flow add br0 --file "$RUNDIR/rules"
caret 6
printf 'priority=5,arp,actions=drop\nadd ip,actions=output:b,group:77\n' >"$RUNDIR/rules"
refused 1 'OFPBAC_BAD_OUT_GROUP\): line 2, column 25: ' shunt flow replace br0 --file "$RUNDIR/rules"

note "groups"
group_error() { refused 1 "refused \(OFPET_[A-Z_]*/$1\): " shunt group "${@:3}" br0 "$2"; }
group_error OFPGMFC_GROUP_EXISTS 'group_id=1,type=all,bucket=actions=output:b' add
caret 1
group_error OFPGMFC_UNKNOWN_GROUP 'group_id=9,type=all,bucket=actions=output:b' mod
group_error OFPGMFC_LOOP 'group_id=1,type=indirect,bucket=actions=group:2' mod
caret 26
group_error OFPGMFC_BAD_TYPE 'group_id=9,type=some,bucket=actions=output:b' add
caret 17
group_error OFPGMFC_INVALID_GROUP 'group_id=9,type=indirect,bucket=actions=output:a,bucket=actions=output:b' add
group_error OFPBAC_BAD_OUT_GROUP 'group_id=9,type=all,bucket=actions=group:55' add
caret 36
group_error OFPGMFC_UNKNOWN_BUCKET 'group_id=2,command_bucket_id=55' remove-bucket
caret 12

note "meters"
meter_error() { refused 1 "refused \(OFPET_[A-Z_]*/$1\): " shunt meter "$3" br0 "$2"; }
meter_error OFPMMFC_METER_EXISTS 'meter=1,kbps,bands=type=drop,rate=1' add
caret 1
meter_error OFPMMFC_UNKNOWN_METER 'meter=7,kbps,bands=type=drop,rate=1' mod
meter_error OFPMMFC_BAD_RATE 'meter=7,kbps,bands=type=drop,rate=0' add
meter_error OFPMMFC_BAD_BAND 'meter=7,kbps,bands=type=fly,rate=1' add

equal "everything after all refusals" "$before" "$(state)"

note "the reply on the socket carries type and code as numbers"
python3 - "$RUNDIR/$INSTANCE.sock" <<'PYTHON'
import json, socket, sys

with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(10)
    client.connect(sys.argv[1])
    request = {"jsonrpc": "2.0", "id": 1, "method": "flow.add", "params": {"bridge": "br0", "rule": "tp_dst=80,actions=drop"}}
    client.sendall(json.dumps(request).encode() + b"\n")
    data = json.loads(client.makefile().readline())["error"]["data"]
assert data == {"of_error": "OFPET_BAD_MATCH/OFPBMC_BAD_PREREQ", "type": 4, "code": 9, "column": 1}, data
PYTHON
