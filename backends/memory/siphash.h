/* SPDX-License-Identifier: MIT */
/* SipHash-1-3: a keyed hash of bytes that come from strangers. */
#ifndef IDEM_MEMORY_SIPHASH_H
#define IDEM_MEMORY_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/** The secret. With it, keys that collide can be made. */
typedef struct {
    uint64_t k0;
    uint64_t k1;
} idem__siphash_key;

/** The hash of `len` bytes, the same on every machine. */
uint64_t idem__siphash_13(const idem__siphash_key *key, const void *data, size_t len);

#endif
