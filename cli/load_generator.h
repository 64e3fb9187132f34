/* SPDX-License-Identifier: MIT */
/*
 * Threads that do the same thing over and over, and how long each time takes. What they do is a
 * parameter: a store is measured with it, prepared for that, and tidied up afterwards.
 */
#ifndef IDEM_CLI_LOAD_H
#define IDEM_CLI_LOAD_H

#include "histogram.h"

#include <stdbool.h>
#include <stddef.h>

/** How much is to be done. With neither ops nor a duration it goes on until a signal comes. */
typedef struct {
    unsigned threads;
    size_t batch;          /**< how many ops one step has */
    uint64_t ops;          /**< all threads together; 0: no limit */
    uint64_t duration_ms;  /**< 0: no limit */
    uint64_t warmup_ms;    /**< so long before that, nothing is counted */
    uint64_t rate;         /**< ops per second, all threads together; 0: as fast as they go */
    unsigned failures_max; /**< the run is given up after so many failed steps of a thread in a
                                row, if nobody else has got anything done meanwhile */
} cli_load_plan;

/** What is done. */
typedef struct {
    /** Prepares a thread. @return what its steps are given; NULL: no memory */
    void *(*start)(void *user, unsigned thread);
    /** Does `count` ops, of which the first has this number in its thread.
     *  @return how many of them succeeded */
    size_t (*step)(void *worker, uint64_t first, size_t count);
    /** Ends what `start` has made, when all threads have ended. */
    void (*end)(void *worker);
    /** Is told from time to time how far it is; may be NULL. */
    void (*progress)(void *user, double seconds, uint64_t ops);
    void *user;
} cli_load_work;

/** What came of it, warm-up apart. */
typedef struct {
    uint64_t ops; /**< that succeeded */
    double seconds;
    int signal;   /**< the one that ended it early; 0: none */
    bool gave_up; /**< nothing succeeded any more */
    /** In nanoseconds, of the steps in which an op succeeded. At a given rate a step counts from
     *  when it was due, whether the step before it had ended by then or not. */
    cli_histogram latency;
} cli_load_result;

/** Runs a plan. Signals have to be caught (cli_signals_catch()): the first that asks to end ends
 *  the run when the steps under way have, a second one the process.
 *  @return CLI_OK, or the exit code after saying why it could not be run */
int cli_load_run(const cli_load_plan *plan, const cli_load_work *work, cli_load_result *result);

#endif
