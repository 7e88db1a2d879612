/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Base types and limits of the layouts that the XDP programs and the daemon share.
 *
 * Headers under maps/ hold data only. clang -target bpf compiles them as C, g++ as C++, so they keep to the common
 * subset. Byte order is in the type: shunt_be16/32 is a plain __be16/32 in C and a class in C++ that no arithmetic accepts
 * by accident.
 */
#ifndef SHUNT_MAPS_TYPES_H
#define SHUNT_MAPS_TYPES_H

#include <linux/types.h>

#ifdef __cplusplus

#include <type_traits>

namespace shunt {
/* A value in network order. The two doors: be<T>{host value} and .host(). `.raw()` is what lies in the frame. */
template <typename T>
class [[gnu::packed]] be {
 public:
  be() = default;
  constexpr explicit be(T host_value) : raw_{swap(host_value)} {}
  [[nodiscard]] constexpr T host() const { return swap(raw_); }
  [[nodiscard]] constexpr T raw() const { return raw_; }
  [[nodiscard]] static constexpr be from_raw(T raw) {
    be value{};
    value.raw_ = raw;
    return value;
  }
  friend constexpr bool operator==(be a, be b) { return a.raw_ == b.raw_; }

 private:
  static constexpr T swap(T v) {
    if constexpr (sizeof(T) == 2)
      return __builtin_bswap16(v);
    else
      return __builtin_bswap32(v);
  }
  T raw_;
};
}  // namespace shunt

typedef shunt::be<__u16> shunt_be16;
typedef shunt::be<__u32> shunt_be32;
/* Raw network-order bits of a shunt_be16/32, and back: for code that both compilers build. */
#define SHUNT_RAW(v) ((v).raw())
#define SHUNT_BE16_FROM_RAW(r) (shunt_be16::from_raw(r))
#define SHUNT_BE32_FROM_RAW(r) (shunt_be32::from_raw(r))

/* Asserts a map type's size, and in C++ that it has no unnamed byte: a stray byte in a hash key is a missed look-up. */
#define SHUNT_MAP_TYPE(type, size)                                  \
  static_assert(sizeof(type) == (size), #type " changed its size"); \
  static_assert(std::has_unique_object_representations_v<type>, #type " has unnamed bytes")

#else

typedef __be16 shunt_be16;
typedef __be32 shunt_be32;
#define SHUNT_RAW(v) (v)
#define SHUNT_BE16_FROM_RAW(r) (r)
#define SHUNT_BE32_FROM_RAW(r) (r)
#define SHUNT_MAP_TYPE(type, size) _Static_assert(sizeof(type) == (size), #type " changed its size")

#endif

/* Reads a struct as 64-bit words, by either compiler, without breaking aliasing rules. */
typedef __u64 __attribute__((may_alias)) shunt_word;

#define SHUNT_LAYOUT_VERSION 15 /* of everything under maps/: a daemon adopts only pinned maps of its own version */

#define SHUNT_MAX_PORTS 1024      /* datapath ports of an instance; port 0 means none */
#define SHUNT_MAX_QUEUES 16       /* receive queues of a port that get an AF_XDP socket */
#define SHUNT_IFINDEX_SLOTS 8192  /* port_by_ifindex: a power of two, far above the ports */
#define SHUNT_IFINDEX_PROBES 8    /* slots tried for an ifindex */
#define SHUNT_MAX_MASKS 1024      /* distinct megaflow masks of an instance */
#define SHUNT_PORT_MASKS 16       /* megaflow look-ups a packet at most: masks listed for one port */
#define SHUNT_MAX_METERS 4096      /* meters of an instance; slot 0 is none */
#define SHUNT_METER_BANDS 8        /* bands of a meter */
#define SHUNT_MAX_ACTIONS 16      /* actions of a cached flow; longer lists run in userspace */
#define SHUNT_MAX_GROUPS 4096     /* output groups (sets of ports that get the same frame) */
#define SHUNT_GROUP_PORTS 1024    /* ports of one output group */
#define SHUNT_BUCKET_ENTRIES 7    /* flow index: entries of a bucket, which is one cache line */
#define SHUNT_HINTS 8             /* exact-match level: hints of a bucket, one cache line */
#define SHUNT_HINT_BUCKETS 16384  /* exact-match level: buckets, a power of two */
#define SHUNT_ORDER_BUCKETS 16384 /* upcall_order: buckets, a power of two */

#define SHUNT_MIN_FRAME 60 /* bytes on output, without FCS (IEEE 802.3: 64 with it) */

#endif
