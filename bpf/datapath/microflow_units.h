/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the units of the exact-match cache (maps/flow.h) are made of: the hash of a key, and the check of what was
 * written for it.
 *
 * Of one form, keys that differ in one word have different hashes, and equal ones of different forms or ports do, too,
 * whatever seed and multiplier are.
 */
#ifndef SHUNT_DATAPATH_MICROFLOW_UNITS_H
#define SHUNT_DATAPATH_MICROFLOW_UNITS_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/mask.h"
#include "maps/flow.h"

/* How many units a key of this form has. */
SHUNT_INLINE __u32 shunt_microflow_units(__u32 form) SHUNT_NOEXCEPT {
  if (form & SHUNT_MICROFLOW_WIDE) return 4;
  return form & SHUNT_MICROFLOW_LONG ? 2 : 1;
}

/* A second multiplier, for sums whose terms do not wait for each other. */
SHUNT_INLINE __u64 shunt_microflow_other(__u64 multiplier) SHUNT_NOEXCEPT { return multiplier ^ 0x9e3779b97f4a7c14ULL; }

/* Of the second unit's words; 0 where these are. */
SHUNT_INLINE __u64 shunt_microflow_second_hash(__u64 word2, __u64 word3, __u64 multiplier) SHUNT_NOEXCEPT {
  __u64 hash = (word2 + word3 * shunt_microflow_other(multiplier)) * multiplier;

  return hash ^ hash >> 32;
}

/* Of the first unit's words and its in_port, and what the second ones' hash is. */
SHUNT_INLINE __u64 shunt_microflow_hash(__u64 word0, __u64 word1, __u32 in_port, __u64 second, __u64 seed,
                                        __u64 multiplier) SHUNT_NOEXCEPT {
  __u64 hash = (word0 ^ seed) * multiplier + (word1 + in_port) * shunt_microflow_other(multiplier) + second;

  return hash ^ hash >> 32;
}

/*
 * Of two addresses and the tags' word: a wide key's hash is the sum of this and the one above. Two chains that do not
 * wait for each other, each from a place of its own: what both have may be swapped.
 */
SHUNT_INLINE __u64 shunt_microflow_rest_hash(const __u64* src, const __u64* dst, __u64 tags, __u64 seed,
                                             __u64 multiplier) SHUNT_NOEXCEPT {
  __u64 one = shunt_hash_step(seed, src[0], multiplier);
  __u64 other = shunt_hash_step(~seed, dst[0], multiplier);

  one = shunt_hash_step(one, src[1], multiplier);
  other = shunt_hash_step(other, dst[1], multiplier);
  return shunt_hash_step(one + tags, other, multiplier);
}

/* shunt_microflow_unit.check. `verdict`: its word of slot, output and in_port; valid: shunt_port.microflows. */
SHUNT_INLINE __u64 shunt_microflow_check(__u64 hash, __u64 valid, __u64 verdict, __u64 multiplier) SHUNT_NOEXCEPT {
  return (hash ^ verdict) * multiplier ^ valid;
}

/* shunt_port.microflows when the key was written whose first unit this is; 0 or any number: none's. */
SHUNT_INLINE __u64 shunt_microflow_valid(const struct shunt_microflow_group* group, __u32 first, __u64 seed,
                                         __u64 multiplier) SHUNT_NOEXCEPT {
  const struct shunt_microflow_unit* unit = &group->unit[first & (SHUNT_MICROFLOW_UNITS - 1)];
  const struct shunt_microflow_unit* second = &group->unit[(first | 1) & (SHUNT_MICROFLOW_UNITS - 1)];
  __u32 in_port = unit->in_port, units = shunt_microflow_units(in_port);
  __u64 hash = 0;

  if (in_port == 0 || (first & (units - 1)) != 0) return 0;
  if (units > 1) hash = shunt_microflow_second_hash(second->key[0], second->key[1], multiplier);
  hash = shunt_microflow_hash(unit->key[0], unit->key[1], in_port, hash, seed, multiplier);
  if (units > 2)
    hash += shunt_microflow_rest_hash(group->unit[2].key, group->unit[3].key, shunt_load64(&second->slot), seed,
                                      multiplier);
  return shunt_microflow_check(hash, unit->check, shunt_load64(&unit->slot), multiplier);
}

#endif
