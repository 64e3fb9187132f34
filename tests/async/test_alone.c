/* SPDX-License-Identifier: MIT */
/*
 * A store on the caller's own SQLite connection: it is entered by the thread that dispatches and by no
 * other, the descriptor says when there is something to do, and what is done is part of the caller's
 * transaction.
 */
#include "loop.h"
#include "runner.h"

#include <idem/sqlite.h>

#include <poll.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

static sqlite3 *db;
static idem_store *store;
static idem_async *async;
static pthread_t main_thread;
static atomic_uint strangers; /* statements that another thread ran */

static int trace(unsigned kind, void *user, void *statement, void *text)
{
    (void)kind;
    (void)user;
    (void)statement;
    (void)text;
    if (!pthread_equal(pthread_self(), main_thread))
        (void)atomic_fetch_add(&strangers, 1);
    return 0;
}

static void set_up(void)
{
    idem_error error;
    main_thread = pthread_self();
    atomic_store(&strangers, 0);
    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    ck_assert_int_eq(idem_sqlite_open_on(db, "timeout=500ms", &store, &error), IDEM_OK);
    ck_assert_int_eq(sqlite3_trace_v2(db, SQLITE_TRACE_STMT, trace, NULL), SQLITE_OK);
    ck_assert_int_eq(idem_async_open(store, &async, &error), IDEM_OK);
}

static void tear_down(void)
{
    idem_async_close(async);
    idem_close(store);
    (void)sqlite3_close(db);
    ck_assert_uint_eq(atomic_load(&strangers), 0);
}

static void execute(const char *sql)
{
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

START_TEST(calls_are_carried_out_by_who_dispatches)
{
    answer told = {.answers = 0};
    answer done = {.answers = 0};
    ck_assert(!loop_is_readable(async, 0));
    (void)loop_begin(async, "k", &told);
    ck_assert(loop_is_readable(async, 0)); /* there is something to do */
    ck_assert_uint_eq(told.answers, 0);
    ck_assert_uint_eq(idem_async_dispatch(async, 0), 1);
    assert_told(told, IDEM_OK);
    ck_assert_int_eq(told.outcome.kind, IDEM_NEW);
    ck_assert(!loop_is_readable(async, 0));
    ck_assert_int_eq(idem_async_complete(async, told.outcome.claim, idem_str("1"), on_changed,
                                         &done, NULL, NULL),
                     IDEM_OK);
    loop_until(async, &done);
    assert_told(done, IDEM_OK);
    idem_outcome_clear(&told.outcome);
}
END_TEST

START_TEST(what_is_done_is_part_of_the_callers_transaction)
{
    answer told = {.answers = 0};
    idem_record record;
    execute("BEGIN IMMEDIATE");
    (void)loop_begin(async, "k", &told);
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    ck_assert_int_eq(idem_get(store, idem_str("k"), &record, NULL), IDEM_OK);
    idem_record_clear(&record);
    execute("ROLLBACK");
    ck_assert_int_eq(idem_get(store, idem_str("k"), &record, NULL), IDEM_ERR_NOT_FOUND);
    idem_outcome_clear(&told.outcome);
}
END_TEST

/* The descriptor becomes readable when it is time to look again, and not before. */
START_TEST(a_wait_needs_no_dispatch_in_between)
{
    answer waiting = {.answers = 0};
    answer done = {.answers = 0};
    idem_outcome held = loop_claim(async, "k");
    uint64_t began = idem_monotonic_ms();
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("k"), .wait_ms = 1000),
                                      on_begun, &waiting, NULL, NULL),
                     IDEM_OK);
    unsigned turns = 0;
    while (idem_monotonic_ms() - began < 300) {
        if (loop_is_readable(async, 50)) {
            (void)idem_async_dispatch(async, 0);
            turns++;
        }
    }
    ck_assert_uint_le(turns, 100);
    ck_assert_uint_eq(waiting.answers, 0);
    ck_assert_int_eq(
        idem_async_complete(async, held.claim, idem_str("1"), on_changed, &done, NULL, NULL),
        IDEM_OK);
    loop_until_idle(async);
    assert_told(done, IDEM_OK);
    assert_told(waiting, IDEM_OK);
    ck_assert_int_eq(waiting.outcome.kind, IDEM_COMPLETED);
    idem_outcome_clear(&waiting.outcome);
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(a_call_that_is_not_dispatched_in_time_is_told_so)
{
    answer told = {.answers = 0};
    (void)loop_begin(async, "k", &told);
    uint64_t began = idem_monotonic_ms();
    while (idem_monotonic_ms() - began < 700) {
        (void)poll(NULL, 0, 50);
    }
    ck_assert_uint_eq(idem_async_dispatch(async, 0), 1);
    assert_told(told, IDEM_ERR_UNAVAILABLE);
}
END_TEST

START_TEST(cancel_and_close_are_as_elsewhere)
{
    answer told[3] = {{.answers = 0}};
    idem_error error;
    idem_async_call call = loop_begin(async, "a", &told[0]);
    ck_assert(idem_async_cancel(async, call));
    ck_assert_uint_eq(idem_async_dispatch(async, 0), 1);
    assert_told(told[0], IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(idem_async_begin(async,
                                      IDEM_REQUEST(.key = idem_str("a"), .flags = IDEM_KEEPALIVE),
                                      on_begun, &told[2], NULL, &error),
                     IDEM_ERR_UNSUPPORTED);
    (void)loop_begin(async, "b", &told[1]);
    idem_async_close(async);
    async = NULL;
    assert_told(told[1], IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(told[2].answers, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async alone");
    ADD_HERE(suite, calls_are_carried_out_by_who_dispatches, 1);
    ADD_HERE(suite, what_is_done_is_part_of_the_callers_transaction, 1);
    ADD_HERE(suite, a_wait_needs_no_dispatch_in_between, 1);
    ADD_HERE(suite, a_call_that_is_not_dispatched_in_time_is_told_so, 1);
    ADD_HERE(suite, cancel_and_close_are_as_elsewhere, 1);
    return run_suite(suite);
}
