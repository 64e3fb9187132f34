/* SPDX-License-Identifier: MIT */
/*
 * Threads that do the same thing over and over, and how long each time takes. What they do is a
 * parameter: a store is measured with it, and so is what a store is compared with.
 */
#ifndef IDEM_CLI_LOAD_H
#define IDEM_CLI_LOAD_H

#include "histogram.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    unsigned threads;
    uint64_t ops;         /**< all threads together; 0: until the duration is over */
    uint64_t duration_ms; /**< 0: until all ops are done */
    uint64_t rate;        /**< ops per second, all threads together; 0: as fast as they go */
    size_t batch;         /**< how many ops one step has */
} cli_load_plan;

typedef struct {
    /** Prepares a thread. @return what its steps are given; NULL: it can't be, and why was said */
    void *(*start)(void *user, unsigned thread);
    /** Does `count` ops, of which the first has this number in its thread.
     *  @return false: it went wrong, and why was said */
    bool (*step)(void *worker, uint64_t first, size_t count);
    void (*end)(void *worker);
    /** Is told from time to time how far it is; may be NULL. */
    void (*progress)(void *user, double seconds, uint64_t ops);
    void *user;
} cli_load_work;

typedef struct {
    uint64_t ops;
    double seconds;
    cli_histogram latency; /**< of each step, in nanoseconds; at a given rate from when it was due */
} cli_load_result;

/** Runs a plan. @return false: something went wrong, and why was said */
bool cli_load_run(const cli_load_plan *plan, const cli_load_work *work, cli_load_result *result);

#endif
