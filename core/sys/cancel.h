/* SPDX-License-Identifier: MIT */
/*
 * No call is a cancellation point. A thread that waits in a queue has its operations there, and one
 * that leads a batch has those of others in hand: if pthread_cancel() ended it in the middle, nobody
 * would answer them. A thread that is cancelled in a call ends at its next cancellation point behind it.
 *
 * It is held off where a backend, the host's hook or the system is entered: around a connection's work, around
 * opening and closing, and in the wrappers of system calls that are points of cancellation.
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
