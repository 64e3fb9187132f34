/* SPDX-License-Identifier: MIT */
/*
 * Blocking work of a cluster's instance on a thread of its own: connecting a node, fetching the map
 * of slots. So a node that does not answer holds up no caller that needs another one. A thread
 * ends by its job's deadline, and has all signals blocked, which are the host's.
 */
#include "cluster.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define STACK_SIZE (512u * 1024u)

static void *run(void *user)
{
    idem__redis_job *job = user;
    int notify = job->notify;
    job->work(job->user);
    atomic_store_explicit(&job->finished, true, memory_order_release);
    /* A full pipe wakes as well. */
    while (write(notify, "", 1) < 0 && errno == EINTR) {
    }
    return NULL;
}

int idem__redis_job_start(idem__redis_job *job, void (*work)(void *user), void *user,
                          uint64_t deadline_ms, int notify)
{
    sigset_t all;
    sigset_t before;
    pthread_attr_t attributes;
    size_t usual = 0;
    job->work = work;
    job->user = user;
    job->deadline_ms = deadline_ms;
    job->notify = notify;
    job->rc = IDEM_OK;
    job->fault = (idem__redis_fault){0};
    atomic_store(&job->finished, false);
    int failed = pthread_attr_init(&attributes);
    if (failed)
        return failed;
    (void)pthread_attr_getstacksize(&attributes, &usual);
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&job->thread, &attributes, run, job);
    /* A thread's own variables are on its stack, and a program may have many. */
    if (failed == EINVAL && pthread_attr_setstacksize(&attributes, usual) == 0)
        failed = pthread_create(&job->thread, &attributes, run, job);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    job->running = failed == 0;
    job->joined = false;
    return failed;
}

void idem__redis_job_join(idem__redis_job *job)
{
    if (job->running && !job->joined)
        (void)pthread_join(job->thread, NULL);
    job->joined = true;
}

bool idem__redis_job_reap(idem__redis_job *job)
{
    if (!job->running || !atomic_load_explicit(&job->finished, memory_order_acquire))
        return false;
    idem__redis_job_join(job);
    job->running = false;
    return true;
}
