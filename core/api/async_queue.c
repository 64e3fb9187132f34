/* SPDX-License-Identifier: MIT */
/*
 * Submitted calls on their way. A worker takes all jobs that are ready, up to a batch, has one
 * operation of each carried out together, and sorts them: answered, ready for the next operation,
 * or due later. It sleeps for none of them, so what one call waits for holds up no other. Where
 * gets have pool of their own, so have they a worker: who only wants to read does not wait for the
 * disk.
 *
 * A worker may be held up inside the store until its batch's deadline. Time is therefore another
 * thread's: the watcher makes ready what is due, and answers what nobody was free to send in time.
 *
 * One lock guards it all; it is not held while the store is called. Under it the keepalive's lock
 * may be taken. Lock order: the list of stores (fork.c), this, the keepalive.
 */
#include "async_queue.h"

#include "cancel.h"
#include "clock.h"
#include "call.h"
#include "error.h"
#include "fork.h"
#include "inside.h"
#include "thread.h"

#define WRITES   0u
#define READS    1u
#define GRAIN_MS 2u /* what is due so soon is taken along: the watcher looks so often at most */

/* ---------------------------------------------------------------------------------------- lists */

static void put_last(idem__requests *list, idem__request *job)
{
    job->next = NULL;
    job->previous = list->last;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
    list->count++;
}

static void put_first(idem__requests *list, idem__request *job)
{
    job->previous = NULL;
    job->next = list->first;
    if (list->first)
        list->first->previous = job;
    else
        list->last = job;
    list->first = job;
    list->count++;
}

static void take_out(idem__requests *list, idem__request *job)
{
    if (job->previous)
        job->previous->next = job->next;
    else
        list->first = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        list->last = job->previous;
    list->count--;
}

static idem__request **bucket_of(idem_async *async, idem_async_call id)
{
    return &async->buckets[id % IDEM__QUEUE_BUCKETS];
}

static void forget(idem_async *async, const idem__request *job)
{
    idem__request **at = bucket_of(async, job->id);
    while (*at != job)
        at = &(*at)->same_bucket;
    *at = job->same_bucket;
}

static idem__way *way_of(idem_async *async, const idem__request *job)
{
    bool reads = async->workers > READS && job->call->op.kind == IDEM_OP_GET;
    return &async->ways[reads ? READS : WRITES];
}

static idem__requests *list_of(idem_async *async, const idem__request *job)
{
    return job->state == IDEM__REQUEST_DELAYED ? &async->later : &way_of(async, job)->ready;
}

static void wake_worker(idem_async *async, idem__way *way)
{
    if (async->workers > 0)
        (void)pthread_cond_signal(&way->wanted);
    else
        idem__notifier_signal(&async->wake);
}

static void look_by(idem_async *async, uint64_t when_ms)
{
    if (when_ms >= async->look_ms)
        return;
    async->look_ms = when_ms;
    (void)pthread_cond_signal(&async->sooner);
}

/* Puts a job where its state says, behind the others or in front of them. */
static void put(idem_async *async, idem__request *job, bool in_front)
{
    if (job->state == IDEM__REQUEST_DONE) {
        forget(async, job);
        put_last(&async->answered, job);
        idem__notifier_signal(&async->wake);
        return;
    }
    if (in_front)
        put_first(list_of(async, job), job);
    else
        put_last(list_of(async, job), job);
    if (job->state == IDEM__REQUEST_QUEUED)
        wake_worker(async, way_of(async, job));
    look_by(async, job->state == IDEM__REQUEST_DELAYED && job->due_ms < job->expires_ms
                       ? job->due_ms
                       : job->expires_ms);
}

/* -------------------------------------------------------------------------------------- workers */

static size_t take_batch(idem__way *way, idem__request *jobs[IDEM_BATCH_MAX])
{
    size_t count = 0;
    while (way->ready.first && count < IDEM_BATCH_MAX) {
        idem__request *job = way->ready.first;
        take_out(&way->ready, job);
        job->state = IDEM__REQUEST_IN_FLIGHT;
        jobs[count++] = job;
    }
    return count;
}

static void send(idem_store *store, idem__request *const *jobs, size_t count, idem__request_state *states)
{
    idem__call *calls[IDEM_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        calls[i] = jobs[i]->call;
    idem__call_send(store, calls, count);
    for (size_t i = 0; i < count; i++)
        states[i] = idem__request_step(store, jobs[i]);
}

/* Carries out one operation of each job of a batch; the lock is held before and after. Those that
   go on at once do so in front, in their order. */
static void carry_batch(idem_async *async, idem__way *way)
{
    idem__request *jobs[IDEM_BATCH_MAX];
    idem__request_state states[IDEM_BATCH_MAX];
    size_t count = take_batch(way, jobs);
    async->sending++;
    idem__inside_unlock(&async->lock);
    send(async->store, jobs, count, states);
    idem__inside_lock(&async->lock);
    for (size_t i = 0; i < count; i++) {
        jobs[i]->state = states[i];
        if (states[i] != IDEM__REQUEST_QUEUED)
            put(async, jobs[i], false);
    }
    for (size_t i = count; i > 0; i--) {
        if (states[i - 1] == IDEM__REQUEST_QUEUED)
            put(async, jobs[i - 1], true);
    }
    async->sending--;
    if (async->frozen || async->closing)
        (void)pthread_cond_broadcast(&async->rested);
}

static void *work(void *argument)
{
    idem__way *way = argument;
    idem_async *async = way->async;
    idem__inside_lock(&async->lock);
    while (!async->stopping) {
        if (async->frozen || !way->ready.first)
            (void)idem__clock_cond_wait(&way->wanted, &async->lock, UINT64_MAX);
        else
            carry_batch(async, way);
    }
    idem__inside_unlock(&async->lock);
    return NULL;
}

void idem__queue_work(idem_async *async)
{
    int cancel_state = idem__cancel_hold();
    idem__inside_lock(&async->lock);
    while (async->workers == 0 && async->ways[WRITES].ready.first) {
        if (async->frozen)
            (void)pthread_cond_wait(&async->rested, &async->lock);
        else
            carry_batch(async, &async->ways[WRITES]);
    }
    idem__inside_unlock(&async->lock);
    idem__cancel_restore(cancel_state);
}

/* ----------------------------------------------------------------------------------------- time */

static void expire(idem_async *async, idem__requests *list, uint64_t now, uint64_t *next_ms)
{
    for (idem__request *job = list->first, *next; job; job = next) {
        next = job->next;
        if (job->expires_ms > now) {
            *next_ms = job->expires_ms < *next_ms ? job->expires_ms : *next_ms;
            continue;
        }
        take_out(list, job);
        idem__request_expire(async->store, job);
        put(async, job, false);
    }
}

static void resume_due(idem_async *async, uint64_t now, uint64_t *next_ms)
{
    for (idem__request *job = async->later.first, *next; job; job = next) {
        next = job->next;
        if (job->due_ms > now + GRAIN_MS) {
            *next_ms = job->due_ms < *next_ms ? job->due_ms : *next_ms;
            continue;
        }
        take_out(&async->later, job);
        idem__request_resume(async->store, job);
        put(async, job, false);
    }
}

static void *watch(void *argument)
{
    idem_async *async = argument;
    idem__inside_lock(&async->lock);
    while (!async->stopping) {
        uint64_t now = idem_monotonic_ms();
        if (async->frozen || now < async->look_ms) {
            if (async->frozen || async->look_ms == UINT64_MAX)
                (void)idem__clock_cond_wait(&async->sooner, &async->lock, UINT64_MAX);
            else
                (void)idem__clock_cond_wait(&async->sooner, &async->lock, async->look_ms);
            continue;
        }
        uint64_t next_ms = UINT64_MAX;
        async->look_ms = 0; /* nobody has to say that it is to be sooner */
        resume_due(async, now, &next_ms);
        expire(async, &async->later, now, &next_ms);
        for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
            expire(async, &async->ways[i].ready, now, &next_ms);
        async->look_ms = next_ms;
    }
    idem__inside_unlock(&async->lock);
    return NULL;
}

/* ---------------------------------------------------------------------------------- the threads */

/* Lock held. Those that were started stay if another can't be. */
static int start_threads(idem_async *async)
{
    int failed = 0;
    for (size_t i = 0; !failed && i < async->workers; i++) {
        idem__way *way = &async->ways[i];
        if (way->running)
            continue;
        failed = idem__thread_start(&way->thread, work, way);
        way->running = !failed;
    }
    if (!failed && !async->watched) {
        failed = idem__thread_start(&async->watcher, watch, async);
        async->watched = !failed;
    }
    return failed;
}

/* In the child of a fork(). Off the lock, since a claim that is freed may take the keepalive's. */
static void free_orphans(idem_async *async)
{
    idem__requests orphans;
    idem__inside_lock(&async->lock);
    orphans = async->orphans;
    memset(&async->orphans, 0, sizeof async->orphans);
    idem__inside_unlock(&async->lock);
    while (orphans.first) {
        idem__request *job = orphans.first;
        take_out(&orphans, job);
        idem__request_free(job);
    }
}

/* Lock held. */
static int accept_job(idem_async *async, idem__request *job, idem_async_call *call, idem_error *error)
{
    if (async->closing)
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "the queue is being closed; nothing was submitted");
    if (async->wake.fd < 0)
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "this process, forked from another, had no file descriptor for the "
                              "queue; open one of its own");
    if (start_threads(async)) /* the system tells no difference between its two reasons */
        return idem_error_set(error, IDEM_ERR_NO_MEMORY,
                              "no thread could be started for submitted calls, for want of memory "
                              "or by a limit on threads; submit again later, or raise it");
    job->id = ++async->last_id;
    idem__request **bucket = bucket_of(async, job->id);
    job->same_bucket = *bucket;
    *bucket = job;
    (void)atomic_fetch_add(&async->pending, 1);
    if (call)
        *call = job->id;
    put(async, job, false);
    return IDEM_OK;
}

int idem__queue_add(idem_async *async, idem__request *job, idem_async_call *call, idem_error *error)
{
    idem__inside_lock(&async->lock);
    int rc = accept_job(async, job, call, error);
    bool orphans = async->orphans.first != NULL;
    idem__inside_unlock(&async->lock);
    if (orphans)
        free_orphans(async);
    return rc;
}

idem__request *idem__queue_take_answered(idem_async *async)
{
    idem__request *job = async->answered.first;
    if (job) {
        take_out(&async->answered, job);
        (void)atomic_fetch_sub(&async->pending, 1);
    }
    return job;
}

void idem__queue_calm(idem_async *async)
{
    bool work_left = async->workers == 0 && async->ways[WRITES].ready.first;
    if (!async->answered.first && !work_left)
        idem__notifier_clear(&async->wake);
}

/* ----------------------------------------------------------------------------------- cancelling */

/* Lock held. */
static bool cancel(idem_async *async, idem__request *job, const char *why)
{
    atomic_store(&job->no_further, true);
    if (job->state == IDEM__REQUEST_IN_FLIGHT)
        return false;
    take_out(list_of(async, job), job);
    idem__request_cancel(async->store, job, why);
    put(async, job, false);
    return true;
}

bool idem__queue_cancel(idem_async *async, idem_async_call call)
{
    bool cancelled = false;
    idem__inside_lock(&async->lock);
    idem__request *job = *bucket_of(async, call);
    while (job && job->id != call)
        job = job->same_bucket;
    if (job)
        cancelled = cancel(async, job, "the call was cancelled");
    idem__inside_unlock(&async->lock);
    return cancelled;
}

void idem__queue_cancel_all(idem_async *async)
{
    for (size_t i = 0; i < IDEM__QUEUE_BUCKETS; i++) {
        for (idem__request *job = async->buckets[i], *next; job; job = next) {
            next = job->same_bucket;
            (void)cancel(async, job, "the queue was closed before the call was sent");
        }
    }
}

void idem__queue_stop(idem_async *async)
{
    int cancel_state = idem__cancel_hold();
    idem__inside_lock(&async->lock);
    while (async->sending > 0)
        (void)pthread_cond_wait(&async->rested, &async->lock);
    idem__queue_cancel_all(async); /* what came back just before it was told not to go on */
    async->stopping = true;
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        (void)pthread_cond_signal(&async->ways[i].wanted);
    (void)pthread_cond_signal(&async->sooner);
    idem__inside_unlock(&async->lock);
    for (size_t i = 0; i < async->workers; i++) {
        if (async->ways[i].running)
            (void)pthread_join(async->ways[i].thread, NULL);
    }
    if (async->watched)
        (void)pthread_join(async->watcher, NULL);
    free_orphans(async);
    idem__cancel_restore(cancel_state);
}

/* ------------------------------------------------------------------------------- making, fork() */

static size_t workers_for(const idem_store *store)
{
    if (store->ops.traits & IDEM_BACKEND_NO_BACKGROUND)
        return 0;
    return store->read_first && store->readers.max > 0 ? 2 : 1;
}

static void init_conds(idem_async *async, int *failed)
{
    pthread_cond_t *conds[] = {&async->ways[WRITES].wanted, &async->ways[READS].wanted,
                               &async->rested, &async->sooner};
    for (size_t i = 0; i < sizeof conds / sizeof conds[0]; i++)
        *failed |= idem__clock_cond_init(conds[i]);
}

int idem__queue_init(idem_async *async, idem_store *store, idem_error *error)
{
    memset(async, 0, sizeof *async);
    async->store = store;
    async->workers = workers_for(store);
    async->look_ms = UINT64_MAX;
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        async->ways[i].async = async;
    int rc = idem__notifier_open(&async->wake, error);
    if (rc)
        return rc;
    int failed = pthread_mutex_init(&async->lock, NULL);
    init_conds(async, &failed);
    if (failed) {
        idem__notifier_close(&async->wake);
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a lock can't be made");
    }
    return IDEM_OK;
}

void idem__queue_destroy(idem_async *async)
{
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        (void)pthread_cond_destroy(&async->ways[i].wanted);
    (void)pthread_cond_destroy(&async->rested);
    (void)pthread_cond_destroy(&async->sooner);
    (void)pthread_mutex_destroy(&async->lock);
    idem__notifier_close(&async->wake);
}

static void orphan(idem_async *async, idem__requests *list)
{
    while (list->first) {
        idem__request *job = list->first;
        take_out(list, job);
        idem__request_disown(job);
        put_last(&async->orphans, job);
    }
}

/* The threads are the parent's, and so are the calls. Nothing is freed here: another thread may
   have had the allocator in hand. */
static void become_child(idem_async *async)
{
    int failed = 0;
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++) {
        orphan(async, &async->ways[i].ready);
        async->ways[i].running = false;
    }
    orphan(async, &async->later);
    orphan(async, &async->answered);
    memset(async->buckets, 0, sizeof async->buckets);
    atomic_store(&async->pending, 0);
    async->watched = false;
    async->look_ms = UINT64_MAX;
    if (async->dispatching > 0 && !pthread_equal(async->dispatcher, pthread_self()))
        async->dispatching = 0;
    init_conds(async, &failed);
    idem__notifier_renew(&async->wake);
}

void idem__queue_fork(idem_async *async, idem_fork_phase phase)
{
    if (phase == IDEM_FORK_PREPARE) {
        idem__inside_lock(&async->lock);
        async->frozen = true;
        while (async->sending > 0)
            (void)pthread_cond_wait(&async->rested, &async->lock);
        return; /* the lock stays held across the fork */
    }
    async->frozen = false;
    if (phase == IDEM_FORK_CHILD)
        become_child(async);
    for (size_t i = 0; i < IDEM__QUEUE_WAYS; i++)
        (void)pthread_cond_signal(&async->ways[i].wanted);
    (void)pthread_cond_signal(&async->sooner);
    (void)pthread_cond_broadcast(&async->rested);
    idem__inside_unlock(&async->lock);
}
