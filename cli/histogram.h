/* SPDX-License-Identifier: MIT */
/*
 * A histogram of durations with a high dynamic range: whatever a value's size, it is known to
 * better than one percent. The idea is Gil Tene's HdrHistogram: each power of two is divided into
 * the same number of equal buckets.
 */
#ifndef IDEM_CLI_HISTOGRAM_H
#define IDEM_CLI_HISTOGRAM_H

#include <stdint.h>

#define CLI_HISTOGRAM_BITS    7u /* a power of two has 2^7 buckets */
#define CLI_HISTOGRAM_BUCKETS ((64u - CLI_HISTOGRAM_BITS + 1u) << CLI_HISTOGRAM_BITS)

/** All zero is an empty one. */
typedef struct {
    uint64_t total;
    uint64_t max;
    uint64_t counts[CLI_HISTOGRAM_BUCKETS];
} cli_histogram;

void cli_histogram_add(cli_histogram *histogram, uint64_t value);

/** Adds the values of another. */
void cli_histogram_merge(cli_histogram *histogram, const cli_histogram *other);

/** The value that a share of all, such as 0.99, does not exceed; 0 if there are none. */
uint64_t cli_histogram_quantile(const cli_histogram *histogram, double share);

#endif
