/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of one's own code, with check, on memory://: each test has a store of its own that
 * needs no server and no file, and a clock that the test moves, so that nothing has to be waited
 * for. Crashes are claims that nobody completes.
 */
#include <check.h>
#include <idem/idem.h>
#include <stdlib.h>

/* ----------------------------------------------------------------------- the code under test */

typedef enum { MAIL_SENT, MAIL_SENT_BEFORE, MAIL_LATER, MAIL_FAILED } mail_result;

/* `mailer` returns 0 if the mail went out. */
static mail_result welcome_once(idem_store *store, const char *user, int (*mailer)(const char *))
{
    idem_outcome out;
    mail_result result = MAIL_LATER;
    if (idem_begin(store, IDEM_REQUEST(.key = idem_str(user), .lease_ms = 30000), &out, NULL))
        return MAIL_FAILED;
    if (out.kind == IDEM_COMPLETED) {
        result = MAIL_SENT_BEFORE;
    } else if (out.kind == IDEM_NEW && mailer(user) != 0) {
        (void)idem_release(store, out.claim, NULL); /* another try is welcome at once */
        result = MAIL_FAILED;
    } else if (out.kind == IDEM_NEW) {
        int rc = idem_complete(store, out.claim, idem_str("true"), NULL);
        result = rc == IDEM_OK ? MAIL_SENT : MAIL_FAILED;
    }
    idem_outcome_clear(&out);
    return result;
}

/* --------------------------------------------------------------------------------- the tests */

static idem_store *store;
static uint64_t now_ms;
static int mails;

static uint64_t read_clock(void *user)
{
    return *(uint64_t *)user;
}

static void open_store(void)
{
    static const idem_options options = {.size = sizeof options,
                                         .clock = {.now_ms = read_clock, .user = &now_ms}};
    idem_error error;
    now_ms = 1000;
    mails = 0;
    ck_assert_msg(idem_open_with("memory://?ttl=24h", &options, &store, &error) == IDEM_OK, "%s",
                  error.message);
}

static void close_store(void)
{
    idem_close(store);
}

static int send_mail(const char *user)
{
    (void)user;
    mails++;
    return 0;
}

static int refuse_mail(const char *user)
{
    (void)user;
    return -1;
}

/* What a process leaves behind that claimed the key and was killed. */
static void crash_after_claim(const char *user)
{
    idem_outcome out;
    ck_assert_int_eq(
        idem_begin(store, IDEM_REQUEST(.key = idem_str(user), .lease_ms = 30000), &out, NULL),
        IDEM_OK);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
}

START_TEST(a_user_is_welcomed_once)
{
    ck_assert_int_eq(welcome_once(store, "alice", send_mail), MAIL_SENT);
    ck_assert_int_eq(welcome_once(store, "alice", send_mail), MAIL_SENT_BEFORE);
    ck_assert_int_eq(mails, 1);
}
END_TEST

START_TEST(a_mail_that_failed_is_tried_again)
{
    ck_assert_int_eq(welcome_once(store, "alice", refuse_mail), MAIL_FAILED);
    ck_assert_int_eq(welcome_once(store, "alice", send_mail), MAIL_SENT);
}
END_TEST

START_TEST(after_a_crash_the_next_one_waits_for_the_lease_and_then_takes_over)
{
    crash_after_claim("alice");
    now_ms += 29999;
    ck_assert_int_eq(welcome_once(store, "alice", send_mail), MAIL_LATER);
    ck_assert_int_eq(mails, 0);
    now_ms += 1;
    ck_assert_int_eq(welcome_once(store, "alice", send_mail), MAIL_SENT);
    ck_assert_int_eq(mails, 1);
}
END_TEST

START_TEST(after_its_retention_a_key_is_new_again)
{
    ck_assert_int_eq(welcome_once(store, "alice", send_mail), MAIL_SENT);
    now_ms += 24 * UINT64_C(3600000);
    ck_assert_int_eq(welcome_once(store, "alice", send_mail), MAIL_SENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("welcome");
    TCase *tests = tcase_create("once");
    tcase_add_checked_fixture(tests, open_store, close_store);
    tcase_add_test(tests, a_user_is_welcomed_once);
    tcase_add_test(tests, a_mail_that_failed_is_tried_again);
    tcase_add_test(tests, after_a_crash_the_next_one_waits_for_the_lease_and_then_takes_over);
    tcase_add_test(tests, after_its_retention_a_key_is_new_again);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
