/* SPDX-License-Identifier: MIT */
/*
 * No call is a cancellation point. A thread that waits in a queue has its operations there, and a
 * batch's leader has those of others. If pthread_cancel() ended it there, these operations would
 * never be answered. A thread that is cancelled in a call ends at its next cancellation point.
 *
 * It is held off where a backend, the host's hook or the system is entered: around a connection's
 * work, around opening and closing, and in the wrappers of system calls that are such points.
 */
#ifndef IDEM_CORE_CANCEL_H
#define IDEM_CORE_CANCEL_H

#include <pthread.h>

/** Holds cancellation off. @return what idem__cancel_restore() is to be given */
static inline int idem__cancel_hold(void)
{
    int state = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static inline void idem__cancel_restore(int state)
{
    int held;
    (void)pthread_setcancelstate(state, &held);
}

#endif
