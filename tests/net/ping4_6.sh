#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Three guests ping each other over IPv4 and IPv6, small and large; what follows the first packets stays in the kernel.
. "$(dirname "$0")/../support/netns.sh"
begin ping
add_guest a 10.0.0.1/24 fd00::1/64
add_guest b 10.0.0.2/24 fd00::2/64
add_guest c 10.0.0.3/24 fd00::3/64
start_switch
bridge_of a b c

for pair in "a 2" "a 3" "b 1" "b 3" "c 1" "c 2"; do
  read -r from to <<<"$pair"
  expect_ping "$from" "10.0.0.$to"
  expect_ping "$from" "fd00::$to" -s 1400
done

misses=$(json 'd["misses"]' cache stats)
hits=$(json 'd["megaflow_hits"] + d["exact_hits"]' cache stats)
expect_ping a 10.0.0.2 -c 100 -i 0.01
at_least "packets answered in the kernel" $((hits + 150)) "$(json 'd["megaflow_hits"] + d["exact_hits"]' cache stats)"
at_most "misses, of 200 packets of known flows" $((misses + 40)) "$(json 'd["misses"]' cache stats)"
