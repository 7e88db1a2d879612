/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Provider backbone bridging (802.1ah): a service instance tag, and the frame's own Ethernet header behind it.
 * Userspace only.
 */
#ifndef SHUNT_DATAPATH_ACT_PBB_H
#define SHUNT_DATAPATH_ACT_PBB_H

#include "bpf/datapath/act_mpls.h"

/* What a push adds: addresses, EtherType, tag. */
#define SHUNT_PBB_SIZE (14 + SHUNT_PBB_TAG_SIZE)

/* The customer's frame stays as it is, tags too, behind a header with its own addresses. */
SHUNT_INLINE enum shunt_verdict shunt_push_pbb(shunt_frame* frame, struct shunt_headers* h,
                                               __u32 raw_tag) SHUNT_NOEXCEPT {
  __u8* p;

  if (!shunt_frame_at(frame, 0, sizeof(struct shunt_eth_header))) return SHUNT_VERDICT_CANNOT;
  if (shunt_frame_adjust_head(frame, -SHUNT_PBB_SIZE) < 0) return SHUNT_VERDICT_HEADROOM;
  p = shunt_frame_at(frame, 0, SHUNT_PBB_SIZE + 12);
  if (!p) return SHUNT_VERDICT_CANNOT;
  shunt_copy_mac(p, p + SHUNT_PBB_SIZE);
  shunt_copy_mac(p + 6, p + SHUNT_PBB_SIZE + 6);
  shunt_store16(p + 12, SHUNT_BE16(SHUNT_ETH_TYPE_PBB));
  shunt_store32(p + 14, raw_tag);
  shunt_forget_payload(h, SHUNT_L3_PBB);
  h->vlan_count = 0;
  h->eth_type = 12;
  h->l3 = 14;
  return SHUNT_VERDICT_NEXT;
}

/* The outer Ethernet header and the tag, off: the customer's frame is what is left. The caller parses it. */
SHUNT_INLINE enum shunt_verdict shunt_pop_pbb(shunt_frame* frame, struct shunt_headers* h) SHUNT_NOEXCEPT {
  if (h->l3_kind != SHUNT_L3_PBB) return SHUNT_VERDICT_NEXT;
  if (h->vlan_count != 0 || shunt_frame_len(frame) < SHUNT_PBB_SIZE + sizeof(struct shunt_eth_header))
    return SHUNT_VERDICT_CANNOT;
  if (shunt_frame_adjust_head(frame, SHUNT_PBB_SIZE) < 0) return SHUNT_VERDICT_CANNOT;
  h->eth_type = 12; /* of the customer's header, in front of its tags */
  return SHUNT_VERDICT_NEXT;
}

#endif
