/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * On a guest's interface, at tc egress: gives each frame VLAN 20 as an 8021q device does, in the skb and not in its
 * bytes.
 */

/* libbpf's headers need linux/bpf.h before them. */
/* clang-format off */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tc") int vlan_push_20(struct __sk_buff* skb) {
  bpf_skb_vlan_push(skb, bpf_htons(0x8100), 20);
  return TC_ACT_OK;
}
