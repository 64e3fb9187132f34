/* SPDX-License-Identifier: MIT */
/* What is done with a backend as a whole: what is repeated, and what the caller is told. */
#include "attempt.h"

#include "clock.h"
#include "runner.h"
#include "store.h"

#define LONG_MS UINT64_C(30000)
#define TRIES   64u

static idem_store *store;
static int codes[TRIES]; /* of the tries, in turn; then IDEM_OK */
static unsigned tries;
static unsigned events;
static int told; /* the code of the last event */

static void note_event(void *user, const idem_event *event)
{
    (void)user;
    events += event->kind == IDEM_EVENT_RETRY;
    told = event->code;
    ck_assert(event->message[0] != '\0');
}

static void set_up(void)
{
    idem_options options = {.size = sizeof options, .on_event = note_event};
    ck_assert_int_eq(idem_open_with("memory:?timeout=5s", &options, &store, NULL), IDEM_OK);
    memset(codes, 0, sizeof codes);
    tries = events = 0;
    told = 0;
}

static void tear_down(void)
{
    idem_close(store);
}

static int once(idem_store *on, void *user, uint64_t deadline_ms, idem_error *error)
{
    int code = tries < TRIES ? codes[tries] : IDEM_OK;
    ck_assert_ptr_eq(on, store);
    ck_assert_ptr_eq(user, codes);
    ck_assert_uint_gt(deadline_ms, 0);
    tries++;
    if (code)
        (void)idem_error_set(error, code & ~IDEM_PERMANENT, "try %u failed", tries);
    return code;
}

static int run(bool changes, uint64_t deadline_ms, idem_error *error)
{
    const idem__attempt attempt = {.once = once, .user = codes, .changes = changes};
    return idem__repeat(store, &attempt, deadline_ms, error);
}

START_TEST(what_may_succeed_later_is_repeated_until_it_does)
{
    idem_error error = {.code = IDEM_OK};
    codes[0] = IDEM_ERR_UNAVAILABLE;
    codes[1] = IDEM_ERR_UNCERTAIN;
    codes[2] = IDEM_ERR_UNAVAILABLE;
    ck_assert_int_eq(run(true, idem__clock_deadline(LONG_MS), &error), IDEM_OK);
    ck_assert_uint_eq(tries, 4);
    ck_assert_uint_eq(events, 3);
}
END_TEST

static const int for_good[] = {
    IDEM_ERR_UNAVAILABLE | IDEM_PERMANENT,
    IDEM_ERR_CORRUPT,
    IDEM_ERR_FULL,
    IDEM_ERR_ARGUMENT,
    IDEM_ERR_NO_MEMORY,
    IDEM_ERR_TOO_LARGE | IDEM_PERMANENT,
};

START_TEST(what_fails_for_good_is_not_repeated)
{
    idem_error error = {.code = IDEM_OK};
    codes[0] = for_good[_i];
    int rc = run(true, idem__clock_deadline(LONG_MS), &error);
    ck_assert_int_eq(rc, for_good[_i] & ~IDEM_PERMANENT);
    ck_assert_int_eq(error.code, rc);
    ck_assert_ptr_nonnull(strstr(error.message, "try 1 failed"));
    ck_assert_uint_eq(tries, 1);
    ck_assert_uint_eq(events, 0);
}
END_TEST

/* A change may have been made by the try whose reply was lost, whatever the last one says. */
START_TEST(what_changes_stays_in_doubt_and_what_reads_does_not)
{
    idem_error error = {.code = IDEM_OK};
    codes[0] = IDEM_ERR_UNCERTAIN;
    codes[1] = IDEM_ERR_UNAVAILABLE | IDEM_PERMANENT;
    bool changes = _i == 0;
    int rc = run(changes, idem__clock_deadline(LONG_MS), &error);
    ck_assert_int_eq(rc, changes ? IDEM_ERR_UNCERTAIN : IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(error.code, rc);
    ck_assert_ptr_nonnull(strstr(error.message, "try 2 failed"));
    ck_assert_uint_eq(tries, 2);
    ck_assert_int_eq(told, changes ? IDEM_ERR_UNCERTAIN : IDEM_ERR_UNAVAILABLE);
}
END_TEST

static uint64_t slow_ms = 1000; /* a clock on which each sleep takes too long */

static uint64_t read_slow_clock(void)
{
    return slow_ms;
}

static int64_t read_slow_wall(void)
{
    return 0;
}

static void oversleep(uint64_t until_ms)
{
    slow_ms = until_ms + 100;
}

static void go_on(bool woken)
{
    (void)woken;
}

static void start_thread(void)
{
}

START_TEST(one_that_is_woken_late_ends_by_the_error_that_is_known)
{
    static const idem_time_source slow = {.size = sizeof slow,
                                          .monotonic_ms = read_slow_clock,
                                          .wall_ms = read_slow_wall,
                                          .waits = oversleep,
                                          .goes_on = go_on,
                                          .thread_starts = start_thread};
    idem_error error = {.code = IDEM_OK};
    codes[0] = IDEM_ERR_UNAVAILABLE;
    idem_time_source_set(&slow);
    int rc = run(false, slow_ms + 60, &error);
    idem_time_source_set(NULL);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(tries, 1);
    ck_assert_str_eq(error.message, "try 1 failed");
}
END_TEST

START_TEST(the_deadline_ends_it)
{
    idem_error error = {.code = IDEM_OK};
    for (size_t i = 0; i < TRIES; i++)
        codes[i] = IDEM_ERR_UNAVAILABLE;
    uint64_t deadline_ms = idem__clock_deadline(60);
    ck_assert_int_eq(run(false, deadline_ms, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_ge(tries, 1);
    ck_assert_uint_lt(tries, TRIES);
    /* A time that is over is one try. */
    tries = 0;
    ck_assert_int_eq(run(false, idem_monotonic_ms(), &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(tries, 1);
}
END_TEST

START_TEST(a_code_that_is_none_becomes_one)
{
    idem_error error = {.code = IDEM_OK};
    codes[0] = 99;
    ck_assert_int_eq(run(false, idem__clock_deadline(LONG_MS), &error), IDEM_ERR_INTERNAL);
    ck_assert_int_eq(error.code, IDEM_ERR_INTERNAL);
    ck_assert_uint_eq(tries, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attempt");
    ADD_HERE(suite, what_may_succeed_later_is_repeated_until_it_does, 1);
    ADD_HERE(suite, what_fails_for_good_is_not_repeated, sizeof for_good / sizeof for_good[0]);
    ADD_HERE(suite, what_changes_stays_in_doubt_and_what_reads_does_not, 2);
    ADD_HERE(suite, one_that_is_woken_late_ends_by_the_error_that_is_known, 1);
    ADD_HERE(suite, the_deadline_ends_it, 1);
    ADD_HERE(suite, a_code_that_is_none_becomes_one, 1);
    return run_suite(suite);
}
