/* SPDX-License-Identifier: MIT */
/*
 * The memory backend under many threads: its capacity is exact, each key is one caller's, and a
 * fork() in the middle of it all leaves both sides with stores that work.
 */
#include "memory_fixture.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8

/* ----------------------------------------------------------------------------------- capacity */

START_TEST(a_full_store_refuses_and_drops_nothing_that_lives)
{
    idem_error error;
    idem_outcome outcome;
    atomic_store(&time_ms, 1000);
    idem_store *store = open_told("memory://?capacity=100");
    ck_assert_int_eq(begin(store, idem_str("long"), 1000000), IDEM_NEW);
    for (unsigned i = 0; i < 99; i++)
        ck_assert_int_eq(begin_number(store, "short", i, 10), IDEM_NEW);
    atomic_fetch_add(&time_ms, 9);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("more")), &outcome, &error),
                     IDEM_ERR_FULL);
    ck_assert_ptr_nonnull(strstr(error.message, "capacity=100"));
    ck_assert_uint_eq(count_records(store, ""), 100);
    ck_assert_int_eq(begin(store, idem_str("long"), 10), IDEM_IN_PROGRESS);
    atomic_fetch_add(&time_ms, 2);
    for (unsigned i = 0; i < 99; i++)
        ck_assert_int_eq(begin_number(store, "next", i, 1000), IDEM_NEW);
    ck_assert_int_eq(begin(store, idem_str("more"), 10), -IDEM_ERR_FULL);
    ck_assert_int_eq(begin(store, idem_str("long"), 10), IDEM_IN_PROGRESS);
    ck_assert_int_eq(idem_forget(store, idem_str("long"), NULL), IDEM_OK);
    ck_assert_int_eq(begin(store, idem_str("more"), 10), IDEM_NEW);
    idem_close(store);
}
END_TEST

static void assert_places(idem_store *store, unsigned places)
{
    atomic_fetch_add(&time_ms, 1000000);
    for (unsigned i = 0; i < places; i++) {
        int kind = begin_number(store, "place", i, 60000);
        if (kind != IDEM_NEW)
            ck_abort_msg("place %u: %d", i, kind);
    }
    ck_assert_int_eq(begin(store, idem_str("more"), 60000), -IDEM_ERR_FULL);
    ck_assert_uint_eq(count_records(store, ""), places);
}

START_TEST(what_expires_gives_its_place_back)
{
    atomic_store(&time_ms, 1000);
    idem_store *store = open_told("memory://?capacity=1000");
    for (unsigned i = 0; i < 20000; i++) {
        int kind = begin_number(store, "short", i, 10);
        if (kind != IDEM_NEW)
            ck_abort_msg("key %u: %d", i, kind);
        if (i % 20 == 0)
            atomic_fetch_add(&time_ms, 1); /* 200 are live at a time */
    }
    assert_places(store, 1000);
    idem_close(store);
}
END_TEST

typedef struct {
    idem_store *store;
    unsigned index;
    unsigned news;
    unsigned full;
    unsigned others;
} worker;

static void run_workers(idem_store *store, void *(*work)(void *), worker workers[THREADS])
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){.store = store, .index = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

static void tally(worker *w, int kind)
{
    w->news += kind == IDEM_NEW;
    w->full += kind == -IDEM_ERR_FULL;
    w->others += kind != IDEM_NEW && kind != -IDEM_ERR_FULL;
}

static worker sum_of(const worker workers[THREADS])
{
    worker sum = {0};
    for (unsigned i = 0; i < THREADS; i++) {
        sum.news += workers[i].news;
        sum.full += workers[i].full;
        sum.others += workers[i].others;
    }
    return sum;
}

static void *fill(void *arg)
{
    worker *w = arg;
    for (unsigned i = 0; i < 4000; i++)
        tally(w, begin_number(w->store, "fill", w->index * 10000 + i, 60000));
    return NULL;
}

/* Fills up, gives back, lets expire. */
static void *churn(void *arg)
{
    worker *w = arg;
    char buf[64];
    for (unsigned i = 0; i < 400; i++) {
        idem_bytes key = number_key(buf, sizeof buf, "churn", w->index * 1000 + i % 40);
        tally(w, begin(w->store, key, i % 3 ? 60000 : 5));
        if (i % 4 == 0)
            (void)idem_forget(w->store, key, NULL);
        if (i % 16 == 0)
            atomic_fetch_add(&time_ms, 1);
    }
    return NULL;
}

START_TEST(the_capacity_is_exact_under_threads)
{
    worker workers[THREADS];
    atomic_store(&time_ms, 1000);
    idem_store *store = open_told("memory://?capacity=30000");
    run_workers(store, fill, workers);
    worker sum = sum_of(workers);
    ck_assert_uint_eq(sum.news, 30000);
    ck_assert_uint_eq(sum.full, THREADS * 4000 - 30000);
    ck_assert_uint_eq(count_records(store, ""), 30000);
    idem_close(store);
}
END_TEST

START_TEST(no_place_is_lost_or_made)
{
    worker workers[THREADS];
    atomic_store(&time_ms, 1000);
    idem_store *store = open_told("memory://?capacity=100");
    run_workers(store, churn, workers);
    ck_assert_uint_gt(sum_of(workers).full, 0);
    ck_assert_uint_le(count_records(store, ""), 100);
    assert_places(store, 100);
    idem_close(store);
}
END_TEST

/* ------------------------------------------------------------------------------ races and forks */

static void *race(void *arg)
{
    worker *w = arg;
    for (unsigned i = 0; i < 2000; i++)
        tally(w, begin_number(w->store, "race", i, 60000));
    return NULL;
}

START_TEST(one_caller_gets_each_key)
{
    worker workers[THREADS];
    idem_store *store = open_plain("memory://");
    run_workers(store, race, workers);
    worker sum = sum_of(workers);
    ck_assert_uint_eq(sum.news, 2000);
    ck_assert_uint_eq(sum.others, (THREADS - 1) * 2000);
    idem_close(store);
}
END_TEST

/* A child may find the lock of ASan's allocator taken by a thread that it does not have. */
static const unsigned hammers = ADDRESS_SANITIZED ? 0 : 4;
static atomic_bool stop;

static void *hammer(void *arg)
{
    worker *w = arg;
    for (unsigned i = 0; !atomic_load(&stop); i++)
        tally(w, begin_number(w->store, "hammer", w->index * 100000 + i % 1000, 5));
    return NULL;
}

static void *open_and_close(void *arg)
{
    while (!atomic_load((atomic_bool *)arg)) {
        idem_store *store = open_plain("memory://shared");
        idem_close(store);
    }
    return NULL;
}

/* What a child does with the stores: all of it has to work without a thread of the parent's. */
static int child(idem_store *shared, idem_store *own)
{
    char buf[64];
    (void)alarm(300);
    for (unsigned i = 0; i < 300; i++) {
        if (begin_number(shared, "child", i, 60000) != IDEM_NEW ||
            begin(own, number_key(buf, sizeof buf, "child", i), 60000) != IDEM_NEW)
            return 1;
    }
    if (begin(own, idem_str("before"), 60000) != IDEM_IN_PROGRESS)
        return 2;
    idem_store *late = NULL;
    if (idem_open("memory://shared", &late, NULL) ||
        begin(late, idem_str("child-7"), 60000) != IDEM_IN_PROGRESS)
        return 3;
    idem_close(late);
    idem_close(shared);
    idem_close(own);
    return 0;
}

START_TEST(both_sides_of_a_fork_work_on)
{
    pthread_t threads[THREADS];
    worker workers[THREADS];
    idem_store *shared = open_plain("memory://shared");
    idem_store *again = open_plain("memory://shared");
    idem_store *own = open_plain("memory://");
    ck_assert_int_eq(begin(own, idem_str("before"), 60000), IDEM_NEW);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < hammers; i++) {
        workers[i] = (worker){.store = i % 2 ? own : shared, .index = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, i ? hammer : open_and_close,
                                        i ? (void *)&workers[i] : (void *)&stop),
                         0);
    }
    for (int i = 0; i < 20; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(child(shared, own));
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(begin_number(shared, "parent", (unsigned)i, 60000), IDEM_NEW);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < hammers; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(count_records(again, "child"), 0);
    idem_close(shared);
    idem_close(again);
    idem_close(own);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_threads");
    ADD(suite, a_full_store_refuses_and_drops_nothing_that_lives);
    ADD(suite, what_expires_gives_its_place_back);
    ADD(suite, the_capacity_is_exact_under_threads);
    ADD(suite, no_place_is_lost_or_made);
    ADD(suite, one_caller_gets_each_key);
    ADD(suite, both_sides_of_a_fork_work_on);
    return run_suite(suite);
}
