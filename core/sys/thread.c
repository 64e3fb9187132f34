/* SPDX-License-Identifier: MIT */
/*
 * The library's own threads. Signals belong to the host: all are blocked from the thread's start.
 */
#include "thread.h"

#include "clock.h"

#include <signal.h>

#define STACK_SIZE (512u * 1024u)

int idem__thread_start(pthread_t *thread, void *(*work)(void *), void *argument)
{
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    if (failed)
        return failed;
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    idem__clock_thread_starts();
    failed = pthread_create(thread, &attributes, work, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return failed;
}
