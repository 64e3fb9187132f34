/* SPDX-License-Identifier: MIT */
/* What the threads of `idem bench` do to the store: begin keys of their own, complete them, forget
   them; and which of it failed. */
#ifndef IDEM_CLI_BENCH_OPS_H
#define IDEM_CLI_BENCH_OPS_H

#include "load_generator.h"
#include "options.h"

/** Keys look like `idem-bench:1a2b3c4d:0123456789abcdef`, and are filled up to their size. */
#define CLI_BENCH_PREFIX   "idem-bench:"
#define CLI_BENCH_KEY_SIZE 36u

/** One more than the highest error code. Number 0 are outcomes that should not have been. */
#define CLI_BENCH_KINDS (IDEM_ERR_INTERNAL + 1u)

/** How ops failed, by error code. */
typedef struct {
    uint64_t counts[CLI_BENCH_KINDS];
    char messages[CLI_BENCH_KINDS][sizeof((idem_error *)0)->message]; /**< the first of each */
} cli_bench_failures;

/** A run on a store. The keys of a thread are numbered from 0. */
typedef struct {
    idem_store *store;
    cli_bench_mode mode;
    size_t key_size; /**< CLI_BENCH_KEY_SIZE at least */
    uint64_t keys;   /**< to replay; the first thread's */
    uint64_t ttl_ms; /**< of all records */
    idem_bytes response;
    uint32_t number; /**< random, so that no two runs have a key in common */
    bool progress;   /**< to be shown on the terminal */
    uint64_t *made;  /**< how many keys each thread may have made; as long as it has threads */
    unsigned threads;
    size_t batch;
    cli_bench_failures failures;
    idem_error clean_error; /**< why not all could be forgotten */
} cli_bench_run;

/* Each runs its ops, as cli_load_run() does. */

/** Completes the keys that will be replayed. */
int cli_bench_prepare(cli_bench_run *run, cli_load_result *result);
/** The ops of the run's mode, as the plan says. */
int cli_bench_measure(cli_bench_run *run, const cli_load_plan *plan, cli_load_result *result);
/** Forgets all keys that were made. The first failure ends it. */
int cli_bench_clean(cli_bench_run *run, cli_load_result *result);

/** How many keys may have been made. */
uint64_t cli_bench_made(const cli_bench_run *run);

#endif
