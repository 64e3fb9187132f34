/* SPDX-License-Identifier: MIT */
/**
 * @file idem/async.h
 * @brief The calls of idem.h for event loops: submitted now, answered by a callback later.
 *
 * An ::idem_async stands on a store. Calls are submitted to it and return at once; what they came
 * to is told by callbacks, which the caller's own loop runs: it polls one file descriptor for
 * reading and calls idem_async_dispatch() when it is readable. No adapter is needed for epoll,
 * io_uring, libuv (`uv_poll_t`), libevent (`event_new` with EV_READ) or poll().
 *
 * @code
 * static void begun(void *user, idem_outcome *outcome, const idem_error *error)
 * {
 *     if (error->code == IDEM_OK && outcome->kind == IDEM_NEW &&
 *         idem_async_complete(async, outcome->claim, charge(user), completed, user, NULL, NULL))
 *         give_up(user);
 *     idem_outcome_clear(outcome);
 * }
 *
 * if (idem_async_begin(async, IDEM_REQUEST(.key = key), begun, user, NULL, &error))
 *     return fail(&error);
 * @endcode
 *
 * @par Rules common to all submitted calls
 * - *One answer.* A submit that returned IDEM_OK is answered by its callback exactly once, also if
 *   it is cancelled, if the store is gone, or if the object is closed. One that failed is never
 *   answered. The callback is never run from within the submit.
 * - *Input.* It is checked at submit, as the blocking call would check it, and copied: the bytes of
 *   key, fingerprint, token, response and checkpoint need not live on.
 * - *Answers.* They are those of the blocking calls, with the same codes. Callbacks come in no
 *   particular order: two calls on one key that are under way together may be carried out in
 *   either.
 * - *Deadlines.* They count from the submit. A call is answered by its deadline, whatever other
 *   calls wait for; its callback then runs at the next dispatch.
 * - *Claims.* Of each claim one call may be under way, submitted or blocking; a second submit is
 *   IDEM_ERR_ARGUMENT. The object may be freed meanwhile (idem_claim_free(), idem_outcome_clear()):
 *   the call goes on without it, though no keepalive does.
 * - *Callbacks* run in idem_async_dispatch() and idem_async_close() alone, with no lock held. They
 *   may submit, cancel, dispatch, free claims, call the store in the blocking way, fork() and
 *   close. They must return: no exception, longjmp() or end of the thread.
 * - *Threads.* Any number may submit and cancel at once; one at a time dispatches.
 * - *Inside.* On Redis and PostgreSQL (Linux) nothing runs in another thread: idem_async_dispatch()
 *   sends and receives on a connection of the object's own, and never blocks. What is submitted
 *   moves on while the loop dispatches. Only to connect, a thread is started, which ends when the
 *   connection stands. On other stores, from the first submit on, a thread or two carry the calls
 *   out, all that wait together in one batch, and one more watches over their times. These threads
 *   have all signals blocked. A store that may be used by the calling thread alone
 *   (idem_sqlite_open_on()) is entered by idem_async_dispatch(), which then blocks as long as the
 *   store does. A hook of ::idem_options may not fork().
 * - *fork()* waits for what is at the store at that moment. The calls are the parent's: in the
 *   child none is under way, no callback is run for one that the parent submitted, and the claims
 *   are free for use. The object works on in both. The descriptor keeps its number in the child,
 *   but is another one there: what polls it (an epoll set, a ring) has to be made anew, as for any
 *   descriptor.
 */
#ifndef IDEM_ASYNC_H
#define IDEM_ASYNC_H

#include <idem/idem.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A queue of submitted calls on one store, and of their answers. */
typedef struct idem_async idem_async;

/** Names a submitted call, for idem_async_cancel(). Never 0, never used twice. */
typedef uint64_t idem_async_call;

/**
 * Is told how a begin ended.
 *
 * @param outcome  the caller's from here on: end it, or a copy of the struct, with
 *                 idem_outcome_clear(). Zeroed if the begin failed; clearing it is fine then.
 * @param error    why it failed, or code IDEM_OK; valid during the callback.
 */
typedef void (*idem_async_begin_fn)(void *user, idem_outcome *outcome, const idem_error *error);

/** Is told how a complete, renew, checkpoint or release ended: `error->code` is what the blocking
 *  call would have returned. `error` is valid during the callback. */
typedef void (*idem_async_change_fn)(void *user, const idem_error *error);

/**
 * Makes a queue on a store, which has to stay open until idem_async_close() has returned. A store
 * may have several; blocking calls go on beside them.
 *
 * @param[out] async  end it with idem_async_close().
 * @return IDEM_ERR_ARGUMENT; IDEM_ERR_UNAVAILABLE: the process has no file descriptor left;
 *         IDEM_ERR_NO_MEMORY.
 */
IDEM_API IDEM_MUST_CHECK int idem_async_open(idem_store *store, idem_async **async,
                                             idem_error *error);

/**
 * Ends a queue. Calls that are not at the store yet are cancelled; for those that are, it waits. It
 * gives every call that has no answer yet its answer: all callbacks have been run when it returns.
 * What they submit is refused. NULL is fine.
 *
 * Called from a callback, it only refuses further calls and cancels those that wait; the rest is
 * done, and the object ends, when the outermost idem_async_dispatch() is about to return.
 *
 * @par Blocking   until what is at the store has returned, by its deadline at the latest.
 * @par Threads    no other call on this object may be under way, or follow.
 */
IDEM_API void idem_async_close(idem_async *async);

/** The descriptor to poll: readable while callbacks can be run. It is the library's: never read it
 *  or close it. The same for all of the object's life. */
IDEM_API int idem_async_fd(const idem_async *async);

/**
 * Runs the callbacks of calls that are answered. It waits for none.
 *
 * @param limit  at most so many; 0: as many as are there at the start, so that callbacks that
 *               submit can't keep it busy for ever. If some are left, the descriptor stays
 *               readable.
 * @return how many callbacks were run.
 * @par Threads   one at a time; from within a callback too.
 * @par Blocking  no; on a store that may be used by the calling thread alone it carries the calls
 * out.
 */
IDEM_API size_t idem_async_dispatch(idem_async *async, size_t limit);

/** How many submitted calls have not been given their callback yet. */
IDEM_API size_t idem_async_pending(const idem_async *async);

/**
 * Cancels a call, which then goes no further.
 *
 * @return true: it is not at the store. Its callback is given IDEM_ERR_UNAVAILABLE, with nothing
 *         changed, or IDEM_ERR_UNCERTAIN if an earlier try may have made the change. False: it is
 *         too late. The call is at the store and its answer comes, though it is not repeated and no
 *         wait for its key is begun any more; or it is answered already.
 */
IDEM_API bool idem_async_cancel(idem_async *async, idem_async_call call);

/**
 * Submits an idem_begin().
 *
 * A call that waits for its key (`wait_ms`) holds up no other. A claim that comes too late
 * (after a cancel that was refused, or a close) is in the outcome like any other, and has to be
 * completed or released; otherwise the key is in progress until its lease ends.
 *
 * @param fn         is told the answer.
 * @param[out] call  for idem_async_cancel(); may be NULL. Written before the callback can run.
 * @return IDEM_ERR_ARGUMENT; IDEM_ERR_UNSUPPORTED: as idem_begin(); IDEM_ERR_UNAVAILABLE: the queue
 *         is being closed; IDEM_ERR_NO_MEMORY: for the call, or for the first call's threads. There
 *         will be no callback.
 * @par Blocking  no.
 */
IDEM_API IDEM_MUST_CHECK int idem_async_begin(idem_async *async, const idem_request *request,
                                              idem_async_begin_fn fn, void *user,
                                              idem_async_call *call, idem_error *error);

/** Submits an idem_complete(). @return as idem_async_begin(); IDEM_ERR_TOO_LARGE */
IDEM_API IDEM_MUST_CHECK int idem_async_complete(idem_async *async, idem_claim *claim,
                                                 idem_bytes response, idem_async_change_fn fn,
                                                 void *user, idem_async_call *call,
                                                 idem_error *error);

/** Submits an idem_complete_bytes(). @return as idem_async_complete() */
IDEM_API IDEM_MUST_CHECK int idem_async_complete_bytes(idem_async *async, idem_claim *claim,
                                                       idem_bytes response, idem_async_change_fn fn,
                                                       void *user, idem_async_call *call,
                                                       idem_error *error);

/** Submits an idem_renew(). @return as idem_async_begin() */
IDEM_API IDEM_MUST_CHECK int idem_async_renew(idem_async *async, idem_claim *claim,
                                              uint64_t lease_ms, idem_async_change_fn fn,
                                              void *user, idem_async_call *call, idem_error *error);

/** Submits an idem_checkpoint(). @return as idem_async_begin(); IDEM_ERR_TOO_LARGE */
IDEM_API IDEM_MUST_CHECK int idem_async_checkpoint(idem_async *async, idem_claim *claim,
                                                   idem_bytes json, idem_async_change_fn fn,
                                                   void *user, idem_async_call *call,
                                                   idem_error *error);

/** Submits an idem_release(). @return as idem_async_begin() */
IDEM_API IDEM_MUST_CHECK int idem_async_release(idem_async *async, idem_claim *claim,
                                                idem_async_change_fn fn, void *user,
                                                idem_async_call *call, idem_error *error);

#ifdef __cplusplus
} /* extern "C" */

/* For IDEM_REQUEST(), which is a value in C++. */
IDEM_MUST_CHECK inline int idem_async_begin(idem_async *async, const idem_request &request,
                                            idem_async_begin_fn fn, void *user,
                                            idem_async_call *call, idem_error *error)
{
    return idem_async_begin(async, &request, fn, user, call, error);
}
#endif

#endif
