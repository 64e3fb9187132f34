/* SPDX-License-Identifier: MIT */
/*
 * fork() with open stores. Before it, everything is brought to rest. That may take as long as the
 * slowest call, so no lock is held meanwhile. Then no connection is in use, and all locks are held,
 * so that the child finds them in a known state; backends close or lock what must not be shared.
 * After it, both sides open up again. Threads that were waiting are the parent's; the child has
 * none of them, and no keepalive thread. A fork in a signal handler that has interrupted a call of
 * its own thread is let pass without all that; its child can't use the stores.
 *
 * Lock order: the list of stores, a loop's `io`, their queues of submitted calls, the keepalive,
 * the registry, each store's writers, its readers, a backend's own.
 */
#include "fork.h"

#include "cancel.h"
#include "clock.h"
#include "error.h"
#include "inside.h"
#include "async_queue.h"
#include "registry.h"
#include "store.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#define QUICK_MS 20u /* a store that comes to rest within it is not waited for twice */

/* The list is not changed while a thread forks. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t forked; /* made with the handlers */
static bool forking;
static idem_store *stores;

/* The pid of the process that is registering the handlers. In a child that was forked meanwhile the
   value is stale. */
static _Atomic pid_t registering;
static atomic_bool registered;

/* Of the thread that forks, from before. Its own while `forking`. */
static int cancel_state;

/* The fork that is under way is let pass: see inside.h. */
static _Thread_local bool passed;

/* Counts the calls of prepare() whose other half has not run yet. It exceeds 1 if the handlers were
   registered twice, as in the child of a fork during their registration, or if a signal handler
   forks during a fork. Only the outermost pair acts. */
static _Thread_local unsigned prepared;

/* ------------------------------------------------------------------------------------ the list */

/* Locks the list, when no thread forks. @return false: that took until the deadline */
static bool lock_list(uint64_t deadline_ms)
{
    bool in_time = true;
    int before = idem__cancel_hold(); /* a wait is a point of cancellation */
    idem__inside_lock(&list_lock);
    while (forking && in_time)
        in_time = idem__clock_cond_wait(&forked, &list_lock, deadline_ms);
    bool locked = !forking;
    if (!locked)
        idem__inside_unlock(&list_lock);
    idem__cancel_restore(before);
    return locked;
}

static int refuse(idem_error *error)
{
    return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                          "a fork() by another thread waits for calls that are under way; open it "
                          "again later");
}

/* ---------------------------------------------------------------------------------------- rest */

static void freeze_queues(const idem_store *store)
{
    for (idem_async *async = store->asyncs; async; async = async->next)
        idem__queue_freeze(async);
}

/* The queues of submitted calls first: their batches end in the pools. @return false: the time has
   come first, and what has not come to rest goes on doing so */
static bool bring_to_rest(idem_store *store, uint64_t until_ms)
{
    freeze_queues(store);
    for (idem_async *async = store->asyncs; async; async = async->next) {
        if (!idem__queue_rest(async, until_ms))
            return false;
    }
    idem__pool_freeze(&store->writers);
    idem__pool_freeze(&store->readers);
    return idem__pool_rest(&store->writers, until_ms) && idem__pool_rest(&store->readers, until_ms);
}

static void thaw(idem_store *store)
{
    idem__pool_thaw(&store->writers);
    idem__pool_thaw(&store->readers);
    for (idem_async *async = store->asyncs; async; async = async->next)
        idem__queue_thaw(async);
}

/* A store that is held up (its server does not answer) may take as long as its callers' deadlines.
   So it is waited for first; the others work on meanwhile, and their claims are renewed. */
static void bring_all_to_rest(void)
{
    for (idem_store *store = stores; store; store = store->next) {
        store->slow_to_rest = !bring_to_rest(store, idem__clock_deadline(QUICK_MS));
        if (!store->slow_to_rest)
            thaw(store);
    }
    for (idem_store *store = stores; store; store = store->next) {
        if (store->slow_to_rest)
            (void)bring_to_rest(store, UINT64_MAX);
    }
    for (idem_store *store = stores; store; store = store->next)
        (void)bring_to_rest(store, UINT64_MAX);
}

/* ------------------------------------------------------------------------------------ handlers */

static void take_queues(const idem_store *store, idem_fork_phase phase)
{
    for (idem_async *async = store->asyncs; async; async = async->next)
        idem__queue_fork(async, phase);
}

/* Waiting for rest, and what backends do, may be points of cancellation; with all locks held the
   thread must not end. */
static void prepare(void)
{
    atomic_store(&registered, true); /* the child has them too, whatever its parent still does */
    if (prepared++ > 0)
        return;
    passed = idem__inside_depth > 0 || idem__inside_is_orphan();
    if (passed)
        return;
    int before = idem__cancel_hold();
    (void)lock_list(UINT64_MAX);
    forking = true;
    idem__inside_unlock(&list_lock);
    cancel_state = before;
    bring_all_to_rest();
    idem__inside_lock(&list_lock);
    for (idem_store *store = stores; store; store = store->next)
        take_queues(store, IDEM_FORK_PREPARE);
    idem__keepalive_lock();
    idem__registry_lock();
    for (idem_store *store = stores; store; store = store->next) {
        idem__pool_fork(&store->writers, IDEM_FORK_PREPARE);
        idem__pool_fork(&store->readers, IDEM_FORK_PREPARE);
        (void)pthread_mutex_lock(&store->watch.lock);
    }
}

static void resume(idem_fork_phase phase)
{
    for (idem_store *store = stores; store; store = store->next) {
        (void)pthread_mutex_unlock(&store->watch.lock);
        idem__pool_fork(&store->readers, phase);
        idem__pool_fork(&store->writers, phase);
        if (phase == IDEM_FORK_CHILD)
            idem__keepalive_child(&store->keeper), idem__stats_reset(&store->stats);
        take_queues(store, phase);
    }
    idem__registry_unlock();
    idem__keepalive_unlock();
    int before = cancel_state;
    forking = false;
    if (phase == IDEM_FORK_CHILD)
        (void)idem__clock_cond_init(&forked); /* those that wait are the parent's */
    else
        (void)pthread_cond_broadcast(&forked);
    idem__inside_unlock(&list_lock);
    idem__cancel_restore(before);
}

static void resume_parent(void)
{
    if (--prepared == 0 && !passed)
        resume(IDEM_FORK_PARENT);
}

/* After an inner pair the child is an orphan unless the outer one follows: of a fork in a signal
   handler it does not. */
static void resume_child(void)
{
    bool usable = --prepared == 0 && !passed;
    atomic_store(&idem__inside_orphan, !usable);
    if (usable)
        resume(IDEM_FORK_CHILD);
}

/* Once for a process, but again after it has failed: memory may come back. */
static int register_handlers(void)
{
    int failed = 0;
    while (!failed && !atomic_load(&registered)) {
        pid_t other = atomic_load(&registering);
        if (other == getpid() || !atomic_compare_exchange_strong(&registering, &other, getpid())) {
            (void)sched_yield();
            continue;
        }
        if (!atomic_load(&registered))
            failed = idem__clock_cond_init(&forked) ||
                     pthread_atfork(prepare, resume_parent, resume_child);
        if (!failed)
            atomic_store(&registered, true);
        atomic_store(&registering, 0);
    }
    return failed;
}

static void unlink_store(const idem_store *store)
{
    idem_store **at = &stores;
    while (*at && *at != store)
        at = &(*at)->next;
    if (*at)
        *at = store->next;
}

/* @return NULL: none was given up, or the list can't be changed now */
static idem_store *take_given_up(void)
{
    idem__inside_lock(&list_lock);
    idem_store *found = forking ? NULL : stores;
    while (found && !found->end)
        found = found->next;
    if (found)
        unlink_store(found);
    idem__inside_unlock(&list_lock);
    return found;
}

/* Not in the handlers: they free nothing. */
static void end_given_up(void)
{
    idem_store *store;
    while ((store = take_given_up()) != NULL)
        store->end(store);
}

int idem__fork_add(idem_store *store, uint64_t deadline_ms, idem_error *error)
{
    if (register_handlers())
        return idem__error_no_memory(error);
    end_given_up();
    if (!lock_list(deadline_ms))
        return refuse(error);
    store->next = stores;
    stores = store;
    idem__inside_unlock(&list_lock);
    return IDEM_OK;
}

void idem__fork_remove(idem_store *store)
{
    (void)lock_list(UINT64_MAX);
    unlink_store(store);
    idem__inside_unlock(&list_lock);
    end_given_up();
}

bool idem__fork_give_up(idem_store *store, void (*end)(idem_store *store))
{
    idem__inside_lock(&list_lock);
    bool mine = !forking;
    if (mine)
        unlink_store(store);
    else
        store->end = end;
    idem__inside_unlock(&list_lock);
    return mine;
}

int idem__fork_add_async(idem_async *async, uint64_t deadline_ms, idem_error *error)
{
    if (!lock_list(deadline_ms))
        return refuse(error);
    async->next = async->store->asyncs;
    async->store->asyncs = async;
    idem__inside_unlock(&list_lock);
    return IDEM_OK;
}

void idem__fork_remove_async(idem_async *async)
{
    (void)lock_list(UINT64_MAX);
    idem_async **at = &async->store->asyncs;
    while (*at != async)
        at = &(*at)->next;
    *at = async->next;
    idem__inside_unlock(&list_lock);
}
