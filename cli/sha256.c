/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 as FIPS 180-4 has it. It hashes a fingerprint that is too long to be kept, once in a run:
 * what it takes does not matter, and nothing of it is secret.
 */
#include "sha256.h"

#include <string.h>

#define BLOCK 64

typedef struct {
    uint32_t state[8];
    uint64_t total;
    uint8_t block[BLOCK];
    size_t used;
} hash;

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
}

static void expand(const uint8_t block[BLOCK], uint32_t words[64])
{
    for (int i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = words[i - 15];
        uint32_t b = words[i - 2];
        words[i] = words[i - 16] + words[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
                   (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
}

static void take_block(uint32_t state[8], const uint8_t block[BLOCK])
{
    uint32_t words[64];
    uint32_t s[8];
    expand(block, words);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t high = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t low = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t one = s[7] + high + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + words[i];
        uint32_t two = low + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void take(hash *at, const uint8_t *data, size_t len)
{
    at->total += len;
    for (size_t i = 0; i < len; i++) {
        at->block[at->used++] = data[i];
        if (at->used < BLOCK)
            continue;
        take_block(at->state, at->block);
        at->used = 0;
    }
}

static void put_number(uint64_t number, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
}

/* A bit, zeros up to the last 8 bytes of a block, and the length in bits. */
static void finish(hash *at)
{
    static const uint8_t padding[BLOCK] = {0x80};
    uint8_t bits[8];
    put_number(at->total * 8, bits);
    take(at, padding, at->used < BLOCK - 8 ? BLOCK - 8 - at->used : 2 * BLOCK - 8 - at->used);
    take(at, bits, sizeof bits);
}

void cli_sha256(const idem_bytes *pieces, size_t count, uint8_t digest[CLI_SHA256_SIZE])
{
    hash at = {.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                         0x1f83d9ab, 0x5be0cd19}};
    for (size_t i = 0; i < count; i++)
        take(&at, pieces[i].data, pieces[i].len);
    finish(&at);
    for (int i = 0; i < CLI_SHA256_SIZE; i++)
        digest[i] = (uint8_t)(at.state[i / 4] >> (24 - 8 * (i % 4)));
}

void cli_sha256_fingerprint(idem_bytes part, uint8_t digest[CLI_SHA256_SIZE])
{
    uint8_t numbers[16]; /* how many parts there are, and the length of the only one */
    put_number(1, numbers);
    put_number(part.len, numbers + 8);
    const idem_bytes pieces[] = {{numbers, sizeof numbers}, part};
    cli_sha256(pieces, 2, digest);
}
