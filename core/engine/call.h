/* SPDX-License-Identifier: MIT */
/*
 * A call on its way: this is where time passes. One step takes in what an operation has brought and
 * says what is next: to send another one, to wait until a point in time, or that the call is done.
 * Blocking calls, submitted ones and renewals all go by it.
 */
#ifndef IDEM_CORE_CALL_H
#define IDEM_CORE_CALL_H

#include "protocol.h"

typedef enum {
    IDEM__CALL_SEND = 1, /**< its operation is to be sent */
    IDEM__CALL_WAIT,     /**< until `until_ms`; then idem__call_resume() */
    IDEM__CALL_DONE
} idem__call_next;

/** With less time left than that, what has such a timeout is not repeated. */
uint64_t idem__call_too_late_ms(uint64_t timeout_ms);

/** True if a repeat comes too late to be tried, as on a busy machine: the error that is known says
 *  more than a try that is cut off. @param too_late_ms  as above, of its timeout */
bool idem__call_woke_late(uint64_t too_late_ms, uint64_t now, uint64_t deadline_ms);

/** For so long a connection may owe an answer to a call of such a timeout, without a single byte,
 *  before it is given up. A server may be held up for a moment, and one that waits for its replicas
 *  says nothing meanwhile. */
uint64_t idem__call_silence_ms(uint64_t timeout_ms);

/** Gives a call so much time from `now` on, a point in idem_monotonic_ms(). */
void idem__call_set_time(idem__call *call, uint64_t now, uint64_t timeout_ms);

/**
 * Starts calls and takes them together until each is done, repeating what may succeed later, until
 * its deadline. `done` of each is called as soon as it is.
 * @param count  1 to IDEM_BATCH_MAX
 */
void idem__call_run(idem_store *store, idem__call *const *calls, size_t count);

/* ------------------------------------------- what that is made of, for those that may not sleep */

/** Sends the operations of calls, each stamped anew, and fills in their lower halves.
 *  @param count  1 to IDEM_BATCH_MAX */
void idem__call_send(idem_store *store, idem__call *const *calls, size_t count);

/** Gives each operation that writes a version that was never used before. Without random bits these
 *  have failed then. @param count  1 to IDEM_BATCH_MAX */
void idem__call_stamp(const idem_store *store, idem__call *const *calls, size_t count,
                      uint64_t deadline_ms);

/** Takes in the lower half of the call's operation. */
idem__call_next idem__call_step(idem_store *store, idem__call *call);

/** At `until_ms`.
 *  @param crowded  a look at a key in progress is put off: many wait to be sent
 *  @return SEND; WAIT: the look was put off, or another caller has looked at the key just now; or
 *          DONE: there is no time for another look */
idem__call_next idem__call_resume(idem_store *store, idem__call *call, bool crowded);

/** Ends a call whose operation is not under way, by IDEM_ERR_UNAVAILABLE, or IDEM_ERR_UNCERTAIN if
 *  an earlier one of it may have changed something. */
void idem__call_end(idem_store *store, idem__call *call, const char *why);

/** The same because somebody wants it: the error of an earlier try is not the answer. */
void idem__call_cancel(idem_store *store, idem__call *call, const char *why);

/** The earliest deadline of some calls. */
uint64_t idem__call_earliest(idem__call *const *calls, size_t count);

/** Tells the store's hook that a call has put back a record that the store had lost. */
void idem__call_tell_reinstated(idem_store *store, const idem__call *call);

/** When to repeat what has failed at `now`; 0: the deadline has come. Pauses double up to a limit,
 *  with jitter: callers that failed together shall not return together.
 *  @param pause_ms  the last one, 0 at first; receives the next */
uint64_t idem__call_repeat_at(uint64_t *pause_ms, uint64_t now, uint64_t deadline_ms);

#endif
