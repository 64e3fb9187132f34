/* SPDX-License-Identifier: MIT */
/*
 * How a worker reaches the store: as everybody does, or past the library's guards on purpose, so that
 * the checker can be seen to find it. Each way round makes of the store one with a well-known fault.
 */
#ifndef IDEM_TESTS_BROKEN_H
#define IDEM_TESTS_BROKEN_H

#include <idem/idem.h>

/** The calls on a store; `as` is the request that the claim was begun by. */
typedef struct {
    const char *name;
    int (*begin)(idem_store *store, const idem_request *as, idem_outcome *outcome,
                 idem_error *error);
    int (*complete)(idem_store *store, const idem_request *as, idem_claim *claim,
                    idem_bytes response, idem_error *error);
    int (*renew)(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_error *error);
    int (*release)(idem_store *store, const idem_request *as, idem_claim *claim, idem_error *error);
    bool two_stores; /* every other process has a store of its own and does not know */
    bool unclaimed;  /* works although the key is in progress elsewhere */
} ways;

/** By name; "" is the right way. NULL: there is none of this name. */
const ways *broken_find(const char *name);

#endif
