/* SPDX-License-Identifier: MIT */
/*
 * A waiter and the threads that give it signs: none is lost, whether its owner spins, parks, or is
 * about to leave at its time; and no thread touches a waiter that its owner has taken away.
 */
#include "waiter.h"

#include "clock.h"
#include "runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LONG_MS UINT64_C(30000)
#define ROUNDS  20000

static idem__waiter one;

static void set_up(void)
{
    ck_assert_int_eq(idem__waiter_init(&one, NULL, 3, 42), IDEM_OK);
}

static void tear_down(void)
{
    idem__waiter_destroy(&one);
}

static uint64_t later(uint64_t ms)
{
    return idem_monotonic_ms() + ms;
}

START_TEST(a_new_one_has_no_sign)
{
    ck_assert_uint_eq(one.count, 3);
    ck_assert_uint_eq(one.deadline_ms, 42);
    ck_assert_uint_le(one.start_ms, idem_monotonic_ms());
    ck_assert(!idem__waiter_is_done(&one));
    ck_assert(!idem__waiter_wait(&one, later(1), NULL));
}
END_TEST

START_TEST(a_sign_that_came_before_is_seen_at_once)
{
    uint64_t began = idem_monotonic_ms();
    idem__waiter_wake(&one);
    ck_assert(idem__waiter_wait(&one, later(LONG_MS), NULL));
    ck_assert(!idem__waiter_is_done(&one));
    idem__waiter_finish(&one);
    ck_assert(idem__waiter_wait(&one, later(LONG_MS), NULL));
    ck_assert(idem__waiter_is_done(&one));
    ck_assert_uint_lt(idem_monotonic_ms() - began, LONG_MS / 2);
}
END_TEST

/* Who heeds wakes does not lose that it is done. */
START_TEST(a_wake_is_heeded_and_done_stays)
{
    idem__waiter_wake(&one);
    idem__waiter_heed(&one);
    ck_assert(!idem__waiter_wait(&one, later(1), NULL));
    idem__waiter_finish(&one);
    idem__waiter_wake(&one);
    idem__waiter_heed(&one);
    ck_assert(idem__waiter_is_done(&one));
    ck_assert(idem__waiter_wait(&one, UINT64_MAX, NULL));
}
END_TEST

START_TEST(the_time_comes_and_not_before)
{
    uint64_t until = later(30);
    ck_assert(!idem__waiter_wait(&one, until, NULL));
    ck_assert_uint_ge(idem_monotonic_ms(), until);
}
END_TEST

/* ------------------------------------------------------------------------------ other threads */

typedef struct {
    idem__waiter *waiter;
    uint64_t from_ms; /* of the one that gives the sign: a point in time, */
    unsigned pause;   /* and turns of a loop after it */
} giver;

static void *finish(void *argument)
{
    const giver *self = argument;
    while (idem_monotonic_ms() < self->from_ms)
        continue;
    for (volatile unsigned i = 0; i < self->pause; i++)
        continue;
    idem__waiter_finish(self->waiter);
    return NULL;
}

/* Its waiter is on the stack of a function that returns as soon as it is done. */
static bool wait_on_the_stack(unsigned pause, uint64_t from_ms, uint64_t until_ms,
                              atomic_uint *spins)
{
    pthread_t thread;
    idem__waiter here;
    giver other = {&here, from_ms, pause};
    ck_assert_int_eq(idem__waiter_init(&here, NULL, 0, 0), IDEM_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, finish, &other), 0);
    bool in_time = idem__waiter_wait(&here, until_ms, spins);
    while (!idem__waiter_is_done(&here))
        ck_assert(idem__waiter_wait(&here, UINT64_MAX, NULL));
    ck_assert(!idem__park(&here.parker, 0)); /* each unpark was waited for */
    idem__waiter_destroy(&here);
    memset(&here, 0xee, sizeof here);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return in_time;
}

START_TEST(done_wakes_its_owner_however_it_waits)
{
    unsigned seed = 3;
    atomic_uint spins = 0;
    for (int round = 0; round < 500; round++)
        ck_assert(wait_on_the_stack((unsigned)rand_r(&seed) % 50000, 0, UINT64_MAX,
                                    round % 2 ? &spins : NULL));
}
END_TEST

/* A sign comes about when the owner leaves: it is not lost, and not given twice. */
START_TEST(a_sign_at_the_last_moment_is_not_lost)
{
    unsigned seed = 5;
    unsigned late = 0;
    for (int round = 0; round < 800; round++) {
        uint64_t until_ms = later(2);
        late += !wait_on_the_stack((unsigned)rand_r(&seed) % 60000, until_ms, until_ms, NULL);
    }
    ck_assert_uint_gt(late, 0);
}
END_TEST

static atomic_uint asked;
static atomic_uint answered;

static void *wake_often(void *argument)
{
    for (unsigned i = 1; i <= ROUNDS; i++) {
        while (atomic_load(&answered) + 1 < i)
            sched_yield();
        atomic_store(&asked, i);
        idem__waiter_wake(argument);
    }
    return NULL;
}

/* As the pool does: heed, look, wait. A wake after the look ends the wait. */
START_TEST(no_wake_between_a_look_and_a_wait_is_lost)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, wake_often, &one), 0);
    for (unsigned seen = 0; seen < ROUNDS;) {
        idem__waiter_heed(&one);
        seen = atomic_load(&asked);
        atomic_store(&answered, seen);
        if (seen < ROUNDS)
            ck_assert(idem__waiter_wait(&one, later(LONG_MS), NULL));
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waiter");
    ADD_HERE(suite, a_new_one_has_no_sign, 1);
    ADD_HERE(suite, a_sign_that_came_before_is_seen_at_once, 1);
    ADD_HERE(suite, a_wake_is_heeded_and_done_stays, 1);
    ADD_HERE(suite, the_time_comes_and_not_before, 1);
    ADD_HERE(suite, done_wakes_its_owner_however_it_waits, 1);
    ADD_HERE(suite, a_sign_at_the_last_moment_is_not_lost, 1);
    ADD_HERE(suite, no_wake_between_a_look_and_a_wait_is_lost, 1);
    return run_suite(suite);
}
