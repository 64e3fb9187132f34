/* SPDX-License-Identifier: MIT */
/*
 * Compiled in front of every file of the conformance suite: what it calls in the blocking way goes
 * through a queue, a poll() on its descriptor, and a dispatch. Nothing else in the suite is
 * different.
 */
#ifndef IDEM_TESTS_ASYNC_THROUGH_H
#define IDEM_TESTS_ASYNC_THROUGH_H

#include <idem/idem.h>

int through_begin(idem_store *store, const idem_request *request, idem_outcome *outcome,
                  idem_error *error);
int through_complete(idem_store *store, idem_claim *claim, idem_bytes response, idem_error *error);
int through_complete_bytes(idem_store *store, idem_claim *claim, idem_bytes response,
                           idem_error *error);
int through_renew(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_error *error);
int through_checkpoint(idem_store *store, idem_claim *claim, idem_bytes json, idem_error *error);
int through_release(idem_store *store, idem_claim *claim, idem_error *error);

/** Closes a store, and its queue before it. */
void through_close(idem_store *store);

#define idem_begin          through_begin
#define idem_complete       through_complete
#define idem_complete_bytes through_complete_bytes
#define idem_renew          through_renew
#define idem_checkpoint     through_checkpoint
#define idem_release        through_release
#define idem_close          through_close

#endif
