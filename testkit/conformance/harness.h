/* SPDX-License-Identifier: MIT */
/*
 * Tests and assertions, by the names that libcheck gives them: whoever uses the kit needs no
 * library for tests. A test runs in a child of its own; a failed assertion leaves it. For the
 * test's main thread alone.
 */
#ifndef IDEM_TESTKIT_HARNESS_H
#define IDEM_TESTKIT_HARNESS_H

#include <idem/testkit.h>

#include <inttypes.h>
#include <string.h>

typedef struct {
    const char *name;
    void (*run)(int _i);
} TTest;

#define START_TEST(name)                                  \
    static void name##_run(int _i);                       \
    static const TTest name##_test = {#name, name##_run}; \
    static const TTest *const name = &name##_test;        \
    static void name##_run(int _i)                        \
    {                                                     \
        (void)_i;
#define END_TEST }

/** A set of groups of tests. */
typedef struct idem__testkit_suite Suite;

/** What stands around each test of a group; either may fail it. */
typedef struct {
    void (*set_up)(void);
    void (*tear_down)(void);
} idem__testkit_fixture;

/** How a suite is run. */
typedef struct {
    const char *only; /**< one group; NULL: all */
    bool no_fork;
    unsigned timeout_s;
    idem_testkit_report_fn report;
    void *user;
} idem__testkit_run;

/** @return NULL: no memory. All that is added has to stay */
Suite *idem__testkit_suite_make(void);
void idem__testkit_suite_free(Suite *suite);

/** Adds a test, which runs once for each number from 0 up to `count`. @param lacks  why it can't be
 *  run; NULL: it can */
void idem__testkit_suite_add(Suite *suite, const char *group, const TTest *test, int count,
                             const idem__testkit_fixture *fixture, const char *lacks);

/** Runs all. @return how many failed; -1: there was no memory for all of them, or there is no such
 *  group */
int idem__testkit_suite_run(const Suite *suite, const idem__testkit_run *how);

/** Which test it is, from 1, so that the places of two tests can differ. */
unsigned idem__testkit_test_number(void);

/** Leaves the test as failed. */
_Noreturn void idem__testkit_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define ck_assert_msg(condition, ...)                            \
    do {                                                         \
        if (!(condition))                                        \
            idem__testkit_fail(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)
#define ck_assert(condition) ck_assert_msg(condition, "not true: %s", #condition)
#define ck_abort_msg(...)    idem__testkit_fail(__FILE__, __LINE__, __VA_ARGS__)

#define TESTKIT_COMPARE(type, format, a, op, b)                                                    \
    do {                                                                                           \
        type a_ = (type)(a);                                                                       \
        type b_ = (type)(b);                                                                       \
        ck_assert_msg(a_ op b_, "not true: %s %s %s: %" format ", %" format, #a, #op, #b, a_, b_); \
    } while (0)

#define ck_assert_int_eq(a, b)  TESTKIT_COMPARE(intmax_t, PRIdMAX, a, ==, b)
#define ck_assert_int_ne(a, b)  TESTKIT_COMPARE(intmax_t, PRIdMAX, a, !=, b)
#define ck_assert_int_lt(a, b)  TESTKIT_COMPARE(intmax_t, PRIdMAX, a, <, b)
#define ck_assert_int_le(a, b)  TESTKIT_COMPARE(intmax_t, PRIdMAX, a, <=, b)
#define ck_assert_int_gt(a, b)  TESTKIT_COMPARE(intmax_t, PRIdMAX, a, >, b)
#define ck_assert_int_ge(a, b)  TESTKIT_COMPARE(intmax_t, PRIdMAX, a, >=, b)
#define ck_assert_uint_eq(a, b) TESTKIT_COMPARE(uintmax_t, PRIuMAX, a, ==, b)
#define ck_assert_uint_ne(a, b) TESTKIT_COMPARE(uintmax_t, PRIuMAX, a, !=, b)
#define ck_assert_uint_lt(a, b) TESTKIT_COMPARE(uintmax_t, PRIuMAX, a, <, b)
#define ck_assert_uint_le(a, b) TESTKIT_COMPARE(uintmax_t, PRIuMAX, a, <=, b)
#define ck_assert_uint_gt(a, b) TESTKIT_COMPARE(uintmax_t, PRIuMAX, a, >, b)
#define ck_assert_uint_ge(a, b) TESTKIT_COMPARE(uintmax_t, PRIuMAX, a, >=, b)

#define ck_assert_ptr_null(p)    ck_assert_msg((p) == NULL, "not NULL: %s", #p)
#define ck_assert_ptr_nonnull(p) ck_assert_msg((p) != NULL, "NULL: %s", #p)
#define ck_assert_ptr_eq(a, b)   ck_assert_msg((a) == (b), "not the same: %s, %s", #a, #b)
#define ck_assert_str_eq(a, b)                                                                  \
    do {                                                                                        \
        const char *a_ = (a);                                                                   \
        const char *b_ = (b);                                                                   \
        ck_assert_msg(strcmp(a_, b_) == 0, "not the same: %s, %s: '%s', '%s'", #a, #b, a_, b_); \
    } while (0)
#define ck_assert_mem_eq(a, b, len) \
    ck_assert_msg(memcmp(a, b, len) == 0, "not the same bytes: %s, %s", #a, #b)
#define ck_assert_mem_ne(a, b, len) \
    ck_assert_msg(memcmp(a, b, len) != 0, "the same bytes: %s, %s", #a, #b)

#endif
