/* SPDX-License-Identifier: MIT */
/* Drives calls of the protocol to their end: this is where time passes. */
#ifndef IDEM_CORE_CALL_H
#define IDEM_CORE_CALL_H

#include "protocol.h"

/** Makes `call` blank but for what is common to all kinds. */
void idem__call_init(idem__call *call, idem__call_kind kind, idem_bytes key);

/** With less time left than that, what has such a timeout is not repeated. */
uint64_t idem__call_too_late_ms(uint64_t timeout_ms);

/** Gives a call so much time from `now` on, a point in idem_monotonic_ms(). */
void idem__call_set_time(idem__call *call, uint64_t now, uint64_t timeout_ms);

/**
 * Starts calls and drives them together until each is done, repeating what may succeed later,
 * until its deadline.
 * @param count  1 to IDEM_BATCH_MAX
 */
void idem__call_run(idem_store *store, idem__call *const *calls, size_t count);

/** What idem__call_run() is made of, for those who may not sleep: sends the operations of calls that
 *  were started, each stamped anew, and fills in their lower halves.
 *  @param count  1 to IDEM_BATCH_MAX */
void idem__call_send(idem_store *store, idem__call *const *calls, size_t count);

/** Ends a call that is not done if its deadline leaves no time to go on. @param pause  it would
 *  have to pause first @return true if it has ended */
bool idem__call_end_late(const idem_store *store, idem__call *call, bool pause, uint64_t now);

/** Tells the store's hook that a call's operation has failed and is going to be repeated. */
void idem__call_tell_retry(idem_store *store, const idem__call *call);

/** Tells it that a call has put back a record that the store had lost. */
void idem__call_tell_reinstated(idem_store *store, const idem__call *call);

/** A pause that doubles up to a limit, with jitter: callers that failed together shall not return
 *  together. @param pause_ms  the last one, 0 at first; receives the next */
uint64_t idem__call_backoff(uint64_t *pause_ms, uint64_t limit_ms);

/** When to repeat what has failed at `now`; 0: the deadline has come.
 *  @param pause_ms  as for idem__call_backoff() */
uint64_t idem__call_repeat_at(uint64_t *pause_ms, uint64_t now, uint64_t deadline_ms);

#endif
