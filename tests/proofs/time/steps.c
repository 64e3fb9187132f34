/* SPDX-License-Identifier: MIT */
/*
 * A client's wall clock that is set by an hour, or a day, in mid-claim: no live claim is taken, none
 * that expired stays, retention ends when it should, and no call waits longer for it.
 */
#include "steps.h"

#include "faked.h"
#include "runner.h"

#include <idem/backend.h>

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define HOUR_S   3600L
#define DAY_S    86400L
#define SHORT_MS 200u
#define LONG_MS  60000u

/* From which offset to which the clock is set. */
static const struct {
    long before_s;
    long after_s;
} steps[] = {{0, HOUR_S}, {0, -HOUR_S}, {HOUR_S, -HOUR_S}, {0, DAY_S}};

static const char *store_url;
static idem_store *one;
static idem_store *other;
static idem_error err;
static char key_text[64];

#define KEY idem_str(key_text)

static void sleep_ms(unsigned ms)
{
    uint64_t until = idem_monotonic_ms() + ms;
    struct timespec moment = {.tv_nsec = 5000000};
    while (idem_monotonic_ms() < until)
        (void)nanosleep(&moment, NULL);
}

static void check_offset(long expected)
{
    long off = faked_offset() - expected;
    ck_assert_msg(off >= -2 && off <= 2,
                  "the clock is off by %ld s too much: libfaketime is not at "
                  "work",
                  off);
}

static void set_up(void)
{
    faked_set(steps[0].before_s);
    ck_assert_msg(idem_open(store_url, &one, &err) == IDEM_OK, "%s", err.message);
    ck_assert_msg(idem_open(store_url, &other, &err) == IDEM_OK, "%s", err.message);
    (void)snprintf(key_text, sizeof key_text, "key-%llu", (unsigned long long)idem_monotonic_ms());
}

static void tear_down(void)
{
    idem_close(one);
    idem_close(other);
    faked_set(0);
}

static idem_outcome begin(idem_store *store, const idem_request *request)
{
    idem_outcome out;
    ck_assert_msg(idem_begin(store, request, &out, &err) == IDEM_OK, "%s", err.message);
    return out;
}

static idem_outcome claim(unsigned lease_ms, unsigned ttl_ms, uint64_t flags)
{
    idem_outcome out = begin(
        one, IDEM_REQUEST(.key = KEY, .lease_ms = lease_ms, .ttl_ms = ttl_ms, .flags = flags));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    return out;
}

/* Asks as another caller. @return the attempt if it is IDEM_NEW, else 0 */
static uint32_t expect(idem_outcome_kind kind)
{
    idem_outcome out = begin(other, IDEM_REQUEST(.key = KEY, .lease_ms = LONG_MS));
    uint32_t attempt = out.kind == IDEM_NEW ? out.attempt : 0;
    ck_assert_int_eq(out.kind, kind);
    if (kind == IDEM_IN_PROGRESS)
        ck_assert(out.retry_after_ms > 0 && out.retry_after_ms <= LONG_MS);
    idem_outcome_clear(&out);
    return attempt;
}

static void step(int row)
{
    faked_set(steps[row].after_s);
    check_offset(steps[row].after_s);
}

static void before_step(int row)
{
    faked_set(steps[row].before_s);
    check_offset(steps[row].before_s);
}

START_TEST(no_live_claim_is_taken_because_a_clients_clock_moved)
{
    before_step(_i);
    idem_outcome out = claim(LONG_MS, 0, 0);
    step(_i);
    (void)expect(IDEM_IN_PROGRESS);
    before_step(_i);
    (void)expect(IDEM_IN_PROGRESS);
    step(_i);
    ck_assert_int_eq(idem_renew(one, out.claim, 0, &err), IDEM_OK);
    (void)expect(IDEM_IN_PROGRESS);
    ck_assert_int_eq(idem_complete(one, out.claim, idem_str("1"), &err), IDEM_OK);
    before_step(_i);
    (void)expect(IDEM_COMPLETED);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(no_expired_claim_stays_because_a_clients_clock_moved)
{
    before_step(_i);
    idem_outcome out = claim(SHORT_MS, 0, 0);
    step(_i);
    sleep_ms(SHORT_MS + 50);
    ck_assert_uint_eq(expect(IDEM_NEW), 2);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(retention_ends_in_its_time_whatever_a_clients_clock_says)
{
    before_step(_i);
    idem_outcome out = claim(SHORT_MS, 2 * SHORT_MS, 0);
    ck_assert_int_eq(idem_complete(one, out.claim, idem_str("1"), &err), IDEM_OK);
    step(_i);
    (void)expect(IDEM_COMPLETED);
    sleep_ms(2 * SHORT_MS + 50);
    ck_assert_uint_eq(expect(IDEM_NEW), 1);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_keepalive_goes_on_while_the_clock_is_set_forth_and_back)
{
    before_step(_i);
    idem_outcome out = claim(2 * SHORT_MS, 0, IDEM_KEEPALIVE);
    for (int i = 0; i < 6; i++) {
        if (i % 2)
            before_step(_i);
        else
            step(_i);
        sleep_ms(SHORT_MS);
        (void)expect(IDEM_IN_PROGRESS);
    }
    ck_assert(!idem_claim_lost(out.claim));
    ck_assert_int_eq(idem_complete(one, out.claim, idem_str("1"), &err), IDEM_OK);
    idem_outcome_clear(&out);
}
END_TEST

static void *set_clock_soon(void *argument)
{
    sleep_ms(SHORT_MS / 3);
    step(*(int *)argument);
    return NULL;
}

/* The clock is set while a call waits: it comes back when its time is over, not an hour later. */
START_TEST(a_wait_ends_in_its_time_whatever_the_clock_says)
{
    pthread_t thread;
    int row = _i;
    before_step(_i);
    idem_outcome out = claim(LONG_MS, 0, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, set_clock_soon, &row), 0);
    uint64_t from = idem_monotonic_ms();
    idem_outcome waited = begin(other, IDEM_REQUEST(.key = KEY, .wait_ms = SHORT_MS));
    uint64_t took = idem_monotonic_ms() - from;
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(waited.kind, IDEM_IN_PROGRESS);
    ck_assert_msg(took >= SHORT_MS && took < 20 * SHORT_MS, "it took %llu ms",
                  (unsigned long long)took);
    idem_outcome_clear(&waited);
    idem_outcome_clear(&out);
}
END_TEST

static void add(Suite *suite, const TTest *test)
{
    TCase *tcase = tcase_create(test->name);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, test, 0, (int)(sizeof steps / sizeof steps[0]));
    suite_add_tcase(suite, tcase);
}

int steps_run(const char *url)
{
    Suite *suite = suite_create("wall clocks that are set");
    store_url = url;
    add(suite, no_live_claim_is_taken_because_a_clients_clock_moved);
    add(suite, no_expired_claim_stays_because_a_clients_clock_moved);
    add(suite, retention_ends_in_its_time_whatever_a_clients_clock_says);
    add(suite, a_keepalive_goes_on_while_the_clock_is_set_forth_and_back);
    add(suite, a_wait_ends_in_its_time_whatever_the_clock_says);
    return run_suite(suite);
}
