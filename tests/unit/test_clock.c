/* SPDX-License-Identifier: MIT */
/* Deadlines never come early, whatever interrupts a wait; and a source of the test's own is
   followed alone. */
#include "clock.h"

#include "runner.h"
#include "thread.h"

#include <signal.h>
#include <stdatomic.h>

#define LONG_MS UINT64_C(30000)

static atomic_uint interrupted;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&interrupted, 1);
}

/* A millisecond is added: `now` may be nearly that old. */
START_TEST(a_deadline_is_not_before_its_time)
{
    for (int i = 0; i < 200; i++) {
        uint64_t began_ns = idem__clock_ns();
        uint64_t deadline_ms = idem__clock_deadline(3);
        while (idem_monotonic_ms() < deadline_ms)
            continue;
        ck_assert_uint_ge(idem__clock_ns() - began_ns, UINT64_C(3000000));
    }
    ck_assert_uint_eq(idem__clock_after(1000, 5), 1006);
}
END_TEST

START_TEST(a_point_is_the_same_for_the_system)
{
    struct timespec at = idem__clock_point(UINT64_C(12345678901));
    ck_assert_int_eq(at.tv_sec, 12345678);
    ck_assert_int_eq(at.tv_nsec, 901000000);
}
END_TEST

static void *interrupt_often(void *argument)
{
    struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 20; i++) {
        (void)nanosleep(&pause, NULL);
        (void)pthread_kill(*(pthread_t *)argument, SIGUSR1);
    }
    return NULL;
}

START_TEST(signals_do_not_end_a_sleep)
{
    pthread_t me = pthread_self();
    pthread_t other;
    struct sigaction action = {.sa_handler = count_signal};
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(pthread_create(&other, NULL, interrupt_often, &me), 0);
    uint64_t until = idem_monotonic_ms() + 60;
    idem__clock_sleep_until(until);
    ck_assert_uint_ge(idem_monotonic_ms(), until);
    ck_assert_int_eq(pthread_join(other, NULL), 0);
    ck_assert_uint_gt(atomic_load(&interrupted), 0);
    idem__clock_sleep_until(0); /* what is over takes no time */
}
END_TEST

/* --------------------------------------------------------------------------------- conditions */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond;
static bool said;

static void *say(void *unused)
{
    (void)pthread_mutex_lock(&lock);
    said = true;
    (void)pthread_cond_signal(&cond);
    (void)pthread_mutex_unlock(&lock);
    return unused;
}

START_TEST(a_condition_is_waited_for_until_the_deadline)
{
    ck_assert_int_eq(idem__clock_cond_init(&cond), 0);
    (void)pthread_mutex_lock(&lock);
    uint64_t until = idem_monotonic_ms() + 30;
    while (idem__clock_cond_wait(&cond, &lock, until))
        continue;
    ck_assert_uint_ge(idem_monotonic_ms(), until);
    (void)pthread_mutex_unlock(&lock);
    (void)pthread_cond_destroy(&cond);
}
END_TEST

START_TEST(a_signal_ends_a_wait_with_and_without_a_deadline)
{
    pthread_t other;
    ck_assert_int_eq(idem__clock_cond_init(&cond), 0);
    said = false;
    (void)pthread_mutex_lock(&lock);
    ck_assert_int_eq(pthread_create(&other, NULL, say, NULL), 0);
    uint64_t until = _i ? UINT64_MAX : idem_monotonic_ms() + LONG_MS;
    while (!said)
        ck_assert(idem__clock_cond_wait(&cond, &lock, until));
    (void)pthread_mutex_unlock(&lock);
    ck_assert_int_eq(pthread_join(other, NULL), 0);
    (void)pthread_cond_destroy(&cond);
}
END_TEST

/* ---------------------------------------------------------------------------------- a source */

static atomic_uint_fast64_t made_ms;
static atomic_uint waits;
static atomic_uint starts;

static uint64_t made_monotonic_ms(void)
{
    return atomic_load(&made_ms);
}

static int64_t made_wall_ms(void)
{
    return 77;
}

/* Time jumps to where the wait ends, an hour at most. */
static void made_waits(uint64_t deadline_ms)
{
    atomic_fetch_add(&waits, 1);
    ck_assert_uint_gt(deadline_ms, atomic_load(&made_ms));
    atomic_fetch_add(&made_ms, 3600000);
}

static void made_goes_on(bool woken)
{
    (void)woken;
}

static void made_thread_starts(void)
{
    atomic_fetch_add(&starts, 1);
}

static void *nothing(void *unused)
{
    return unused;
}

START_TEST(a_source_of_the_tests_own_is_followed)
{
    static const idem_time_source source = {.monotonic_ms = made_monotonic_ms,
                                            .wall_ms = made_wall_ms,
                                            .waits = made_waits,
                                            .goes_on = made_goes_on,
                                            .thread_starts = made_thread_starts};
    pthread_t other;
    uint64_t began = idem_monotonic_ms();
    atomic_store(&made_ms, 5000);
    idem_time_source_set(&source);
    ck_assert_uint_eq(idem_monotonic_ms(), 5000);
    ck_assert_uint_eq(idem_monotonic_coarse_ms(), 5000);
    ck_assert_int_eq(idem_wall_ms(), 77);
    idem__clock_sleep_until(5000 + 10 * 3600000);
    ck_assert_uint_eq(atomic_load(&waits), 10);
    ck_assert_uint_eq(idem_monotonic_ms(), 5000 + 10 * 3600000);
    ck_assert_int_eq(idem__thread_start(&other, nothing, NULL), 0);
    ck_assert_int_eq(pthread_join(other, NULL), 0);
    ck_assert_uint_eq(atomic_load(&starts), 1);
    idem_time_source_set(NULL);
    ck_assert_uint_lt(idem_monotonic_ms() - began, LONG_MS); /* not ten hours */
}
END_TEST

int main(void)
{
    static const int both[2];
    Suite *suite = suite_create("clock");
    ADD(suite, a_deadline_is_not_before_its_time);
    ADD(suite, a_point_is_the_same_for_the_system);
    ADD(suite, signals_do_not_end_a_sleep);
    ADD(suite, a_condition_is_waited_for_until_the_deadline);
    ADD_ROWS(suite, a_signal_ends_a_wait_with_and_without_a_deadline, both);
    ADD(suite, a_source_of_the_tests_own_is_followed);
    return run_suite(suite);
}
