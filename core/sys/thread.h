/* SPDX-License-Identifier: MIT */
/* The library's own threads. */
#ifndef IDEM_CORE_THREAD_H
#define IDEM_CORE_THREAD_H

#include <pthread.h>

/** Starts a thread that no signal is delivered to. @return 0, or the system's error */
int idem__thread_start(pthread_t *thread, void *(*work)(void *), void *argument);

#endif
