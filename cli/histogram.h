/* SPDX-License-Identifier: MIT */
/*
 * A histogram of durations with a high dynamic range, after Gil Tene's HdrHistogram: each power of
 * two is divided into the same number of equal buckets. So whatever a value's size, from 1 to
 * UINT64_MAX, it is known to better than 1/128 (two significant digits and a half), in 59 KiB.
 * Each is filled by one thread; those of several threads are merged when they have ended.
 */
#ifndef IDEM_CLI_HISTOGRAM_H
#define IDEM_CLI_HISTOGRAM_H

#include <stdint.h>

#define CLI_HISTOGRAM_BITS    7u /* a power of two has 2^7 buckets */
#define CLI_HISTOGRAM_BUCKETS ((64u - CLI_HISTOGRAM_BITS + 1u) << CLI_HISTOGRAM_BITS)

/** All zero is an empty one. */
typedef struct {
    uint64_t total;
    uint64_t max; /**< exact */
    uint64_t counts[CLI_HISTOGRAM_BUCKETS];
} cli_histogram;

void cli_histogram_add(cli_histogram *histogram, uint64_t value);

/** Adds the values of another. */
void cli_histogram_merge(cli_histogram *histogram, const cli_histogram *other);

/** The smallest value that so many thousandths of all values do not exceed: 500 asks for the
 *  median, 999 for p99.9. At least the exact one, and less than 1/128 above it; 0 if there are no
 *  values. */
uint64_t cli_histogram_at(const cli_histogram *histogram, unsigned thousandths);

#endif
