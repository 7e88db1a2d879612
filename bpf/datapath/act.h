/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Running a datapath action that changes a frame. Outputs, drops, meters and the way to userspace are the caller's.
 *
 * What does not fit the frame (a tag to pop that is not there, a TTL of another protocol) is not done: translation
 * asked for it only where the key has it. Checksums follow each change. shunt_headers stay right over pushes and pops.
 * A verdict other than SHUNT_VERDICT_NEXT means that this action changed nothing.
 *
 * What lies under a popped label or behind a popped service instance tag was not parsed. Userspace parses the frame
 * again, and edits behind the pop find their headers; the kernel side does not, and encoding hands it no such list.
 */
#ifndef SHUNT_DATAPATH_ACT_H
#define SHUNT_DATAPATH_ACT_H

#include "bpf/datapath/act_mpls.h"
#include "bpf/datapath/act_vlan.h"
#include "bpf/datapath/set_field.h"
#ifndef __bpf__
#include "bpf/datapath/act_pbb.h"
#endif

SHUNT_INLINE enum shunt_verdict shunt_dec_ttl(shunt_frame* frame, const struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u8* p;

  if (h->l3_kind == SHUNT_L3_IPV4) {
    p = shunt_frame_at(frame, h->l3, sizeof(struct shunt_ipv4_header));
    if (!p) return SHUNT_VERDICT_CANNOT;
    if (p[8] <= 1) return SHUNT_VERDICT_TTL;
    p[8]--;
    /* The TTL is the first byte of its word: one less there is a difference of -0x0100 in network order. */
    shunt_store16(p + 10, shunt_checksum_update(shunt_load16(p + 10), (__u16)~SHUNT_BE16(0x0100)));
  } else if (h->l3_kind == SHUNT_L3_IPV6) {
    p = shunt_frame_at(frame, h->l3, sizeof(struct shunt_ipv6_header));
    if (!p) return SHUNT_VERDICT_CANNOT;
    if (p[7] <= 1) return SHUNT_VERDICT_TTL;
    p[7]--;
  }
  return SHUNT_VERDICT_NEXT;
}

/* Runs SET_FIELD, PUSH_VLAN, POP_VLAN, DEC_TTL or TRUNCATE; other actions do nothing here. */
SHUNT_INLINE enum shunt_verdict shunt_act_plain(shunt_frame* frame, struct shunt_headers* h,
                                                const struct shunt_action* action) SHUNT_NOEXCEPT {
  __u8 type = action->type;

  if (type == SHUNT_ACT_SET_FIELD) return shunt_set_field(frame, h, action);
  if (type == SHUNT_ACT_PUSH_VLAN)
    return shunt_push_vlan(frame, h, shunt_load16(action->value), shunt_load16(action->value + 2));
  if (type == SHUNT_ACT_POP_VLAN) return shunt_pop_vlan(frame, h);
  if (type == SHUNT_ACT_DEC_TTL) return shunt_dec_ttl(frame, h);
  if (type == SHUNT_ACT_TRUNCATE) h->max_len = action->arg;
  return SHUNT_VERDICT_NEXT;
}

#ifndef __bpf__
/*
 * Parses anew what a pop has brought to light: from the innermost EtherType on, as if it stood in an Ethernet header of
 * its own. The tags in front stay what they are, also where a parser would not follow them.
 */
SHUNT_INLINE void shunt_parse_again(shunt_frame* frame, struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u16 front = (__u16)(h->eth_type - 12);
  const __u8 vlan_count = h->vlan_count;
  const __u32 max_len = h->max_len;
  struct shunt_flow_key key;
  shunt_frame inner = *frame;

  inner.data += front;
  inner.len -= front;
  (void)shunt_parse(&inner, inner.len, 0, SHUNT_FEATURE_ALL, &key, h);
  if (h->vlan_count && h->vlan_count + vlan_count > 2) { /* of tags, the parser follows two: a third is payload */
    const __u8 followed = vlan_count < 2 ? (__u8)(2 - vlan_count) : 0;

    __builtin_memset(h, 0, sizeof *h);
    h->vlan_count = followed;
    h->eth_type = (__u16)(12 + 4 * followed);
    h->l3 = (__u16)(h->eth_type + 2);
  }
  shunt_move_headers(h, front);
  h->vlan_count = (__u8)(h->vlan_count + vlan_count);
  h->max_len = max_len;
}

/* A third tag, which is now one of the two that are parsed. Behind an LLC header no tag is looked for. */
SHUNT_INLINE int shunt_type_is_vlan(shunt_frame* frame, const struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p = shunt_frame_at(frame, h->eth_type, 2);

  return p && h->eth_type == 12 + 4 * h->vlan_count && shunt_is_vlan(shunt_load16(p));
}

/* Runs any edit, or TRUNCATE; other actions are the caller's, and do nothing here. Userspace only. */
SHUNT_INLINE enum shunt_verdict shunt_act(shunt_frame* frame, struct shunt_headers* h,
                                          const struct shunt_action* action) SHUNT_NOEXCEPT {
  const __u8 type = action->type;
  const __u8 kind = h->l3_kind;
  enum shunt_verdict verdict;

  if (type == SHUNT_ACT_PUSH_PBB) return shunt_push_pbb(frame, h, shunt_load32(action->value));
  if (type == SHUNT_ACT_POP_PBB) {
    verdict = shunt_pop_pbb(frame, h);
  } else if (shunt_is_mpls_edit(type)) {
    verdict = shunt_act_mpls(frame, h, action);
  } else {
    verdict = shunt_act_plain(frame, h, action);
  }
  if (verdict == SHUNT_VERDICT_NEXT &&
      ((type == SHUNT_ACT_POP_MPLS && kind == SHUNT_L3_MPLS) || (type == SHUNT_ACT_POP_PBB && kind == SHUNT_L3_PBB) ||
       (type == SHUNT_ACT_POP_VLAN && shunt_type_is_vlan(frame, h))))
    shunt_parse_again(frame, h);
  return verdict;
}
#endif

/* What an output does last: cuts to TRUNCATE's length (once), and pads to SHUNT_MIN_FRAME with zeros. */
SHUNT_INLINE enum shunt_verdict shunt_finish(shunt_frame* frame, struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u32 len = shunt_frame_len(frame);

  if (h->max_len != 0) {
    if (len > h->max_len) {
      if (shunt_frame_adjust_tail(frame, (int)(h->max_len - len)) < 0) return SHUNT_VERDICT_CANNOT;
      len = h->max_len;
    }
    h->max_len = 0;
  }
  if (len < SHUNT_MIN_FRAME && shunt_frame_adjust_tail(frame, (int)(SHUNT_MIN_FRAME - len)) < 0)
    return SHUNT_VERDICT_CANNOT;
  return SHUNT_VERDICT_NEXT;
}

#endif
