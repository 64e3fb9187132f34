/* SPDX-License-Identifier: MIT */
/* The threads of this backend: one that looks a name up, one that connects a node. */
#ifndef IDEM_REDIS_THREAD_H
#define IDEM_REDIS_THREAD_H

#include <pthread.h>

/** Starts a thread in which all signals are blocked: they are the host's.
 *  @param detach_state  PTHREAD_CREATE_JOINABLE or PTHREAD_CREATE_DETACHED
 *  @return 0 or an errno */
int idem__redis_thread_start(pthread_t *thread, int detach_state, void *(*work)(void *user),
                             void *user);

#endif
