/* SPDX-License-Identifier: MIT */
/*
 * Blocking calls, made of submitted ones. Each store has one queue, made at its first call. One of
 * the threads that wait at a queue polls and dispatches, for itself and for the others; when its
 * own answer has come, another does.
 */
#include "through.h"

#undef idem_begin
#undef idem_close

#include <idem/async.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define QUEUES_MAX 64

typedef struct {
    idem_store *store;
    idem_async *async;
    bool polled; /* by a thread, at this moment */
    pthread_mutex_t lock;
    pthread_cond_t changed;
} queue;

typedef struct {
    atomic_bool answered;
    idem_outcome outcome;
    idem_error error;
} answer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static queue queues[QUEUES_MAX];

static void prepare(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void resume(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static void init_queues(void)
{
    for (size_t i = 0; i < QUEUES_MAX; i++) {
        queues[i].polled = false;
        (void)pthread_mutex_init(&queues[i].lock, NULL);
        (void)pthread_cond_init(&queues[i].changed, NULL);
    }
}

/* Those that waited are threads of the parent. */
static void resume_child(void)
{
    init_queues();
    resume();
}

/* At the start: a fork() must not come while this is done. */
__attribute__((constructor)) static void watch_forks(void)
{
    init_queues();
    if (pthread_atfork(prepare, resume, resume_child))
        abort();
}

static queue *find(const idem_store *store)
{
    for (size_t i = 0; i < QUEUES_MAX; i++) {
        if (queues[i].store == store)
            return &queues[i];
    }
    return NULL;
}

/* Finds a store's queue, or makes `made` its queue if it has none. */
static queue *find_or_add(idem_store *store, idem_async *made)
{
    (void)pthread_mutex_lock(&lock);
    queue *found = find(store);
    if (!found && made) {
        found = find(NULL);
        if (!found)
            abort();
        found->store = store;
        found->async = made;
    }
    (void)pthread_mutex_unlock(&lock);
    return found;
}

/* A NULL store has a NULL queue, so that it is the queue that refuses it. The lock is not held
   while the library is called: a fork() takes it behind the library's. */
static queue *queue_of(idem_store *store)
{
    static queue none;
    idem_async *made = NULL;
    if (!store)
        return &none;
    queue *found = find_or_add(store, NULL);
    if (found)
        return found;
    if (idem_async_open(store, &made, NULL)) {
        (void)fprintf(stderr, "through: no queue\n");
        abort();
    }
    found = find_or_add(store, made);
    if (found->async != made) /* another thread was faster */
        idem_async_close(made);
    return found;
}

void through_close(idem_store *store)
{
    if (store) {
        (void)pthread_mutex_lock(&lock);
        queue *found = find(store);
        idem_async *async = found ? found->async : NULL;
        if (found)
            found->store = NULL;
        (void)pthread_mutex_unlock(&lock);
        idem_async_close(async);
    }
    idem_close(store);
}

/* ------------------------------------------------------------------------------------ the calls */

static void begun(void *user, idem_outcome *outcome, const idem_error *error)
{
    answer *mine = user;
    if (atomic_load(&mine->answered)) /* each has one */
        abort();
    mine->outcome = *outcome;
    mine->error = *error;
    atomic_store(&mine->answered, true);
}

static void changed(void *user, const idem_error *error)
{
    idem_outcome none = {.kind = (idem_outcome_kind)0};
    begun(user, &none, error);
}

static void poll_and_dispatch(idem_async *async)
{
    struct pollfd fd = {.fd = idem_async_fd(async), .events = POLLIN};
    int ready = poll(&fd, 1, 60000);
    if (ready == 0 || (ready < 0 && errno != EINTR)) {
        (void)fprintf(stderr, "through: nothing came to be dispatched\n");
        abort();
    }
    (void)idem_async_dispatch(async, 0);
}

/* Sees a submitted call through. @return its code */
static int await(queue *on, const answer *mine, idem_error *error)
{
    (void)pthread_mutex_lock(&on->lock);
    while (!atomic_load(&mine->answered)) {
        if (on->polled) {
            (void)pthread_cond_wait(&on->changed, &on->lock);
            continue;
        }
        on->polled = true;
        (void)pthread_mutex_unlock(&on->lock);
        poll_and_dispatch(on->async);
        (void)pthread_mutex_lock(&on->lock);
        on->polled = false;
        (void)pthread_cond_broadcast(&on->changed);
    }
    (void)pthread_mutex_unlock(&on->lock);
    if (error)
        *error = mine->error;
    return mine->error.code;
}

int through_begin(idem_store *store, const idem_request *request, idem_outcome *outcome,
                  idem_error *error)
{
    answer mine = {.answered = false};
    if (!outcome || !store) /* a callback is always given one */
        return idem_begin(store, request, outcome, error);
    memset(outcome, 0, sizeof *outcome); /* where the submit is refused there is no callback */
    queue *on = queue_of(store);
    int rc = idem_async_begin(on->async, request, begun, &mine, NULL, error);
    if (rc == IDEM_OK)
        rc = await(on, &mine, error);
    if (rc == IDEM_OK)
        *outcome = mine.outcome;
    return rc;
}

int through_complete(idem_store *store, idem_claim *claim, idem_bytes response, idem_error *error)
{
    answer mine = {.answered = false};
    queue *on = queue_of(store);
    int rc = idem_async_complete(on->async, claim, response, changed, &mine, NULL, error);
    return rc ? rc : await(on, &mine, error);
}

int through_complete_bytes(idem_store *store, idem_claim *claim, idem_bytes response,
                           idem_error *error)
{
    answer mine = {.answered = false};
    queue *on = queue_of(store);
    int rc = idem_async_complete_bytes(on->async, claim, response, changed, &mine, NULL, error);
    return rc ? rc : await(on, &mine, error);
}

int through_renew(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_error *error)
{
    answer mine = {.answered = false};
    queue *on = queue_of(store);
    int rc = idem_async_renew(on->async, claim, lease_ms, changed, &mine, NULL, error);
    return rc ? rc : await(on, &mine, error);
}

int through_checkpoint(idem_store *store, idem_claim *claim, idem_bytes json, idem_error *error)
{
    answer mine = {.answered = false};
    queue *on = queue_of(store);
    int rc = idem_async_checkpoint(on->async, claim, json, changed, &mine, NULL, error);
    return rc ? rc : await(on, &mine, error);
}

int through_release(idem_store *store, idem_claim *claim, idem_error *error)
{
    answer mine = {.answered = false};
    queue *on = queue_of(store);
    int rc = idem_async_release(on->async, claim, changed, &mine, NULL, error);
    return rc ? rc : await(on, &mine, error);
}
