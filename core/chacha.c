/* SPDX-License-Identifier: MIT */
/*
 * ChaCha with 8 rounds, after Bernstein. Four blocks are computed side by side: each word of the
 * state is a vector of four, one for each block. The vectors leave as they are, since random bytes
 * are as good in any order.
 */
#include "chacha.h"

#include <string.h>

#define ROUNDS 8
#define WORDS  16

/* What gcc and clang make vector instructions of, whatever they are told to optimise. */
typedef uint32_t row __attribute__((vector_size(16)));

static inline row rotate(row x, int bits)
{
    return x << bits | x >> (32 - bits);
}

static inline void quarter_round(row *a, row *b, row *c, row *d)
{
    *a += *b;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

static void permute(row s[WORDS])
{
    for (int round = 0; round < ROUNDS; round += 2) {
        for (int i = 0; i < 4; i++)
            quarter_round(&s[i], &s[4 + i], &s[8 + i], &s[12 + i]);
        for (int i = 0; i < 4; i++)
            quarter_round(&s[i], &s[4 + (i + 1) % 4], &s[8 + (i + 2) % 4], &s[12 + (i + 3) % 4]);
    }
}

static void prepare(row s[WORDS], const uint8_t seed[IDEM__CHACHA_SEED_SIZE])
{
    static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    uint32_t key[IDEM__CHACHA_SEED_SIZE / sizeof(uint32_t)];
    memset(s, 0, WORDS * sizeof s[0]);
    memcpy(key, seed, sizeof key);
    for (int i = 0; i < 4; i++)
        s[i] += constants[i];
    for (int i = 0; i < 8; i++)
        s[4 + i] += key[i];
    s[12] = (row){0, 1, 2, 3};
    explicit_bzero(key, sizeof key);
}

void idem__chacha_expand(const uint8_t seed[IDEM__CHACHA_SEED_SIZE], uint8_t *out, size_t count)
{
    row start[WORDS];
    row s[WORDS];
    prepare(start, seed);
    for (; count > 0; count--, out += sizeof s) {
        memcpy(s, start, sizeof s);
        permute(s);
        for (int i = 0; i < WORDS; i++)
            s[i] += start[i];
        memcpy(out, s, sizeof s);
        start[12] += 4;
    }
    explicit_bzero(start, sizeof start);
}
