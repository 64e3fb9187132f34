/* SPDX-License-Identifier: MIT */
/* The suite as another project calls it: on a URL, and on backends that break their promises. */
#include <idem/testkit.h>

#include <custom_backend.h>

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    unsigned passed;
    unsigned failed;
    unsigned not_run;
    char detail[1100]; /* of the last that failed */
} counts;

static void count(void *user, const char *test, idem_testkit_result result, const char *detail)
{
    counts *to = user;
    to->passed += result == IDEM_TESTKIT_PASSED;
    to->failed += result == IDEM_TESTKIT_FAILED;
    to->not_run += result == IDEM_TESTKIT_NOT_RUN;
    if (result == IDEM_TESTKIT_FAILED)
        (void)snprintf(to->detail, sizeof to->detail, "%s: %s", test, detail);
}

#define MEMORY_LACKS (IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED)

static counts run(idem_testkit_subject subject, int expected)
{
    counts to = {0};
    subject.size = sizeof subject;
    int failed = idem_testkit_conformance(&subject, count, &to);
    ck_assert_msg(failed == expected || (expected > 0 && failed > 0), "%d failed: %s", failed,
                  to.detail);
    return to;
}

START_TEST(memory_passes)
{
    counts to = run(
        (idem_testkit_subject){.url = "memory://suite-{n}", .lacks = MEMORY_LACKS, .only = "begin"},
        0);
    ck_assert_uint_gt(to.passed, 15);
    to = run((idem_testkit_subject){.url = "memory://suite-{n}?ttl=1h",
                                    .lacks = MEMORY_LACKS,
                                    .only = "begin",
                                    .flags = IDEM_TESTKIT_NO_FORK},
             0);
    ck_assert_uint_gt(to.passed, 15);
}
END_TEST

static unsigned places;
static char last_number[64];

static void fresh(void *user, const char *url)
{
    unsigned *made = user;
    (*made)++;
    ck_assert_ptr_nonnull(strstr(url, "dir:///"));
    ck_assert_ptr_null(strchr(url, '{'));
    const char *number = strstr(url, "/n-"); /* {n}, which no two tests have in common */
    ck_assert_ptr_nonnull(number);
    ck_assert_str_ne(number, last_number);
    (void)snprintf(last_number, sizeof last_number, "%s", number);
}

static void cleanup(void *user, const char *url)
{
    (void)url;
    (*(unsigned *)user)--;
}

START_TEST(a_backend_of_ones_own_passes)
{
    ck_assert_int_eq(custom_backend_register(NULL), IDEM_OK);
    counts to = run((idem_testkit_subject){.url = "dir://{dir}/n-{n}",
                                           .lacks = IDEM_TESTKIT_BULK,
                                           .unreachable = "dir:///dev/null/no-such-folder/records",
                                           .only = "complete",
                                           .fresh = fresh,
                                           .cleanup = cleanup,
                                           .user = &places,
                                           .flags = IDEM_TESTKIT_NO_FORK},
                    0);
    ck_assert_uint_gt(to.passed, 5);
    ck_assert_uint_eq(places, 0);
}
END_TEST

/* ------------------------------------------------------------------- backends that are wrong */

static const idem_backend_ops *inner;
static int (*wrong)(idem_op *const *ops, size_t count);

static int wrong_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                        uint64_t deadline_ms, idem_error *error)
{
    int rc = inner->submit(backend, ops, count, deadline_ms, error);
    return rc ? rc : wrong(ops, count);
}

static void make_wrong(idem_backend_ops *ops, int (*how)(idem_op *const *ops, size_t count))
{
    size_t i = 0;
    do
        inner = idem_backend_at(i++);
    while (inner && strcmp(inner->scheme, "memory") != 0);
    ck_assert_ptr_nonnull(inner);
    *ops = *inner;
    ops->scheme = "wrong";
    ops->traits &= ~IDEM_BACKEND_IN_PROCESS;
    ops->submit = wrong_submit;
    wrong = how;
}

/* Every insert is said to have been made. */
static int says_yes(idem_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->kind == IDEM_OP_INSERT) {
            idem_record_clear(&ops[i]->found);
            ops[i]->has_found = false;
            ops[i]->applied = true;
        }
    }
    return IDEM_OK;
}

START_TEST(a_backend_that_gives_a_key_twice_fails)
{
    static idem_backend_ops ops;
    make_wrong(&ops, says_yes);
    counts to = run(
        (idem_testkit_subject){
            .ops = &ops, .url = "wrong://{n}", .lacks = MEMORY_LACKS, .only = "begin"},
        1);
    ck_assert_uint_gt(to.failed, 0);
    ck_assert_ptr_nonnull(strstr(to.detail, ".c:"));
}
END_TEST

static int crashes(idem_op *const *ops, size_t count)
{
    (void)ops;
    (void)count;
    abort();
}

static int leaves(idem_op *const *ops, size_t count)
{
    (void)ops;
    (void)count;
    _exit(3);
}

START_TEST(a_backend_that_crashes_fails_each_test_and_not_the_program)
{
    static idem_backend_ops ops;
    idem_testkit_subject subject = {
        .ops = &ops, .url = "wrong://{n}", .lacks = MEMORY_LACKS, .only = "complete"};
    make_wrong(&ops, crashes);
    counts to = run(subject, 1);
    ck_assert_uint_eq(to.passed, 0);
    ck_assert_ptr_nonnull(strstr(to.detail, "ended by signal 6"));
    subject.ops = NULL; /* it is registered by now */
    wrong = leaves;
    to = run(subject, 1);
    ck_assert_ptr_nonnull(strstr(to.detail, "it left with 3"));
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    wrong = crashes;
    to = run(subject, 1);
    ck_assert_uint_eq(to.passed, 0);
    ck_assert_ptr_nonnull(strstr(to.detail, "ended by signal 6"));
    ck_assert(signal(SIGCHLD, before) == SIG_IGN);
}
END_TEST

START_TEST(what_can_not_be_run_says_why)
{
    counts to = run((idem_testkit_subject){.url = "memory://{n}", .lacks = IDEM_TRAIT_SHARED}, -1);
    ck_assert_ptr_nonnull(strstr(to.detail, "lacks DURABLE without declaring it"));
    to = run((idem_testkit_subject){.url = "memory://{n}", .lacks = MEMORY_LACKS | IDEM_TRAIT_SCAN},
             -1);
    ck_assert_ptr_nonnull(strstr(to.detail, "declared to lack SCAN, but has it"));
    to = run((idem_testkit_subject){.url = "nowhere://{n}"}, -1);
    ck_assert_ptr_nonnull(strstr(to.detail, "cannot be opened"));
    to = run((idem_testkit_subject){.url = "memory://{n}", .lacks = MEMORY_LACKS, .only = "beg"},
             -1);
    ck_assert_ptr_nonnull(strstr(to.detail, "no group of tests"));
    to = run((idem_testkit_subject){.name = "x"}, -1);
    ck_assert_ptr_nonnull(strstr(to.detail, "no url"));
}
END_TEST

START_TEST(without_a_report_it_prints)
{
    idem_testkit_subject subject = {
        .size = sizeof subject, .url = "memory://{n}", .lacks = MEMORY_LACKS, .only = "settle"};
    ck_assert_int_eq(idem_testkit_conformance(&subject, NULL, NULL), 0);
    subject.url = "nowhere:";
    ck_assert_int_eq(idem_testkit_conformance(&subject, NULL, NULL), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conformance");
    TCase *tcase = tcase_create("conformance");
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, memory_passes);
    tcase_add_test(tcase, a_backend_of_ones_own_passes);
    tcase_add_test(tcase, a_backend_that_gives_a_key_twice_fails);
    tcase_add_test(tcase, a_backend_that_crashes_fails_each_test_and_not_the_program);
    tcase_add_test(tcase, what_can_not_be_run_says_why);
    tcase_add_test(tcase, without_a_report_it_prints);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_FORK); /* two of them register the same scheme */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
