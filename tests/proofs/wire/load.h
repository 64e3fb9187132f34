/* SPDX-License-Identifier: MIT */
/*
 * Many threads that do what services do, and a ledger of what was acknowledged to them. What may
 * never happen is found while it runs: a key that is New twice, a response that is not the one that
 * was stored, a claim that is lost though nobody may take it over, a call beyond its deadline.
 */
#ifndef IDEM_TESTS_LOAD_H
#define IDEM_TESTS_LOAD_H

#include <server.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *url;    /* of the store, without a query; may hold a password */
    const char *prefix; /* of its keys: one load's keys are its own */
    unsigned threads;
    uint64_t timeout_ms;
    uint64_t seed;
    bool may_be_full; /* FULL is an error that passes */
    bool may_lose;    /* the server may be replaced by one that lacks what was acknowledged: only
                         deadlines and kinds of errors are looked at */
} load_plan;

typedef struct {
    unsigned long claims;    /* New, acknowledged */
    unsigned long completes; /* acknowledged */
    unsigned long replays;   /* responses given, each compared */
    unsigned long failures;  /* calls that ended with an error, to be made again */
    unsigned long full;      /* of these: FULL */
} load_counts;

typedef struct load load;

/** Starts the threads, on one store. */
load *load_start(const load_plan *plan);

/** Lets every thread end the call that it is in. */
void load_stop(load *self);

load_counts load_count(load *self);

/** NULL: nothing that may never happen has happened. */
const char *load_failure(load *self);

/** Compares the ledger of a load that was stopped with what a server holds: every acknowledged
 *  claim and response has to be there, byte for byte. @return false: see load_failure() */
bool load_is_held(load *self, const server *by);

void load_free(load *self);

#endif
