/* SPDX-License-Identifier: MIT */
/* The main function of a check program: one suite, its exit code, nothing else. */
#ifndef IDEM_TESTS_RUNNER_H
#define IDEM_TESTS_RUNNER_H

#include <check.h>
#include <stdlib.h>

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Adds a case of its own for each test, so that a name in the report is a test's name. */
#define ADD(suite, test)                     \
    do {                                     \
        TCase *tcase_ = tcase_create(#test); \
        tcase_set_timeout(tcase_, 60);       \
        tcase_add_test(tcase_, test);        \
        suite_add_tcase(suite, tcase_);      \
    } while (0)

/* The same for a test that runs once for each row of a table. */
#define ADD_ROWS(suite, test, rows)                                                    \
    do {                                                                               \
        TCase *tcase_ = tcase_create(#test);                                           \
        tcase_set_timeout(tcase_, 60);                                                 \
        tcase_add_loop_test(tcase_, test, 0, (int)(sizeof(rows) / sizeof((rows)[0]))); \
        suite_add_tcase(suite, tcase_);                                                \
    } while (0)

/* Adds a case of its own for a test, which runs so often between set_up() and tear_down(). */
#define ADD_HERE(suite, test, rows)                           \
    do {                                                      \
        TCase *tcase_ = tcase_create(#test);                  \
        tcase_set_timeout(tcase_, 100);                       \
        tcase_add_checked_fixture(tcase_, set_up, tear_down); \
        tcase_add_loop_test(tcase_, test, 0, (int)(rows));    \
        suite_add_tcase(suite, tcase_);                       \
    } while (0)

#endif
