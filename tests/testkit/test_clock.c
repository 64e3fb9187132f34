/* SPDX-License-Identifier: MIT */
/* The virtual clock: what it moves, what it waits for, and that none of it takes real time. */
#include <idem/async.h>
#include <idem/testkit.h>

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "leave.h"

#include <sys/wait.h>

#define KEY      idem_str("charge-42")
#define MINUTE   UINT64_C(60000)
#define QUICK_MS UINT64_C(20000) /* real time that a busy machine needs for far less */

static idem_store *store;
static idem_error err;
static uint64_t began_ms;

static uint64_t real_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#define assert_ok(call) ck_assert_msg((call) == IDEM_OK, "%s: %s", #call, err.message)

static void open_on(uint64_t flags, const char *url)
{
    began_ms = real_ms();
    idem_testkit_clock_start(flags);
    assert_ok(idem_testkit_register(&err));
    assert_ok(idem_open(url, &store, &err));
}

static void close_store(void)
{
    idem_close(store);
    idem_testkit_clock_stop();
    idem_testkit_faults_clear();
    ck_assert_uint_lt(real_ms() - began_ms, QUICK_MS);
}

static idem_outcome begin(const idem_request *request)
{
    idem_outcome out;
    assert_ok(idem_begin(store, request, &out, &err));
    return out;
}

#define BEGIN(...) begin(IDEM_REQUEST(__VA_ARGS__))

static void assert_kind(idem_outcome_kind kind)
{
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = MINUTE);
    ck_assert_int_eq(out.kind, kind);
    idem_outcome_clear(&out);
}

START_TEST(time_stands_still_until_it_is_advanced)
{
    open_on(0, "memory://");
    uint64_t at_ms = idem_monotonic_ms();
    int64_t wall_ms = idem_wall_ms();
    struct timespec pause = {.tv_nsec = 20000000};
    (void)nanosleep(&pause, NULL);
    ck_assert_uint_eq(idem_monotonic_ms(), at_ms);
    idem_testkit_clock_advance(MINUTE);
    ck_assert_uint_eq(idem_monotonic_ms(), at_ms + MINUTE);
    ck_assert_uint_eq(idem_monotonic_coarse_ms(), at_ms + MINUTE);
    ck_assert_int_eq(idem_wall_ms(), wall_ms + (int64_t)MINUTE);
    close_store();
    ck_assert_uint_lt(idem_monotonic_ms(), at_ms + MINUTE);
    idem_testkit_clock_advance(MINUTE); /* without the clock it does nothing */
}
END_TEST

static void leases_and_retention(const char *url)
{
    open_on(0, url);
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = MINUTE);
    idem_testkit_clock_advance(MINUTE - 1);
    assert_kind(IDEM_IN_PROGRESS);
    idem_testkit_clock_advance(2);
    idem_outcome taken = BEGIN(.key = KEY, .lease_ms = MINUTE);
    ck_assert_int_eq(taken.kind, IDEM_NEW);
    ck_assert_uint_eq(taken.attempt, 2);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), &err), IDEM_ERR_LOST);
    assert_ok(idem_complete(store, taken.claim, idem_str("2"), &err));
    assert_kind(IDEM_COMPLETED);
    idem_testkit_clock_advance(24 * 60 * MINUTE + 2);
    assert_kind(IDEM_NEW);
    idem_outcome_clear(&out);
    idem_outcome_clear(&taken);
    close_store();
}

START_TEST(leases_and_retention_go_by_it)
{
    leases_and_retention("memory://");
    leases_and_retention("faulty+memory://");
}
END_TEST

#ifdef WITH_SQLITE
START_TEST(sqlite_goes_by_it_behind_the_faulty_store)
{
    leases_and_retention("faulty+sqlite::memory:");
}
END_TEST
#endif

/* ---------------------------------------------------------------------------------- one thread */

START_TEST(a_wait_of_one_thread_takes_no_time)
{
    open_on(IDEM_TESTKIT_CLOCK_AUTO, "memory://");
    uint64_t at_ms = idem_monotonic_ms();
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = MINUTE);
    idem_outcome other = BEGIN(.key = KEY, .wait_ms = MINUTE / 2);
    ck_assert_int_eq(other.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_ge(idem_monotonic_ms(), at_ms + MINUTE / 2);
    idem_outcome_clear(&other);
    other = BEGIN(.key = KEY, .wait_ms = MINUTE);
    ck_assert_int_eq(other.kind, IDEM_NEW);
    ck_assert_uint_eq(other.attempt, 2);
    ck_assert_uint_ge(idem_monotonic_ms(), at_ms + MINUTE);
    ck_assert_uint_lt(idem_monotonic_ms(), at_ms + MINUTE + 2000);
    idem_outcome_clear(&other);
    idem_outcome_clear(&out);
    close_store();
}
END_TEST

START_TEST(a_store_that_is_down_is_tried_up_to_the_deadline)
{
    idem_outcome out;
    open_on(IDEM_TESTKIT_CLOCK_AUTO, "faulty+memory://");
    uint64_t at_ms = idem_monotonic_ms();
    size_t down = IDEM_FAULT(.kind = IDEM_FAULT_BEFORE, .times = IDEM_FAULT_ALWAYS);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = KEY, .timeout_ms = MINUTE), &out, &err),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_ge(idem_monotonic_ms(), at_ms + MINUTE - 1000);
    ck_assert_uint_le(idem_monotonic_ms(), at_ms + MINUTE + 1);
    ck_assert_uint_gt(idem_testkit_fault_hits(down), 5);
    close_store();
}
END_TEST

START_TEST(a_late_reply_moves_the_clock)
{
    idem_outcome out;
    open_on(0, "faulty+memory://");
    uint64_t at_ms = idem_monotonic_ms();
    IDEM_FAULT(.kind = IDEM_FAULT_LATE, .late_ms = 1000);
    int rc = idem_begin(store, IDEM_REQUEST(.key = KEY, .timeout_ms = MINUTE), &out, &err);
    ck_assert(rc == IDEM_OK || rc == IDEM_ERR_UNCERTAIN);
    ck_assert_uint_ge(idem_monotonic_ms(), at_ms + MINUTE + 1000);
    idem_outcome_clear(&out);
    close_store();
}
END_TEST

/* ----------------------------------------------------------------------------- several threads */

typedef struct {
    idem_outcome out;
    int rc;
    uint64_t wait_ms;
    _Atomic bool done;
} waiter;

static void *wait_for_key(void *argument)
{
    waiter *it = argument;
    it->rc = idem_begin(store, IDEM_REQUEST(.key = KEY, .wait_ms = it->wait_ms), &it->out, NULL);
    atomic_store(&it->done, true);
    return NULL;
}

/* Until the thread waits, by what it has done to the store: it has looked at the key. */
static void await_looks(uint64_t count)
{
    while (idem_testkit_fault_seen(IDEM_OP_INSERT) < count)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

START_TEST(waits_of_other_threads_end_when_it_is_advanced_and_not_before)
{
    pthread_t thread;
    waiter it = {.wait_ms = MINUTE};
    open_on(0, "faulty+memory://");
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = 10 * MINUTE);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_key, &it), 0);
    await_looks(2);
    idem_testkit_clock_advance(MINUTE / 2);
    ck_assert(!atomic_load(&it.done));
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_testkit_clock_advance(MINUTE / 2 + 1);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(it.rc, IDEM_OK);
    ck_assert_int_eq(it.out.kind, IDEM_COMPLETED);
    idem_outcome_clear(&it.out);
    idem_outcome_clear(&out);
    close_store();
}
END_TEST

START_TEST(the_keepalive_renews_in_virtual_time)
{
    open_on(0, "faulty+memory://");
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = MINUTE, .flags = IDEM_KEEPALIVE);
    idem_testkit_clock_advance(30 * MINUTE);
    ck_assert_uint_ge(idem_testkit_fault_seen(IDEM_OP_REPLACE), 80);
    ck_assert_uint_le(idem_testkit_fault_seen(IDEM_OP_REPLACE), 125); /* they are spread */
    assert_kind(IDEM_IN_PROGRESS);
    ck_assert(!idem_claim_lost(out.claim));
    assert_ok(idem_forget(store, KEY, &err));
    idem_testkit_clock_advance(MINUTE);
    ck_assert(idem_claim_lost(out.claim));
    idem_outcome_clear(&out);
    close_store();
}
END_TEST

/* Another caller waits by itself while the keepalive holds the lease. */
START_TEST(by_itself_it_goes_on_beside_the_keepalive)
{
    open_on(IDEM_TESTKIT_CLOCK_AUTO, "memory://");
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = MINUTE, .flags = IDEM_KEEPALIVE);
    idem_outcome other = BEGIN(.key = KEY, .wait_ms = 3 * MINUTE);
    ck_assert_int_eq(other.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&other);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    close_store();
}
END_TEST

static void take_outcome(void *user, idem_outcome *outcome, const idem_error *error)
{
    ck_assert_msg(!error || error->code == IDEM_OK, "%s", error->message);
    *(idem_outcome_kind *)user = outcome->kind;
    idem_outcome_clear(outcome);
}

START_TEST(submitted_calls_wait_by_it)
{
    idem_async *async = NULL;
    idem_outcome_kind kind = 0;
    open_on(0, "memory://");
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = MINUTE);
    assert_ok(idem_async_open(store, &async, &err));
    assert_ok(idem_async_begin(async, IDEM_REQUEST(.key = KEY, .wait_ms = 2 * MINUTE), take_outcome,
                               &kind, NULL, &err));
    idem_testkit_clock_advance(MINUTE / 2);
    (void)idem_async_dispatch(async, 0);
    ck_assert_int_eq(kind, 0);
    while (kind == 0) { /* a worker may take the call up behind the clock's last step */
        idem_testkit_clock_advance(MINUTE);
        (void)idem_async_dispatch(async, 0);
    }
    ck_assert_int_eq(kind, IDEM_NEW);
    idem_async_close(async);
    idem_outcome_clear(&out);
    close_store();
}
END_TEST

START_TEST(a_child_of_fork_has_the_clock_to_itself)
{
    int status = 1;
    open_on(0, "memory://");
    idem_outcome out = BEGIN(.key = KEY, .lease_ms = MINUTE, .flags = IDEM_KEEPALIVE);
    idem_testkit_clock_advance(MINUTE);
    pid_t child = fork();
    if (child == 0) {
        uint64_t at_ms = idem_monotonic_ms();
        idem_testkit_clock_advance(MINUTE);
        leave(idem_monotonic_ms() == at_ms + MINUTE ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    idem_testkit_clock_advance(MINUTE);
    idem_outcome_clear(&out);
    close_store();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tcase = tcase_create("clock");
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, time_stands_still_until_it_is_advanced);
    tcase_add_test(tcase, leases_and_retention_go_by_it);
#ifdef WITH_SQLITE
    tcase_add_test(tcase, sqlite_goes_by_it_behind_the_faulty_store);
#endif
    tcase_add_test(tcase, a_wait_of_one_thread_takes_no_time);
    tcase_add_test(tcase, a_store_that_is_down_is_tried_up_to_the_deadline);
    tcase_add_test(tcase, a_late_reply_moves_the_clock);
    tcase_add_test(tcase, waits_of_other_threads_end_when_it_is_advanced_and_not_before);
    tcase_add_test(tcase, the_keepalive_renews_in_virtual_time);
    tcase_add_test(tcase, by_itself_it_goes_on_beside_the_keepalive);
    tcase_add_test(tcase, submitted_calls_wait_by_it);
    tcase_add_test(tcase, a_child_of_fork_has_the_clock_to_itself);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
