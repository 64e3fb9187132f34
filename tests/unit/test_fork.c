/* SPDX-License-Identifier: MIT */
/* Handlers for fork() that can't be registered: no store is opened without them, and the next open
   tries again. What they do is in the conformance suite and in the schedules. */
#include <idem/async.h>
#include <idem/backend.h>

#include "registry.h"
#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures_left;
static int registrations;

/* A fork while the handlers are registered: before they are, or when they are but nobody knows yet.
   */
typedef enum { NEVER, BEFORE, BEHIND } moment;
static moment forks;

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* What a child does: it opens a store, and forks with it; its own child uses the store. */
static int use_stores(int registrations_wanted)
{
    int status = -1;
    idem_store *store = NULL;
    idem_outcome out;
    (void)alarm(20); /* instead of a hang */
    if (idem_open("memory://", &store, NULL))
        return 1;
    pid_t pid = fork();
    (void)alarm(20);
    if (idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, NULL) || out.kind != IDEM_NEW)
        return 2;
    idem_outcome_clear(&out);
    idem_close(store);
    if (pid == 0)
        _exit(0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return 3;
    return registrations == registrations_wanted ? 0 : 4;
}

static void fork_now(void)
{
    int status = -1;
    bool there = forks == BEHIND;
    forks = NEVER;
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_stores(there ? 1 : 2)); /* the one that was counted is the parent's */
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", (unsigned)status);
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (failures_left > 0) {
        failures_left--;
        return ENOMEM;
    }
    registrations++;
    if (forks == BEFORE)
        fork_now();
    int failed = __real_pthread_atfork(prepare, parent, child);
    if (forks == BEHIND)
        fork_now();
    return failed;
}

START_TEST(no_store_is_opened_without_handlers_for_fork)
{
    idem_store *store = NULL;
    idem_error error;
    failures_left = 2;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(idem_open("memory://", &store, &error), IDEM_ERR_NO_MEMORY);
        ck_assert_int_eq(error.code, IDEM_ERR_NO_MEMORY);
        ck_assert_ptr_null(store);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(idem_open("memory://", &store, &error), IDEM_OK);
        idem_close(store);
    }
    ck_assert_int_eq(registrations, 1);
}
END_TEST

static const moment moments[] = {BEFORE, BEHIND};

/* Each in a process whose handlers are not registered yet. */
START_TEST(a_child_of_a_fork_during_the_registration_has_them_once)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        forks = moments[_i];
        _exit(use_stores(1));
    }
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", (unsigned)status);
}
END_TEST

/* A store whose server does not answer: its calls stand here until they are let go. */
static const idem_backend_ops *memory;
static atomic_bool stands;
static atomic_bool let_go;

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

static int stand(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                 idem_error *error)
{
    atomic_store(&stands, true);
    while (!atomic_load(&let_go) && idem_monotonic_ms() < deadline_ms)
        pause_ms(1);
    atomic_store(&stands, false);
    return memory->submit(backend, ops, count, deadline_ms, error);
}

static atomic_bool refuses;
static atomic_uint refusals;
static atomic_uint disposals;

/* A server that can't be reached, once a fork() waits for the other store. */
static int open_refused(const idem_config *config, idem_backend **backend, idem_error *error)
{
    (void)config;
    (void)backend;
    (void)atomic_fetch_add(&refusals, 1);
    while (!atomic_load(&refuses))
        pause_ms(1);
    return idem_error_set(error, IDEM_ERR_ARGUMENT, "no") | IDEM_PERMANENT;
}

static int prepare_refused(const idem_config *config, void **prepared, idem_error *error)
{
    (void)config;
    (void)error;
    *prepared = &refusals;
    return IDEM_OK;
}

static void count_disposal(void *prepared)
{
    ck_assert_ptr_eq(prepared, &refusals);
    (void)atomic_fetch_add(&disposals, 1);
}

static void *open_in_vain(void *user)
{
    idem_store *none = NULL;
    idem_backend_ops ops = *memory;
    ops.open = open_refused;
    ops.prepare = prepare_refused;
    ops.dispose = count_disposal;
    *(int *)user = idem_open_backend(&ops, NULL, "timeout=300ms", &none, NULL);
    return NULL;
}

static void *begin_slowly(void *store)
{
    idem_outcome out;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, NULL), IDEM_OK);
    idem_outcome_clear(&out);
    return NULL;
}

static void *fork_slowly(void *unused)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    ck_assert(pid > 0 && waitpid(pid, NULL, 0) == pid);
    return unused;
}

/* The others work on while a thread that forks waits for one of them, and opening ends in time. */
START_TEST(a_store_is_opened_in_time_or_refused_while_a_fork_waits_for_another)
{
    pthread_t caller, forker;
    enum { TRIES = 500 };
    static idem_store *opened[TRIES];
    idem_store *slow, *other;
    idem_async *queue = NULL;
    idem_outcome out;
    idem_error error;
    atomic_store(&stands, false);
    atomic_store(&let_go, false);
    ck_assert_int_eq(idem__registry_find("memory", &memory, NULL), IDEM_OK);
    idem_backend_ops ops = *memory;
    ops.submit = stand;
    ops.traits &= ~(IDEM_TRAIT_CONCURRENT | IDEM_BACKEND_IN_PROCESS);
    ck_assert_int_eq(idem_open_backend(&ops, NULL, "timeout=30s", &slow, NULL), IDEM_OK);
    ck_assert_int_eq(idem_open("memory://?timeout=300ms", &other, NULL), IDEM_OK);
    ck_assert_int_eq(pthread_create(&caller, NULL, begin_slowly, slow), 0);
    while (!atomic_load(&stands))
        pause_ms(1);
    ck_assert_int_eq(pthread_create(&forker, NULL, fork_slowly, NULL), 0);
    int rc = IDEM_OK;
    for (int i = 0; i < TRIES && rc == IDEM_OK; i++, pause_ms(5)) { /* until the fork has begun */
        uint64_t began_ms = idem_monotonic_ms();
        rc = idem_open("memory://?timeout=300ms", &opened[i], &error);
        ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 10000);
    }
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(error.message, "fork()"));
    ck_assert_int_eq(idem_async_open(other, &queue, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(idem_begin(other, IDEM_REQUEST(.key = idem_str("o")), &out, NULL), IDEM_OK);
    idem_outcome_clear(&out);
    atomic_store(&let_go, true);
    ck_assert_int_eq(pthread_join(forker, NULL), 0);
    ck_assert_int_eq(pthread_join(caller, NULL), 0);
    ck_assert_int_eq(idem_async_open(other, &queue, &error), IDEM_OK);
    idem_async_close(queue);
    for (int i = 0; i < TRIES; i++)
        idem_close(opened[i]);
    idem_close(other);
    idem_close(slow);
}
END_TEST

/* It waits for neither the other store nor the fork(). What it leaves is ended by the next. */
START_TEST(an_open_that_fails_returns_while_a_fork_waits_for_another_store)
{
    pthread_t caller, forker, opener;
    enum { TRIES = 500 };
    static idem_store *probes[TRIES];
    size_t opened = 0;
    idem_store *slow;
    idem_error error;
    int refused = -1;
    int rc = IDEM_OK;
    atomic_store(&stands, false);
    atomic_store(&let_go, false);
    atomic_store(&refuses, false);
    atomic_store(&refusals, 0);
    atomic_store(&disposals, 0);
    ck_assert_int_eq(idem__registry_find("memory", &memory, NULL), IDEM_OK);
    idem_backend_ops ops = *memory;
    ops.submit = stand;
    ops.traits &= ~(IDEM_TRAIT_CONCURRENT | IDEM_BACKEND_IN_PROCESS);
    ck_assert_int_eq(idem_open_backend(&ops, NULL, "timeout=15s", &slow, NULL), IDEM_OK);
    ck_assert_int_eq(pthread_create(&caller, NULL, begin_slowly, slow), 0);
    ck_assert_int_eq(pthread_create(&opener, NULL, open_in_vain, &refused), 0);
    while (!atomic_load(&stands) || atomic_load(&refusals) == 0)
        pause_ms(1);
    ck_assert_int_eq(pthread_create(&forker, NULL, fork_slowly, NULL), 0);
    while (rc == IDEM_OK && opened < TRIES) { /* until the fork has begun */
        rc = idem_open("memory://?timeout=20ms", &probes[opened], &error);
        opened += rc == IDEM_OK;
        pause_ms(5);
    }
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(error.message, "fork()"));
    atomic_store(&refuses, true);
    ck_assert_int_eq(pthread_join(opener, NULL), 0);
    ck_assert_msg(atomic_load(&stands), "it waited for the other store");
    ck_assert_int_eq(refused, IDEM_ERR_ARGUMENT);
    atomic_store(&let_go, true);
    ck_assert_int_eq(pthread_join(forker, NULL), 0);
    ck_assert_int_eq(pthread_join(caller, NULL), 0);
    idem_close(slow);
    ck_assert_uint_eq(atomic_load(&disposals), 1);
    while (opened > 0)
        idem_close(probes[--opened]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork");
    ADD_ROWS(suite, a_child_of_a_fork_during_the_registration_has_them_once, moments);
    ADD(suite, no_store_is_opened_without_handlers_for_fork);
    ADD(suite, an_open_that_fails_returns_while_a_fork_waits_for_another_store);
    ADD(suite, a_store_is_opened_in_time_or_refused_while_a_fork_waits_for_another);
    return run_suite(suite);
}
