/* SPDX-License-Identifier: MIT */
/*
 * Redis keeps time by its server's wall clock. What follows if that clock is set, as the documents say:
 * forth, and leases and records end early by as much; back, and they end late. The versions hold all the
 * same: an owner that was overtaken is told so.
 *
 * libfaketime and the server's allocator don't get on. All that a server's clock does to a record is to
 * change what is left of its life, so the test does that.
 */
#include "runner.h"
#include "server.h"

#include <idem/idem.h>

#define HOUR_MS 3600000LL
#define LONG_MS 60000u
#define KEY     idem_str("charge-42")

static server redis;
static idem_store *store;
static idem_error err;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    ck_assert_msg(idem_open(redis.unix_url, &store, &err) == IDEM_OK, "%s", err.message);
}

static void tear_down(void)
{
    idem_close(store);
}

static void set_server_clock(long long forth_ms)
{
    long long left_ms = server_number(&redis, "PTTL %s", "charge-42");
    ck_assert_int_gt(left_ms, HOUR_MS);
    (void)server_number(&redis, "PEXPIRE %s %lld", "charge-42", left_ms - forth_ms);
}

static idem_outcome begin(void)
{
    idem_outcome out;
    ck_assert_msg(idem_begin(store, IDEM_REQUEST(.key = KEY, .lease_ms = LONG_MS), &out, &err) ==
                      IDEM_OK,
                  "%s", err.message);
    return out;
}

START_TEST(a_server_whose_clock_is_set_forth_ends_a_lease_early_and_its_owner_is_told)
{
    idem_outcome first = begin();
    ck_assert_int_eq(first.kind, IDEM_NEW);
    set_server_clock(HOUR_MS);
    idem_outcome second = begin();
    ck_assert_int_eq(second.kind, IDEM_NEW);
    ck_assert_uint_eq(second.attempt, 2);
    ck_assert_int_eq(idem_complete(store, first.claim, idem_str("1"), &err), IDEM_ERR_LOST);
    ck_assert_int_eq(idem_complete(store, second.claim, idem_str("2"), &err), IDEM_OK);
    idem_outcome_clear(&second);
    idem_outcome_clear(&first);
}
END_TEST

START_TEST(a_server_whose_clock_is_set_back_ends_a_lease_late_and_takes_no_live_claim)
{
    idem_outcome first = begin();
    set_server_clock(-HOUR_MS);
    idem_outcome second = begin();
    ck_assert_int_eq(second.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_le(second.retry_after_ms, LONG_MS);
    ck_assert_int_eq(idem_complete(store, first.claim, idem_str("1"), &err), IDEM_OK);
    idem_outcome_clear(&second);
    idem_outcome_clear(&first);
}
END_TEST

static void add(Suite *suite, const TTest *test)
{
    TCase *tcase = tcase_create(test->name);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("a server's clock that is set");
    server_require();
    server_start(&redis, NULL);
    add(suite, a_server_whose_clock_is_set_forth_ends_a_lease_early_and_its_owner_is_told);
    add(suite, a_server_whose_clock_is_set_back_ends_a_lease_late_and_takes_no_live_claim);
    int code = run_suite(suite);
    server_remove(&redis);
    return code;
}
