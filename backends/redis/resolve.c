/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo() has no deadline: with a name server that never answers it takes tens of seconds.
 * So a thread calls it, and a caller that waits for the thread leaves at its deadline. A numeric
 * address needs no thread.
 *
 * Callers that ask for a name while it is being looked up share that thread. Results are not
 * cached: a later caller starts a new lookup. There are at most LOOKUPS_MAX threads. A lookup that
 * takes longer than FRESH_MS is not joined any more, since the name servers may have been replaced.
 *
 * A thread that was left belongs to the process that made it. The child of a fork() begins with a
 * pool of its own and never touches a lock of the parent's.
 */
#include "resolve.h"
#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOKUPS_MAX 8u
#define FRESH_MS    10000u

typedef struct lookups {
    struct lookups *older; /* of the processes that this one was forked from */
    pid_t owner;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* some lookup has ended */
    idem__redis_lookup *pending;
    size_t count;
} lookups;

struct idem__redis_lookup {
    lookups *pool;
    idem__redis_lookup *next; /* of those that are pending */
    size_t users;             /* callers that wait for it or use it, and its thread */
    uint64_t began_ms;
    bool done;
    int code;
    int number;
    struct addrinfo *list;
    char host[]; /* as the URL has it */
};

static _Atomic(lookups *) newest;

/* ------------------------------------------------------------------------------------ the pool */

static int make_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    if (failed)
        return failed;
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) ||
             pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return failed;
}

static lookups *make_pool(lookups *older)
{
    lookups *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->older = older;
    made->owner = getpid();
    if (pthread_mutex_init(&made->lock, NULL))
        goto failed;
    if (make_condition(&made->changed) == 0)
        return made;
    (void)pthread_mutex_destroy(&made->lock);
failed:
    free(made);
    return NULL;
}

/* This process's. NULL: there is no memory. */
static lookups *get_pool(void)
{
    lookups *now = atomic_load(&newest);
    while (!now || now->owner != getpid()) {
        lookups *made = make_pool(now);
        if (!made)
            return NULL;
        if (atomic_compare_exchange_strong(&newest, &now, made))
            return made;
        (void)pthread_cond_destroy(&made->changed);
        (void)pthread_mutex_destroy(&made->lock);
        free(made);
    }
    return now;
}

/* The lock is held, and given back. */
static void let_go(idem__redis_lookup *lookup)
{
    bool last = --lookup->users == 0;
    (void)pthread_mutex_unlock(&lookup->pool->lock);
    if (!last)
        return;
    if (lookup->list)
        freeaddrinfo(lookup->list);
    free(lookup);
}

static bool wait_until(lookups *pool, uint64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    return pthread_cond_timedwait(&pool->changed, &pool->lock, &until) != ETIMEDOUT;
}

/* ---------------------------------------------------------------------------------- the thread */

static int look_up(const char *host, int flags, struct addrinfo **list, int *number)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    errno = 0;
    int code = getaddrinfo(host, NULL, &hints, list);
    *number = errno;
    return code;
}

static void *work(void *user)
{
    idem__redis_lookup *lookup = user;
    lookups *pool = lookup->pool;
    struct addrinfo *list = NULL;
    int number = 0;
    int code = look_up(lookup->host, 0, &list, &number);
    (void)pthread_mutex_lock(&pool->lock);
    lookup->list = code ? NULL : list;
    lookup->code = code;
    lookup->number = number;
    lookup->done = true;
    idem__redis_lookup **at = &pool->pending;
    while (*at != lookup)
        at = &(*at)->next;
    *at = lookup->next;
    pool->count--;
    (void)pthread_cond_broadcast(&pool->changed);
    let_go(lookup);
    return NULL;
}

/* ------------------------------------------------------------------------------------ a caller */

static idem__redis_lookup *find_pending(const lookups *pool, const char *host)
{
    uint64_t now_ms = idem_monotonic_ms();
    idem__redis_lookup *at = pool->pending;
    while (at && (strcmp(at->host, host) != 0 || now_ms - at->began_ms > FRESH_MS))
        at = at->next;
    return at;
}

/* The lock is held. @return NULL, with an errno in `number` */
static idem__redis_lookup *start(lookups *pool, const char *host, int *number)
{
    pthread_t thread;
    size_t len = strlen(host) + 1;
    idem__redis_lookup *made = calloc(1, sizeof *made + len);
    *number = ENOMEM;
    if (!made)
        return NULL;
    memcpy(made->host, host, len);
    made->pool = pool;
    made->users = 1;
    made->began_ms = idem_monotonic_ms();
    *number = idem__redis_thread_start(&thread, PTHREAD_CREATE_DETACHED, work, made);
    if (*number) {
        free(made);
        return NULL;
    }
    made->next = pool->pending;
    pool->pending = made;
    pool->count++;
    return made;
}

/* The lock is held. A lookup of this name, awaited by one more. NULL: see `found`. */
static idem__redis_lookup *join(lookups *pool, const char *host, uint64_t deadline_ms,
                                idem__redis_addresses *found)
{
    idem__redis_lookup *lookup = find_pending(pool, host);
    while (!lookup && pool->count >= LOOKUPS_MAX) {
        if (!wait_until(pool, deadline_ms)) {
            found->late = true;
            found->crowded = true;
            return NULL;
        }
        lookup = find_pending(pool, host);
    }
    if (!lookup)
        lookup = start(pool, host, &found->number);
    if (lookup)
        lookup->users++;
    else
        found->code = EAI_SYSTEM;
    return lookup;
}

static bool look_up_apart(const char *host, uint64_t deadline_ms, idem__redis_addresses *found)
{
    lookups *pool = get_pool();
    if (!pool) {
        found->code = EAI_MEMORY;
        return false;
    }
    (void)pthread_mutex_lock(&pool->lock);
    idem__redis_lookup *lookup = join(pool, host, deadline_ms, found);
    if (!lookup) {
        (void)pthread_mutex_unlock(&pool->lock);
        return false;
    }
    bool in_time = true;
    while (!lookup->done && in_time)
        in_time = wait_until(pool, deadline_ms);
    found->late = !lookup->done;
    found->code = lookup->code;
    found->number = lookup->number;
    found->list = lookup->list;
    if (found->list) {
        found->lookup = lookup;
        (void)pthread_mutex_unlock(&pool->lock);
        return true;
    }
    let_go(lookup);
    return false;
}

bool idem__redis_resolve(const char *host, uint64_t deadline_ms, idem__redis_addresses *found)
{
    *found = (idem__redis_addresses){0};
    found->code = look_up(host, AI_NUMERICHOST, &found->own, &found->number);
    if (found->code == EAI_NONAME)
        return look_up_apart(host, deadline_ms, found);
    found->list = found->own;
    return found->code == 0;
}

void idem__redis_resolve_free(idem__redis_addresses *found)
{
    if (found->own)
        freeaddrinfo(found->own);
    if (found->lookup) {
        (void)pthread_mutex_lock(&found->lookup->pool->lock);
        let_go(found->lookup);
    }
    *found = (idem__redis_addresses){0};
}
