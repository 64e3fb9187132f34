/* SPDX-License-Identifier: MIT */
/*
 * A worker's desk: the store, its history and the ledger. Every call is written down before it is
 * made and when it is answered, each line with a single write() to a file that only grows, so that
 * whenever the process is killed, what it did stands there.
 */
#ifndef IDEM_TESTS_DESK_H
#define IDEM_TESTS_DESK_H

#include "broken.h"

#define DESK_TEXT_SIZE 256

typedef struct {
    idem_store *store;
    const ways *ways;
    int history;
    int ledger;
    unsigned process;
} desk;

/** One caller: a token, on its key. */
typedef struct {
    char key[48];
    uint8_t token[IDEM_TOKEN_SIZE];
    char token_text[2 * IDEM_TOKEN_SIZE + 1];
    uint64_t lease_ms;
    uint64_t flags;
} caller;

/** Opens the store and the files; the process ends with a message if it can't. */
void desk_open(desk *self, const char *folder, const char *url, const ways *way, unsigned process);

/** Asks the store. @return false if it gave an error */
bool desk_begin(desk *self, const caller *by, uint64_t wait_ms, idem_outcome *outcome);

/* Calls on a claim. They return what the library does. */
int desk_complete(desk *self, const caller *by, idem_claim *claim, const char *response);
int desk_renew(desk *self, const caller *by, idem_claim *claim, uint64_t lease_ms);
int desk_checkpoint(desk *self, const caller *by, idem_claim *claim, const char *text);
int desk_release(desk *self, const caller *by, idem_claim *claim);

/** Books the work of a claim. */
void desk_effect(desk *self, const caller *by, unsigned attempt);

#endif
