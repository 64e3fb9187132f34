/* SPDX-License-Identifier: MIT */
/* Sleeping and being woken: a wake may come first, signals wake nobody, a place may be gone as soon
   as its sleeper was woken. */
#include <park.h>

#include <idem/backend.h>

#include "runner.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define PATIENT_MS 30000u

static idem__parker parker;

static void set_up(void)
{
    ck_assert(idem__parker_init(&parker));
}

static void tear_down(void)
{
    idem__parker_destroy(&parker);
}

START_TEST(a_wake_before_the_sleep_is_kept)
{
    idem__unpark(&parker);
    ck_assert(idem__park(&parker, UINT64_MAX));
    idem__unpark(&parker);
    ck_assert(idem__park(&parker, 0)); /* there is no deadline for what is there */
    ck_assert(!idem__park(&parker, 0));
}
END_TEST

START_TEST(nobody_sleeps_beyond_the_deadline)
{
    uint64_t deadline_ms = idem_monotonic_ms() + 20;
    ck_assert(!idem__park(&parker, deadline_ms));
    ck_assert_uint_ge(idem_monotonic_ms(), deadline_ms);
    idem__unpark(&parker); /* it serves as before */
    ck_assert(idem__park(&parker, UINT64_MAX));
}
END_TEST

static atomic_int signals;

static void count_signal(int number)
{
    (void)number;
    (void)atomic_fetch_add(&signals, 1);
}

static void *signal_then_wake(void *sleeper)
{
    struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 20; i++) {
        (void)pthread_kill(*(pthread_t *)sleeper, SIGUSR1);
        (void)nanosleep(&pause, NULL);
    }
    idem__unpark(&parker);
    return NULL;
}

START_TEST(signals_wake_nobody)
{
    pthread_t waker;
    pthread_t self = pthread_self();
    struct sigaction action = {.sa_handler = count_signal}; /* no SA_RESTART */
    uint64_t deadlines[] = {UINT64_MAX, idem_monotonic_ms() + PATIENT_MS};
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    atomic_store(&signals, 0);
    ck_assert_int_eq(pthread_create(&waker, NULL, signal_then_wake, &self), 0);
    ck_assert(idem__park(&parker, deadlines[_i]));
    int seen = atomic_load(&signals);
    ck_assert_int_eq(pthread_join(waker, NULL), 0);
    ck_assert_int_ge(seen, 1);
    ck_assert(!idem__park(&parker, 0)); /* one wake, one sleep */
}
END_TEST

#define TURNS 20000

/* A place on a stack that is used for something else as soon as it was left. */
static _Atomic(idem__parker *) place;

static void *wake_in_turn(void *unused)
{
    (void)unused;
    for (int i = 0; i < TURNS; i++) {
        idem__parker *there;
        while (!(there = atomic_exchange(&place, NULL)))
            (void)sched_yield();
        idem__unpark(there);
    }
    return NULL;
}

static bool sleep_once(int turn)
{
    idem__parker here;
    if (!idem__parker_init(&here))
        return false;
    atomic_store(&place, &here);
    bool woken = idem__park(&here, turn % 2 ? UINT64_MAX : idem_monotonic_ms() + PATIENT_MS);
    idem__parker_destroy(&here);
    memset(&here, turn, sizeof here);
    return woken;
}

START_TEST(a_place_may_be_gone_when_its_sleeper_was_woken)
{
    pthread_t waker;
    int woken = 0;
    ck_assert_int_eq(pthread_create(&waker, NULL, wake_in_turn, NULL), 0);
    for (int i = 0; i < TURNS; i++)
        woken += sleep_once(i);
    ck_assert_int_eq(pthread_join(waker, NULL), 0);
    ck_assert_int_eq(woken, TURNS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parker");
    ADD_HERE(suite, a_wake_before_the_sleep_is_kept, 1);
    ADD_HERE(suite, nobody_sleeps_beyond_the_deadline, 1);
    ADD_HERE(suite, signals_wake_nobody, 2);
    ADD(suite, a_place_may_be_gone_when_its_sleeper_was_woken);
    return run_suite(suite);
}
