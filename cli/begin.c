/* SPDX-License-Identifier: MIT */
/*
 * A begin that no signal cuts in two. A process that died between the store's answer and its own
 * next step would leave the key claimed for its lease, though no work was begun.
 */
#include "begin.h"

#include "signals.h"

#include <errno.h>
#include <stdio.h>

#define AT_STORE_MS 2000 /* a store that has not answered by then may not answer at all */
#define WAITING_MS  300  /* between two looks at somebody else's key nothing is at the store */

int cli_give_back(idem_store *store, const idem_outcome *outcome, idem_error *error)
{
    return outcome->attempt == 1 ? idem_release(store, outcome->claim, error)
                                 : idem_renew(store, outcome->claim, 1, error);
}

static void refuse(idem_outcome *outcome, idem_error *error, int problem)
{
    memset(outcome, 0, sizeof *outcome);
    error->code = IDEM_ERR_INTERNAL;
    (void)snprintf(error->message, sizeof error->message, "signals can't be caught: %s",
                   cli_problem(problem));
}

/* To wait for a key comes second, so that a new key is never claimed within the shorter time. */
int cli_begin_deferring(idem_store *store, const idem_request *request, idem_outcome *outcome,
                        idem_error *error)
{
    idem_request at_once = *request;
    at_once.wait_ms = 0;
    if (!cli_signals_defer(AT_STORE_MS)) {
        refuse(outcome, error, errno);
        return IDEM_ERR_INTERNAL;
    }
    int rc = idem_begin(store, &at_once, outcome, error);
    if (rc || outcome->kind != IDEM_IN_PROGRESS || !request->wait_ms || cli_signals_deferred())
        return rc;
    idem_outcome_clear(outcome);
    (void)cli_signals_defer(WAITING_MS);
    return idem_begin(store, request, outcome, error);
}
