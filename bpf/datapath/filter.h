/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Classic BPF, the language that libpcap compiles filters to, run instruction by instruction: the same in the kernel and
 * in workers. Programs were checked by user/capture/filter.cpp: known instructions, jumps forward and inside, a return at
 * the end; so a program of n instructions ends after n at most. What reads behind the packet's end refuses the packet.
 */
#ifndef SHUNT_DATAPATH_FILTER_H
#define SHUNT_DATAPATH_FILTER_H

#include "bpf/datapath/compiler.h"
#include "maps/capture.h"

/* Instruction classes and their parts, as <linux/bpf_common.h> and <pcap/bpf.h> have them. */
#define SHUNT_BPF_CLASS(code) ((code) & 0x07u)
#define SHUNT_BPF_LD 0x00u
#define SHUNT_BPF_LDX 0x01u
#define SHUNT_BPF_ST 0x02u
#define SHUNT_BPF_STX 0x03u
#define SHUNT_BPF_ALU 0x04u
#define SHUNT_BPF_JMP 0x05u
#define SHUNT_BPF_RET 0x06u
#define SHUNT_BPF_MISC 0x07u
#define SHUNT_BPF_SIZE(code) ((code) & 0x18u)
#define SHUNT_BPF_W 0x00u
#define SHUNT_BPF_H 0x08u
#define SHUNT_BPF_B 0x10u
#define SHUNT_BPF_MODE(code) ((code) & 0xe0u)
#define SHUNT_BPF_IMM 0x00u
#define SHUNT_BPF_ABS 0x20u
#define SHUNT_BPF_IND 0x40u
#define SHUNT_BPF_MEM 0x60u
#define SHUNT_BPF_LEN 0x80u
#define SHUNT_BPF_MSH 0xa0u
#define SHUNT_BPF_OP(code) ((code) & 0xf0u)
#define SHUNT_BPF_ADD 0x00u
#define SHUNT_BPF_SUB 0x10u
#define SHUNT_BPF_MUL 0x20u
#define SHUNT_BPF_DIV 0x30u
#define SHUNT_BPF_OR 0x40u
#define SHUNT_BPF_AND 0x50u
#define SHUNT_BPF_LSH 0x60u
#define SHUNT_BPF_RSH 0x70u
#define SHUNT_BPF_NEG 0x80u
#define SHUNT_BPF_MOD 0x90u
#define SHUNT_BPF_XOR 0xa0u
#define SHUNT_BPF_JA 0x00u
#define SHUNT_BPF_JEQ 0x10u
#define SHUNT_BPF_JGT 0x20u
#define SHUNT_BPF_JGE 0x30u
#define SHUNT_BPF_JSET 0x40u
#define SHUNT_BPF_X 0x08u /* the operand is X, not k */
#define SHUNT_BPF_RET_A 0x10u
#define SHUNT_BPF_TXA 0x80u

/* A program's registers, between two instructions. */
struct shunt_filter_state {
  __u32 a;
  __u32 x;
  __u32 pc;
  __u32 verdict; /* of RET: 0 refuses the packet */
  __u32 memory[SHUNT_FILTER_MEMORY];
};

/* The packet. Behind `bytes` are SHUNT_CAPTURE_BYTES that may be read, and four more. */
struct shunt_filter_packet {
  const __u8* bytes;
  __u32 captured; /* of them are the packet's */
  __u32 length;   /* on the wire */
};

/* A number at `off`, of the size that `code` says. 0: it is not all there. */
SHUNT_INLINE int shunt_filter_read(const struct shunt_filter_packet* packet, __u32 code, __u64 off,
                                   __u32* value) SHUNT_NOEXCEPT {
  __u32 size = SHUNT_BPF_SIZE(code) == SHUNT_BPF_W ? 4 : SHUNT_BPF_SIZE(code) == SHUNT_BPF_H ? 2 : 1;

  if (off + size > packet->captured) return 0;
  SHUNT_OPAQUE(off);
  if (off >= SHUNT_CAPTURE_BYTES) return 0;
  if (size == 4)
    *value = SHUNT_BE32(shunt_load32(packet->bytes + off));
  else if (size == 2)
    *value = SHUNT_BE16(shunt_load16(packet->bytes + off));
  else
    *value = packet->bytes[off];
  return 1;
}

/* LD and LDX. 0: behind the packet's end. */
SHUNT_INLINE int shunt_filter_load(struct shunt_filter_state* s, const struct shunt_filter_insn* insn,
                                   const struct shunt_filter_packet* packet) SHUNT_NOEXCEPT {
  __u32 value = 0;

  switch (SHUNT_BPF_MODE(insn->code)) {
    case SHUNT_BPF_IMM:
      value = insn->k;
      break;
    case SHUNT_BPF_MEM:
      value = s->memory[insn->k & (SHUNT_FILTER_MEMORY - 1)];
      break;
    case SHUNT_BPF_LEN:
      value = packet->length;
      break;
    case SHUNT_BPF_MSH:
      if (!shunt_filter_read(packet, SHUNT_BPF_B, insn->k, &value)) return 0;
      value = (value & 0xf) << 2;
      break;
    default: /* ABS, IND */
      if (!shunt_filter_read(packet, insn->code,
                             (__u64)insn->k + (SHUNT_BPF_MODE(insn->code) == SHUNT_BPF_IND ? s->x : 0), &value))
        return 0;
  }
  if (SHUNT_BPF_CLASS(insn->code) == SHUNT_BPF_LD)
    s->a = value;
  else
    s->x = value;
  return 1;
}

/* 0: a division by nothing, which refuses the packet. */
SHUNT_INLINE int shunt_filter_compute(struct shunt_filter_state* s, const struct shunt_filter_insn* insn)
    SHUNT_NOEXCEPT {
  __u32 operand = insn->code & SHUNT_BPF_X ? s->x : insn->k;

  switch (SHUNT_BPF_OP(insn->code)) {
    case SHUNT_BPF_ADD:
      s->a += operand;
      break;
    case SHUNT_BPF_SUB:
      s->a -= operand;
      break;
    case SHUNT_BPF_MUL:
      s->a *= operand;
      break;
    case SHUNT_BPF_DIV:
      if (operand == 0) return 0;
      s->a /= operand;
      break;
    case SHUNT_BPF_MOD:
      if (operand == 0) return 0;
      s->a %= operand;
      break;
    case SHUNT_BPF_OR:
      s->a |= operand;
      break;
    case SHUNT_BPF_AND:
      s->a &= operand;
      break;
    case SHUNT_BPF_XOR:
      s->a ^= operand;
      break;
    case SHUNT_BPF_LSH:
      s->a = operand < 32 ? s->a << operand : 0;
      break;
    case SHUNT_BPF_RSH:
      s->a = operand < 32 ? s->a >> operand : 0;
      break;
    case SHUNT_BPF_NEG:
      s->a = 0 - s->a;
      break;
  }
  return 1;
}

SHUNT_INLINE void shunt_filter_jump(struct shunt_filter_state* s, const struct shunt_filter_insn* insn) SHUNT_NOEXCEPT {
  __u32 operand = insn->code & SHUNT_BPF_X ? s->x : insn->k;
  int taken = 0;

  switch (SHUNT_BPF_OP(insn->code)) {
    case SHUNT_BPF_JA:
      s->pc += insn->k;
      return;
    case SHUNT_BPF_JEQ:
      taken = s->a == operand;
      break;
    case SHUNT_BPF_JGT:
      taken = s->a > operand;
      break;
    case SHUNT_BPF_JGE:
      taken = s->a >= operand;
      break;
    case SHUNT_BPF_JSET:
      taken = (s->a & operand) != 0;
      break;
  }
  s->pc += taken ? insn->jt : insn->jf;
}

/* Runs the instruction at s->pc, which moves on. 0: that was the last one, and s->verdict says what it decided. */
SHUNT_INLINE int shunt_filter_step(struct shunt_filter_state* s, const struct shunt_filter_insn* insn,
                                   const struct shunt_filter_packet* packet) SHUNT_NOEXCEPT {
  s->pc++;
  s->verdict = 0;
  switch (SHUNT_BPF_CLASS(insn->code)) {
    case SHUNT_BPF_LD:
    case SHUNT_BPF_LDX:
      return shunt_filter_load(s, insn, packet);
    case SHUNT_BPF_ST:
      s->memory[insn->k & (SHUNT_FILTER_MEMORY - 1)] = s->a;
      return 1;
    case SHUNT_BPF_STX:
      s->memory[insn->k & (SHUNT_FILTER_MEMORY - 1)] = s->x;
      return 1;
    case SHUNT_BPF_ALU:
      return shunt_filter_compute(s, insn);
    case SHUNT_BPF_JMP:
      shunt_filter_jump(s, insn);
      return 1;
    case SHUNT_BPF_MISC:
      if (insn->code & SHUNT_BPF_TXA)
        s->a = s->x;
      else
        s->x = s->a;
      return 1;
    default: /* RET */
      s->verdict = insn->code & SHUNT_BPF_RET_A ? s->a : insn->k;
      return 0;
  }
}

#endif
