/* SPDX-License-Identifier: MIT */
/*
 * Values below 2 * 2^BITS have a bucket each. Above, a bucket is named by how many low bits are
 * dropped, and by the bits that are left, the first of which is always 1. So each row of 2^BITS
 * buckets begins where the last one ended.
 */
#include "histogram.h"

#define ROW (UINT64_C(1) << CLI_HISTOGRAM_BITS)

/* Of a value that is not 0. */
static unsigned bits_of(uint64_t value)
{
    unsigned bits = 1;
    for (unsigned half = 32; half > 0; half /= 2) {
        if (value >> half) {
            value >>= half;
            bits += half;
        }
    }
    return bits;
}

static uint64_t bucket_of(uint64_t value)
{
    if (value < 2 * ROW)
        return value;
    unsigned dropped = bits_of(value) - CLI_HISTOGRAM_BITS - 1;
    return dropped * ROW + (value >> dropped);
}

/* The largest value in a bucket. */
static uint64_t top_of(uint64_t bucket)
{
    if (bucket < 2 * ROW)
        return bucket;
    uint64_t dropped = bucket / ROW - 1;
    uint64_t kept = bucket - dropped * ROW;
    return (kept << dropped) + ((UINT64_C(1) << dropped) - 1);
}

void cli_histogram_add(cli_histogram *histogram, uint64_t value)
{
    histogram->total++;
    histogram->counts[bucket_of(value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

void cli_histogram_merge(cli_histogram *histogram, const cli_histogram *other)
{
    histogram->total += other->total;
    for (unsigned i = 0; i < CLI_HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += other->counts[i];
    if (other->max > histogram->max)
        histogram->max = other->max;
}

uint64_t cli_histogram_at(const cli_histogram *histogram, unsigned thousandths)
{
    uint64_t passed = 0;
    uint64_t wanted = (histogram->total / 1000) * thousandths +
                      ((histogram->total % 1000) * thousandths + 999) / 1000;
    for (unsigned i = 0; i < CLI_HISTOGRAM_BUCKETS; i++) {
        passed += histogram->counts[i];
        if (passed > 0 && passed >= wanted)
            return top_of(i) < histogram->max ? top_of(i) : histogram->max;
    }
    return histogram->max;
}
