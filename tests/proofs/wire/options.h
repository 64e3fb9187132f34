/* SPDX-License-Identifier: MIT */
/* What the programs of this folder take: how long, which seed, every how many positions. */
#ifndef IDEM_TESTS_WIRE_OPTIONS_H
#define IDEM_TESTS_WIRE_OPTIONS_H

#include <idem/backend.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    unsigned seconds; /* for each test that runs for a time */
    unsigned stride;  /* every so many positions; 1: all */
    uint64_t seed;
} test_options;

/** Reads `--seconds N`, `--stride N` and `--seed N`; ends the program at anything else. */
static inline test_options read_options(int count, char **words, test_options options)
{
    options.seed = options.seed ? options.seed : (uint64_t)time(NULL);
    for (int i = 1; i < count; i += 2) {
        uint64_t number = i + 1 < count ? strtoull(words[i + 1], NULL, 10) : 0;
        if (number > 0 && strcmp(words[i], "--seconds") == 0) {
            options.seconds = (unsigned)number;
        } else if (number > 0 && strcmp(words[i], "--stride") == 0) {
            options.stride = (unsigned)number;
        } else if (number > 0 && strcmp(words[i], "--seed") == 0) {
            options.seed = number;
        } else {
            (void)fprintf(stderr, "usage: %s [--seconds N] [--stride N] [--seed N]\n", words[0]);
            exit(EXIT_FAILURE);
        }
    }
    printf("%s: seed %llu\n", strrchr(words[0], '/') ? strrchr(words[0], '/') + 1 : words[0],
           (unsigned long long)options.seed);
    return options;
}

/** Whether a test that runs for a time has not come to its end: that is a minute later at most if it has
 *  not seen enough yet, since others may load the machine. */
static inline bool goes_on(uint64_t until_ms, bool enough)
{
    uint64_t now_ms = idem_monotonic_ms();
    return now_ms < until_ms || (!enough && now_ms < until_ms + 60000);
}

/** A number below a limit, out of the seed. */
static inline long draw_below(uint64_t *random, long limit)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (long)((*random >> 33) % (uint64_t)limit);
}

#endif
