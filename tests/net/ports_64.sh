#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 64 ports on one bridge, by a daemon that was started with room for few files: a broadcast reaches 63, a known MAC one;
# all go away again.
. "$(dirname "$0")/../support/netns.sh"
begin
add_guest wall
guest wall ip link del dev eth0
for i in $(seq 64); do
  printf 'link add name p%s type veth peer name e%s netns %s-wall\nlink set dev p%s up\n' "$i" "$i" "$TAG" "$i"
done | host ip -batch -
for i in $(seq 64); do printf 'link set dev e%s up\n' "$i"; done | guest wall ip -batch -
ulimit -Sn 128
start_switch
shunt bridge add br0
for i in $(seq 64); do attach "p$i"; done
equal "ports (and LOCAL)" 65 "$(json 'len(d["ports"])' port list br0)"

hear_any() { # FROM OPTION…: sends on e1 and listens on all
  listen_on wall any any --dport 9
  listening
  guest wall python3 "$FRAMES" send "$@" --count 100 --rate 1000 >/dev/null
  heard any
}
hear_any e1 --src 02:00:00:00:11:11
equal "interfaces that hear a broadcast" 63 "$(result any 'len(d["interfaces"])')"
equal "frames each heard" "[100]" "$(result any 'sorted(set(d["interfaces"].values()))')"
hear_any e64 --src 02:00:00:00:64:64 --dst 02:00:00:00:11:11
equal "who hears a known MAC" "{'e1': 100}" "$(result any 'd["interfaces"]')"

for i in $(seq 64); do shunt port detach br0 "p$i"; done
equal "ports left" 1 "$(json 'len(d["ports"])' port list br0)"
shunt bridge del br0
equal "interfaces that still have a program" 0 "$(host ip -d link show | grep -c 'prog/xdp' || true)"
