/* SPDX-License-Identifier: MIT */
/*
 * Whether this thread holds a lock or a connection of the library. A signal handler may interrupt
 * it there and call fork(): bringing everything to rest would then wait for this very thread. Such
 * a fork passes without that, and its child can use no store any more: it may exec another program,
 * or end.
 */
#ifndef IDEM_CORE_INSIDE_H
#define IDEM_CORE_INSIDE_H

#include <idem/backend.h>

#include <pthread.h>
#include <stdatomic.h>

extern _Thread_local volatile unsigned idem__inside_depth;
extern atomic_bool idem__inside_orphan; /* this process is the child of such a fork */

/** Before a lock or a connection is taken, and after it was given back, by the same thread. */
static inline void idem__inside_enter(void)
{
    idem__inside_depth = idem__inside_depth + 1;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void idem__inside_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    idem__inside_depth = idem__inside_depth - 1;
}

static inline bool idem__inside_is_orphan(void)
{
    return atomic_load_explicit(&idem__inside_orphan, memory_order_relaxed);
}

/** A lock that fork() takes too. Of an orphan's locks some are held by nobody. */
static inline void idem__inside_lock(pthread_mutex_t *lock)
{
    idem__inside_enter();
    if (!idem__inside_is_orphan())
        (void)pthread_mutex_lock(lock);
}

static inline void idem__inside_unlock(pthread_mutex_t *lock)
{
    if (!idem__inside_is_orphan())
        (void)pthread_mutex_unlock(lock);
    idem__inside_leave();
}

/** @return IDEM_ERR_UNAVAILABLE, with what to do instead */
int idem__inside_refuse(idem_error *error);

#endif
