/* SPDX-License-Identifier: MIT */
/*
 * Blocking work of a cluster's instance on a thread of its own: connecting a node, fetching the map
 * of slots. So a node that does not answer holds up no caller that needs another one. A thread
 * ends by its job's deadline, and has all signals blocked, which are the host's.
 */
#include "cluster.h"
#include "thread.h"

#include <errno.h>
#include <unistd.h>

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
    job->work = work;
    job->user = user;
    job->deadline_ms = deadline_ms;
    job->notify = notify;
    job->rc = IDEM_OK;
    job->fault = (idem__redis_fault){0};
    atomic_store(&job->finished, false);
    int failed = idem__redis_thread_start(&job->thread, PTHREAD_CREATE_JOINABLE, run, job);
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
