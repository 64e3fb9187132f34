/* SPDX-License-Identifier: MIT */
/* ChaCha8: many random bytes out of 32. */
#ifndef IDEM_CORE_CHACHA_H
#define IDEM_CORE_CHACHA_H

#include <stddef.h>
#include <stdint.h>

#define IDEM__CHACHA_SEED_SIZE 32u
/** Four blocks of the cipher's key stream, interleaved: the first words of all four, then their
 *  second words, and so on. */
#define IDEM__CHACHA_GROUP_SIZE 256u

/** Fills a buffer with the key stream of a key, from block 0 on, the nonce being zero.
 *  @param count  how many groups */
void idem__chacha_expand(const uint8_t seed[IDEM__CHACHA_SEED_SIZE], uint8_t *out, size_t count);

#endif
