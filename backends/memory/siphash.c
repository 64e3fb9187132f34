/* SPDX-License-Identifier: MIT */
/*
 * SipHash with one compression round and three final rounds, after Aumasson and Bernstein. As a
 * keyed hash it spreads even keys that an adversary chose, as long as the secret stays one; with
 * these few rounds it costs little more than an unkeyed hash.
 */
#include "siphash.h"

#define FINAL_ROUNDS 3

typedef struct {
    uint64_t v0, v1, v2, v3;
} state;

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void mix(state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

/* Compilers make one load of this on a little-endian machine. */
static inline uint64_t load(const uint8_t *at)
{
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 |
           (uint64_t)at[7] << 56;
}

/* The last `len % 8` bytes as the low bytes of a word. */
static inline uint64_t load_rest(const uint8_t *data, size_t len)
{
    size_t rest_len = len % 8;
    uint64_t word = 0;
    if (rest_len == 0)
        return 0;
    if (len > 8)
        return load(data + len - 8) >> (64 - 8 * rest_len);
    for (size_t i = 0; i < rest_len; i++)
        word |= (uint64_t)data[i] << (8 * i);
    return word;
}

uint64_t idem__siphash_13(const idem__siphash_key *key, const void *data, size_t len)
{
    const uint8_t *at = data;
    state s = {
        .v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = key->k1 ^ UINT64_C(0x7465646279746573),
    };
    for (size_t i = 0; i < len / 8; i++)
        absorb(&s, load(at + 8 * i));
    absorb(&s, (uint64_t)len << 56 | load_rest(at, len));
    s.v2 ^= 0xff;
    for (int i = 0; i < FINAL_ROUNDS; i++)
        mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
