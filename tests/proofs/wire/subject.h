/* SPDX-License-Identifier: MIT */
/*
 * One thread's own relay, stores and key, and every call of the library on it: how the key has to
 * be before, the call, and what holds afterwards, asked of the server itself.
 */
#ifndef IDEM_TESTS_SUBJECT_H
#define IDEM_TESTS_SUBJECT_H

#include "relay.h"

#include <idem/backend.h>

#include <hiredis/hiredis.h>

#include <stdatomic.h>
#include <stdio.h>

/** What a hasty store's calls may take. */
#define HASTY_MS UINT64_C(40)
/** The database of all subjects: not 0, so that a greeting has all its three parts. */
#define SUBJECT_DB 3

typedef struct {
    relay *relay;
    idem_store *store; /* patient */
    idem_store *hasty;
    redisContext *truth; /* around the relay */
    int port;            /* the server's */
    unsigned number;     /* of this subject */
    unsigned serial;     /* of its keys */
    char key[48];
    uint8_t token[IDEM_TOKEN_SIZE]; /* who calls */
    uint8_t other[IDEM_TOKEN_SIZE]; /* somebody else */
    idem_claim *claim;              /* of `store` */
    idem_claim *hasty_claim;        /* the same, of `hasty` */
    idem_outcome out;
    idem_record got;
    redisReply *before; /* what the server held before the call */
    atomic_int retries;
    char failure[512]; /* empty: none */
} subject;

typedef struct {
    const char *name;
    bool (*prepare)(subject *self);
    int (*call)(subject *self, idem_store *store, idem_error *error);
    bool (*holds)(subject *self); /* after a call that was ok */
} operation;

#define OPERATIONS 11
extern const operation operations[OPERATIONS];

/** Makes a subject in front of a server. False: see `failure`. */
bool subject_open(subject *self, int port, unsigned number);
void subject_close(subject *self);

/** Takes a fresh key, brings it to where `op` begins, and remembers what the server holds. */
bool subject_prepare(subject *self, const operation *op);

/** Makes the hasty store ready for a call on the claim: each store has its own. */
bool subject_hurry(subject *self);

/** Lets go of what the last call gave, so that it can be made again. */
void subject_forget(subject *self);

/** True if the server holds the same as before the call, byte for byte. */
bool subject_unchanged(subject *self);

/** Where the key is in progress now: that nobody else is given it, and that its owner can complete
 *  it, whose response is then everybody's. */
bool subject_finish(subject *self);

/** Takes down the first failure. @return false */
bool subject_fail(subject *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
