#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A frame to an unknown MAC goes to all other ports, to a learned one only there; floods stay in the kernel.
. "$(dirname "$0")/../support/netns.sh"
begin
for name in a b c d; do add_guest "$name"; done
start_switch
bridge_of a b c d
all() { for name in b c d; do listen "$name" "$name" --dport 9; done; }

note "unknown destination"
all
send a --src 02:00:00:00:00:01 --dst 02:00:00:00:00:02 --count 300 --rate 3000 >/dev/null
heard b c d
for name in b c d; do equal "frames at $name" 300 "$(result "$name" 'd["frames"]')"; done
misses() { json 'd["misses"]' cache stats; }
wait_until 5 "the flood's flow is cached" eval '[ "$(json "len(d[\"flows\"])" cache list)" -gt 0 ]'
before=$(misses)
all
send a --src 02:00:00:00:00:01 --dst 02:00:00:00:00:02 --count 300 --rate 3000 >/dev/null
heard b c d
for name in b c d; do equal "frames at $name, by the kernel" 300 "$(result "$name" 'd["frames"]')"; done
at_most "of 300 frames that a cached flow floods, through userspace" 10 $(($(misses) - before))

note "b speaks: learned"
send b --src 02:00:00:00:00:02 --dst 02:00:00:00:00:01 --count 1 >/dev/null
wait_until 5 "b's MAC is in the table" fdb_has 02:00:00:00:00:02 b
all
send a --src 02:00:00:00:00:01 --dst 02:00:00:00:00:02 --count 300 --rate 3000 >/dev/null
heard b c d
equal "frames at b" 300 "$(result b 'd["frames"]')"
equal "frames at c" 0 "$(result c 'd["frames"]')"
equal "frames at d" 0 "$(result d 'd["frames"]')"

note "never back out of the input port; link-local destinations go nowhere"
all
listen a a --dport 9
send b --src 02:00:00:00:00:02 --dst 02:00:00:00:00:02 --count 20 --rate 1000 >/dev/null
send a --src 02:00:00:00:00:01 --dst 01:80:c2:00:00:0e --count 20 --rate 1000 >/dev/null
heard a b c d
for name in a b c d; do equal "frames at $name" 0 "$(result "$name" 'd["frames"]')"; done

note "flushed: unknown again"
shunt fdb flush br0
all
send a --src 02:00:00:00:00:01 --dst 02:00:00:00:00:02 --count 20 --rate 1000 >/dev/null
heard b c d
equal "frames at c after the flush" 20 "$(result c 'd["frames"]')"

note "a static entry"
shunt fdb add br0 02:00:00:00:77:77 d
all
send a --src 02:00:00:00:00:01 --dst 02:00:00:00:77:77 --count 20 --rate 1000 >/dev/null
heard b c d
equal "frames at b, static entry at d" 0 "$(result b 'd["frames"]')"
equal "frames at d, static entry at d" 20 "$(result d 'd["frames"]')"
