/* SPDX-License-Identifier: MIT */
/* How far a server is, learned from answers that are timed. */
#include "pipeline.h"

#include "clock.h"
#include "runner.h"

#define SECOND_NS UINT64_C(1000000000)

static idem__connection connection;
static idem__waiter waiter;

static void set_up(void)
{
    memset(&connection, 0, sizeof connection);
    memset(&waiter, 0, sizeof waiter);
    waiter.connection = &connection;
}

static void tear_down(void)
{
}

/* Sends one op, and has its answer after so long. */
static void answer_after(uint64_t ns)
{
    idem__pipeline_sending(&connection, &waiter, 1);
    ck_assert_ptr_eq(connection.timed, &waiter);
    connection.timed_ns -= ns;
    idem__pipeline_leaves(&connection, &waiter, true);
    ck_assert_ptr_null(connection.timed);
}

static bool spins(void)
{
    return idem__pipeline_spin(&connection).until_ns != IDEM__SPIN_OVER;
}

START_TEST(a_server_counts_as_near_until_it_was_far)
{
    ck_assert(spins());
    for (unsigned i = 0; i < IDEM__FAR; i++) {
        ck_assert(spins());
        answer_after(SECOND_NS);
        ck_assert(connection.held_until_ns > 0);
    }
    ck_assert(!spins());
    idem__pipeline_sending(&connection, &waiter, 1);
    ck_assert_uint_eq(connection.held_until_ns, 0);
}
END_TEST

START_TEST(one_answer_within_the_time_makes_it_near_again)
{
    for (int i = 0; i < 9; i++)
        answer_after(SECOND_NS);
    idem__pipeline_sending(&connection, &waiter, 1);
    connection.timed_ns = idem__clock_ns() + SECOND_NS; /* however slow this machine is */
    connection.near_ns = UINT64_MAX;
    idem__pipeline_leaves(&connection, &waiter, true);
    ck_assert(spins());
}
END_TEST

START_TEST(one_late_answer_among_others_means_nothing)
{
    for (int i = 0; i < 9; i++) {
        answer_after(SECOND_NS);
        idem__pipeline_sending(&connection, &waiter, 1);
        connection.near_ns = UINT64_MAX;
        idem__pipeline_leaves(&connection, &waiter, true);
        ck_assert(spins());
    }
}
END_TEST

START_TEST(a_caller_that_gives_up_teaches_nothing)
{
    for (int i = 0; i < 9; i++) {
        idem__pipeline_sending(&connection, &waiter, 1);
        connection.timed_ns -= SECOND_NS;
        idem__pipeline_leaves(&connection, &waiter, false);
        ck_assert_ptr_null(connection.timed);
    }
    ck_assert(spins());
}
END_TEST

START_TEST(only_one_answer_at_a_time_is_timed)
{
    idem__waiter other = {.connection = &connection};
    idem__pipeline_sending(&connection, &waiter, 1);
    uint64_t timed_ns = connection.timed_ns;
    idem__pipeline_sending(&connection, &other, 2);
    idem__pipeline_leaves(&connection, &other, true);
    ck_assert_ptr_eq(connection.timed, &waiter);
    ck_assert_uint_eq(connection.timed_ns, timed_ns);
}
END_TEST

START_TEST(a_hold_grows_with_what_is_in_flight_and_is_bounded)
{
    uint64_t before_ns = idem__clock_ns();
    idem__pipeline_sending(&connection, &waiter, 1);
    uint64_t few_ns = connection.held_until_ns - before_ns;
    idem__pipeline_sending(&connection, &waiter, 1000);
    ck_assert_uint_gt(connection.held_until_ns, before_ns + 400000);
    ck_assert_uint_gt(few_ns, 0);
    ck_assert_uint_lt(connection.held_until_ns, idem__clock_ns() + SECOND_NS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("near");
    TCase *part = tcase_create("near");
    tcase_add_checked_fixture(part, set_up, tear_down);
    tcase_add_test(part, a_server_counts_as_near_until_it_was_far);
    tcase_add_test(part, one_answer_within_the_time_makes_it_near_again);
    tcase_add_test(part, one_late_answer_among_others_means_nothing);
    tcase_add_test(part, a_caller_that_gives_up_teaches_nothing);
    tcase_add_test(part, only_one_answer_at_a_time_is_timed);
    tcase_add_test(part, a_hold_grows_with_what_is_in_flight_and_is_bounded);
    suite_add_tcase(suite, part);
    return run_suite(suite);
}
