/* SPDX-License-Identifier: MIT */
/*
 * A thread's own variables lie on its stack, and a program may have many of them. So a stack has
 * the system's usual size, which is only address space, or a small one where there is no room.
 */
#include "thread.h"

#include <errno.h>
#include <signal.h>

#define STACK_SIZE_MIN (512u * 1024u)

int idem__redis_thread_start(pthread_t *thread, int detach_state, void *(*work)(void *user),
                             void *user)
{
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    size_t size = 0;
    int failed = pthread_attr_init(&attributes);
    if (failed)
        return failed;
    (void)pthread_attr_getstacksize(&attributes, &size);
    if (size < STACK_SIZE_MIN)
        (void)pthread_attr_setstacksize(&attributes, STACK_SIZE_MIN);
    (void)pthread_attr_setdetachstate(&attributes, detach_state);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(thread, &attributes, work, user);
    if (failed == EAGAIN && size > STACK_SIZE_MIN &&
        pthread_attr_setstacksize(&attributes, STACK_SIZE_MIN) == 0)
        failed = pthread_create(thread, &attributes, work, user);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return failed;
}
