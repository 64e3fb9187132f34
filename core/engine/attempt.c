/* SPDX-License-Identifier: MIT */
/*
 * Repeating what concerns a backend as a whole, by the rules that call.c has for operations: only
 * what may succeed later, after a pause, until the deadline; and what may have been changed by an
 * earlier try is said to be uncertain, whatever the last one says.
 */
#include "attempt.h"

#include "clock.h"
#include "call.h"
#include "error.h"
#include "store.h"

static void tell_repeat(idem_store *store, const idem_error *why)
{
    idem_event event = {.kind = IDEM_EVENT_RETRY, .code = why->code, .message = why->message};
    idem__stats_repeat(store, NULL, why->code);
    idem__stats_tell(store, NULL, event);
}

static bool is_transient(int rc)
{
    return rc == IDEM_ERR_UNCERTAIN || rc == IDEM_ERR_UNAVAILABLE;
}

/* The code that the caller gets if there is no further try. */
static int code_of(int rc, bool doubt)
{
    int code = idem__error_known(rc & ~IDEM_PERMANENT);
    if (!is_transient(code))
        return code;
    return doubt ? IDEM_ERR_UNCERTAIN : IDEM_ERR_UNAVAILABLE;
}

int idem__repeat(idem_store *store, const idem__attempt *attempt, uint64_t deadline_ms,
                 idem_error *error)
{
    uint64_t too_late_ms = idem__call_too_late_ms(store->timeout_ms);
    uint64_t pause_ms = 0;
    bool doubt = false;
    idem_error last;
    for (;;) {
        idem__error_clear(&last);
        int rc = attempt->once(store, attempt->user, deadline_ms, &last);
        if (rc == IDEM_OK)
            return rc;
        doubt = doubt || ((rc & ~IDEM_PERMANENT) == IDEM_ERR_UNCERTAIN && attempt->changes);
        int code = code_of(rc, doubt);
        (void)idem_error_set(&last, code, "%s", idem_strerror(code));
        last.code = code;
        uint64_t now = idem_monotonic_ms();
        if (!is_transient(rc) || now + too_late_ms > deadline_ms)
            return idem__error_copy(error, &last);
        tell_repeat(store, &last);
        idem__clock_sleep_until(idem__call_repeat_at(&pause_ms, now, deadline_ms));
        if (idem__call_woke_late(too_late_ms, idem_monotonic_ms(), deadline_ms))
            return idem__error_copy(error, &last);
    }
}
