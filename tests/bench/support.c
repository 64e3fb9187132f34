/* SPDX-License-Identifier: MIT */
/*
 * Keys, random bits, the clock. Keys are cheap to make, since their making is measured with the
 * work: the two halves of a number, in hexadecimal, laid out as a UUID.
 */
#include "harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    _exit(EXIT_FAILURE); /* other callers are at work still */
}

void *bench_alloc(size_t size)
{
    void *memory = malloc(size);
    if (!memory)
        bench_fail("out of memory");
    return memory;
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Spreads the bits of a number over all of the result; no two numbers give the same. */
static uint64_t mix(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

uint64_t bench_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

void bench_hex(uint64_t number, char out[16])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 15; i >= 0; i--, number >>= 4)
        out[i] = digits[number & 15];
}

static bench_key layout(uint64_t high, uint64_t low)
{
    char digits[32];
    bench_key key;
    bench_hex(high, digits);
    bench_hex(low, digits + 16);
    memcpy(key.text, digits, 8);
    memcpy(key.text + 9, digits + 8, 4);
    memcpy(key.text + 14, digits + 12, 4);
    memcpy(key.text + 19, digits + 16, 4);
    memcpy(key.text + 24, digits + 20, 12);
    key.text[8] = key.text[13] = key.text[18] = key.text[23] = '-';
    return key;
}

bench_key bench_key_record(uint64_t seed, uint64_t index, uint64_t records)
{
    return layout(index * (UINT64_MAX / records), mix(seed ^ index));
}

bench_key bench_key_fresh(uint64_t seed, uint64_t number)
{
    uint64_t high = mix(seed ^ number);
    return layout(high, mix(high ^ ~seed));
}
