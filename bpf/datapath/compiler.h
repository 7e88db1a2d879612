/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What code for both compilers needs: clang -target bpf builds it as C for the kernel, g++ and clang++ as C++20 for the
 * daemon. Functions here never allocate, lock or throw. Unaligned loads and stores keep the bytes as they lie in the
 * frame: a value that came from load16/32/64 is raw network order.
 */
#ifndef SHUNT_DATAPATH_COMPILER_H
#define SHUNT_DATAPATH_COMPILER_H

#include "maps/types.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines (x86-64, arm64), as maps/types.h is"
#endif

#ifdef __bpf__
#define SHUNT_INLINE static inline __attribute__((always_inline))
#define SHUNT_NOEXCEPT
/* Hides from the optimiser where a value came from, so that the register the verifier saw checked is the one that is
 * used. */
#define SHUNT_OPAQUE(v) __asm__ volatile("" : "+r"(v))
#define SHUNT_NO_UNROLL _Pragma("clang loop unroll(disable)")
/* A function that the verifier checks once, for any arguments, and not at each call. Pointers may be null to it. */
#define SHUNT_SUBPROGRAM(type) __attribute__((noinline)) type
#define SHUNT_NULL_ARGUMENT(p) (!(p))
/* Reads a field of a map value; the verifier knows nothing about it, and paths that met different values become one. */
#define SHUNT_FORGET(type, field) (*(const volatile type*)&(field))
#else
#define SHUNT_INLINE [[maybe_unused]] static inline
#define SHUNT_NOEXCEPT noexcept
#define SHUNT_OPAQUE(v) (void)(v)
#define SHUNT_NO_UNROLL
#define SHUNT_SUBPROGRAM(type) SHUNT_INLINE type
#define SHUNT_NULL_ARGUMENT(p) false
#define SHUNT_FORGET(type, field) (field)
#endif

#define SHUNT_LIKELY(x) __builtin_expect(!!(x), 1)
#define SHUNT_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Host value -> raw network order, and back. */
#define SHUNT_BE16(x) ((__u16)__builtin_bswap16((__u16)(x)))
#define SHUNT_BE32(x) ((__u32)__builtin_bswap32((__u32)(x)))

/*
 * The machines that run this read unaligned words; the kernel lets BPF do so too. In C++ the language does not, so
 * there it is a memcpy, which becomes the same instruction.
 */
#ifdef __bpf__
typedef __u16 __attribute__((may_alias)) shunt_alias16;
typedef __u32 __attribute__((may_alias)) shunt_alias32;
typedef __u64 __attribute__((may_alias)) shunt_alias64;
#define SHUNT_DEFINE_ACCESS(bits)                                                                 \
  SHUNT_INLINE __u##bits shunt_load##bits(const void* p) { return *(const shunt_alias##bits*)p; } \
  SHUNT_INLINE void shunt_store##bits(void* p, __u##bits v) { *(shunt_alias##bits*)p = v; }
#else
#define SHUNT_DEFINE_ACCESS(bits)                                   \
  SHUNT_INLINE __u##bits shunt_load##bits(const void* p) noexcept { \
    __u##bits v;                                                    \
    __builtin_memcpy(&v, p, sizeof v);                              \
    return v;                                                       \
  }                                                                 \
  SHUNT_INLINE void shunt_store##bits(void* p, __u##bits v) noexcept { __builtin_memcpy(p, &v, sizeof v); }
#endif
SHUNT_DEFINE_ACCESS(16)
SHUNT_DEFINE_ACCESS(32)
SHUNT_DEFINE_ACCESS(64)

#endif
