/* SPDX-License-Identifier: MIT */
/* A begin in three parts: what the caller asked, the call, the outcome. */
#ifndef IDEM_CORE_BEGIN_H
#define IDEM_CORE_BEGIN_H

#include "protocol.h"

/** A begin under way. It may be moved before it is driven; end it with idem__begin_clear(). */
typedef struct {
    idem_request request; /* as it was read; its bytes are the caller's */
    idem__call call;
    idem_claim *claim; /* for the claim, should it be made; not held yet. The key is in it */
} idem__begin;

/** Checks a request and makes a call of it, whose deadline counts from now.
 *  @return as idem_begin(), for input that is not valid; nothing has to be cleared then */
int idem__begin_make(idem_store *store, const idem_request *request, idem__begin *begin,
                     idem_error *error);

/** The same for one of many that are asked for at the same time. @param now  idem_monotonic_ms() */
int idem__begin_make_at(idem_store *store, const idem_request *request, uint64_t now,
                        idem__begin *begin, idem_error *error);

/** Moves the call's answer into the caller's outcome. @return as idem_begin() */
int idem__begin_report(idem_store *store, idem__begin *begin, idem_outcome *outcome,
                       idem_error *error);

void idem__begin_clear(idem__begin *begin);

#endif
