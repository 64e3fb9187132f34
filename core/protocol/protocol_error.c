/* SPDX-License-Identifier: MIT */
/*
 * The messages of the state machine. They say what is there and what to do about it; never a token
 * or a response.
 */
#include "protocol_error.h"

#include "record.h"

int idem__protocol_error_not_held(idem__call *call)
{
    char quoted[IDEM_QUOTE_SIZE];
    (void)idem_quote(call->key, quoted);
    if (!call->op.has_found)
        return idem_error_set(&call->error, IDEM_ERR_NOT_FOUND,
                              "there is no record of %s: it was released or forgotten, or its "
                              "retention ended; begin again",
                              quoted);
    bool completed = call->seen.status == IDEM_STATUS_COMPLETED;
    bool mine = memcmp(call->token, call->seen.token, IDEM_TOKEN_SIZE) == 0;
    return idem_error_set(&call->error, IDEM_ERR_LOST, "the claim on %s is lost: %s", quoted,
                          !completed ? "another caller holds it; stop this work"
                          : mine     ? "it was completed; begin again to read the response"
                                 : "another caller completed it; begin again to read the response");
}

int idem__protocol_error_not_abandoned(idem__call *call)
{
    char quoted[IDEM_QUOTE_SIZE];
    const idem_record *seen = &call->seen;
    (void)idem_quote(call->key, quoted);
    if (seen->status == IDEM_STATUS_COMPLETED)
        return idem_error_set(&call->error, IDEM_ERR_LOST,
                              "%s is completed, so there is nothing to decide about; begin it to "
                              "read its response",
                              quoted);
    if (idem__record_is_tokenless(seen))
        return idem_error_set(&call->error, IDEM_ERR_LOST,
                              "%s is in progress under a record of the older format, which has no "
                              "lease: it ends with its retention, in %llu ms",
                              quoted, (unsigned long long)idem_record_retention_left_ms(seen));
    if (seen->flags & IDEM_RECORD_UNDATED)
        return idem_error_set(&call->error, IDEM_ERR_LOST,
                              "%s is in progress, and somebody has changed how long its key lives, "
                              "so that its lease never ends: make sure that its owner is gone, and "
                              "settle it (idem settle), or forget it",
                              quoted);
    return idem_error_set(
        &call->error, IDEM_ERR_LOST,
        "%s has a live owner, whose lease is good for another %llu ms unless it is "
        "renewed; wait, or stop the owner",
        quoted, (unsigned long long)idem_record_lease_left_ms(seen));
}

int idem__protocol_error_not_found(idem__call *call)
{
    char quoted[IDEM_QUOTE_SIZE];
    return idem_error_set(&call->error, IDEM_ERR_NOT_FOUND, "there is no record of %s",
                          idem_quote(call->key, quoted));
}

void idem__protocol_error_refused(idem__call *call)
{
    char quoted[IDEM_QUOTE_SIZE];
    idem_op_fail(&call->op, true, IDEM_ERR_CORRUPT,
                 "the record of %s can be read but not changed, so another program has written it; "
                 "it was left as it is: look whose it is; idem_forget_any() or idem forget --force "
                 "removes it",
                 idem_quote(call->key, quoted));
}

void idem__protocol_error_restless(idem__call *call)
{
    char quoted[IDEM_QUOTE_SIZE];
    idem_op_fail(&call->op, false, IDEM_ERR_UNAVAILABLE,
                 "the record of %s was changed by others again and again; call again",
                 idem_quote(call->key, quoted));
}
