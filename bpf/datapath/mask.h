/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A key under a mask: its hash, its packed words, comparison.
 *
 * Only the words that the mask keeps are touched, so a short mask costs little. The hash multiplies by a random odd
 * number and folds the upper half down, word by word, from a random seed: flows that collide cannot be computed from
 * outside. It starts from the seed and the mask's number, so that equal words under two masks do not meet in one
 * bucket.
 *
 * In BPF the key is part of a map value: the verifier allows a variable word number there, and not on the stack.
 */
#ifndef SHUNT_DATAPATH_MASK_H
#define SHUNT_DATAPATH_MASK_H

#include "bpf/datapath/compiler.h"
#include "maps/flow.h"
#include "maps/flow_key.h"

SHUNT_INLINE __u64 shunt_hash_begin(__u64 seed, __u32 mask_number) SHUNT_NOEXCEPT { return seed ^ mask_number; }

SHUNT_INLINE __u64 shunt_hash_step(__u64 hash, __u64 word, __u64 multiplier) SHUNT_NOEXCEPT {
  hash = (hash ^ word) * multiplier;
  return hash ^ hash >> 32;
}

/*
 * One more round: what only the last word's upper bits say (the end of an address) has not reached the lower half,
 * which picks the bucket, before it.
 */
SHUNT_INLINE __u64 shunt_hash_end(__u64 hash, __u64 multiplier) SHUNT_NOEXCEPT {
  return shunt_hash_step(hash, 0, multiplier);
}

/* The tag and the bucket take different halves of the hash; a tag is never 0. */
SHUNT_INLINE __u32 shunt_hash_tag(__u64 hash) SHUNT_NOEXCEPT { return (__u32)(hash >> 32) | 1; }
SHUNT_INLINE __u32 shunt_hash_bucket(__u64 hash, __u32 bucket_mask) SHUNT_NOEXCEPT { return (__u32)hash & bucket_mask; }

SHUNT_INLINE __u64 shunt_key_word(const struct shunt_flow_key* key, __u32 number) SHUNT_NOEXCEPT {
  return shunt_load64((const __u8*)key + 8 * (number & (SHUNT_KEY_WORDS - 1)));
}

/* Word i of the key packed under the mask. */
SHUNT_INLINE __u64 shunt_masked_word(const struct shunt_flow_key* key, const struct shunt_mask* mask,
                                     __u32 i) SHUNT_NOEXCEPT {
  i &= SHUNT_KEY_WORDS - 1;
  return shunt_key_word(key, mask->word[i]) & mask->bits[i];
}

SHUNT_INLINE __u64 shunt_hash_masked(const struct shunt_flow_key* key, const struct shunt_mask* mask, __u32 mask_number,
                                     __u64 seed, __u64 multiplier) SHUNT_NOEXCEPT {
  __u64 hash = shunt_hash_begin(seed, mask_number);
  __u32 count = mask->word_count;
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_KEY_WORDS; i++) {
    if (i >= count) break;
    hash = shunt_hash_step(hash, shunt_masked_word(key, mask, i), multiplier);
  }
  return shunt_hash_end(hash, multiplier);
}

/* Over the whole key: which upcall_order bucket a packet counts in. */
SHUNT_INLINE __u64 shunt_hash_key(const struct shunt_flow_key* key, __u64 seed, __u64 multiplier) SHUNT_NOEXCEPT {
  __u64 hash = shunt_hash_begin(seed, 0);
  __u32 i;

  for (i = 0; i < SHUNT_KEY_WORDS; i++) hash = shunt_hash_step(hash, shunt_key_word(key, i), multiplier);
  return shunt_hash_end(hash, multiplier);
}

/* True where the key under the mask is `packed`, of which mask->word_count words count. */
SHUNT_INLINE int shunt_packed_equal(const struct shunt_flow_key* key, const struct shunt_mask* mask,
                                    const __u64* packed) SHUNT_NOEXCEPT {
  __u32 count = mask->word_count;
  __u64 difference = 0;
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_KEY_WORDS; i++) {
    if (i >= count) break;
    difference |= shunt_masked_word(key, mask, i) ^ packed[i];
  }
  return difference == 0;
}

/* Packs the key under the mask; the words behind the last one become 0. Returns how many there are. */
SHUNT_INLINE __u32 shunt_pack_key(const struct shunt_flow_key* key, const struct shunt_mask* mask,
                                  __u64 packed[SHUNT_KEY_WORDS]) SHUNT_NOEXCEPT {
  __u32 count = mask->word_count;
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_KEY_WORDS; i++) packed[i] = i < count ? shunt_masked_word(key, mask, i) : 0;
  return count;
}

/* The key under the mask, as a key: what `megaflows` is asked for. */
SHUNT_INLINE void shunt_mask_key(const struct shunt_flow_key* key, const struct shunt_mask* mask,
                                 struct shunt_flow_key* masked) SHUNT_NOEXCEPT {
  __u32 count = mask->word_count;
  __u32 i;

  __builtin_memset(masked, 0, sizeof *masked);
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_KEY_WORDS; i++) {
    if (i >= count) break;
    shunt_store64((__u8*)masked + 8 * (mask->word[i] & (SHUNT_KEY_WORDS - 1)), shunt_masked_word(key, mask, i));
  }
}

/* Fills in a mask from its bits, laid out as a key: the words that have none are left out. */
SHUNT_INLINE void shunt_mask_from_bits(const struct shunt_flow_key* bits, struct shunt_mask* mask) SHUNT_NOEXCEPT {
  __u32 i;

  __builtin_memset(mask, 0, sizeof *mask);
  for (i = 0; i < SHUNT_KEY_WORDS; i++) {
    __u64 word = shunt_key_word(bits, i);

    if (word == 0) continue;
    mask->word[mask->word_count & (SHUNT_KEY_WORDS - 1)] = (__u8)i;
    mask->bits[mask->word_count & (SHUNT_KEY_WORDS - 1)] = word;
    mask->word_count++;
  }
}

#endif
