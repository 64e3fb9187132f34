/* SPDX-License-Identifier: MIT */
/*
 * A begin that no signal cuts in two. A process that died between the store's answer and its own
 * next step would leave the key claimed for its lease, though nobody is at work.
 */
#include "begin.h"

#include "signals.h"

#include <errno.h>
#include <stdio.h>

#define ALONE_MS   1000 /* a store that has not answered by then may not answer at all */
#define WAITING_MS 300  /* the begin is most likely between two looks at somebody else's key */

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

int cli_begin_deferring(idem_store *store, const idem_request *request, idem_outcome *outcome,
                        idem_error *error)
{
    if (cli_signals_defer(request->wait_ms ? WAITING_MS : ALONE_MS))
        return idem_begin(store, request, outcome, error);
    refuse(outcome, error, errno);
    return IDEM_ERR_INTERNAL;
}
