/* SPDX-License-Identifier: MIT */
/*
 * The threads of `idem bench`, with work whose duration and success are known. What is asserted of
 * times holds on a machine of any slowness: that something took at least so long, or that it was at
 * most so many a second.
 */
#include "load_generator.h"
#include "report.h"
#include "signals.h"

#include "runner.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 8

typedef struct {
    unsigned thread;
    uint64_t next; /* the number of the op that has to come */
    bool in_order;
} work_state;

static work_state states[THREADS_MAX];
static unsigned started;
static unsigned ended;
static atomic_uint steps;
static atomic_uint ops;

static void *start(void *user, unsigned thread)
{
    (void)user;
    started++;
    states[thread] = (work_state){thread, 0, true};
    return &states[thread];
}

static void *start_without_memory(void *user, unsigned thread)
{
    return thread == 2 ? NULL : start(user, thread);
}

static void end(void *worker)
{
    (void)worker;
    ended++;
}

static void count(work_state *self, uint64_t first, size_t step_ops)
{
    self->in_order = self->in_order && first == self->next;
    self->next = first + step_ops;
    atomic_fetch_add(&steps, 1);
    atomic_fetch_add(&ops, (unsigned)step_ops);
}

static size_t step(void *worker, uint64_t first, size_t step_ops)
{
    count(worker, first, step_ops);
    return step_ops;
}

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static double now_s(void)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int run(cli_load_plan plan, size_t (*how)(void *, uint64_t, size_t), cli_load_result *result)
{
    static bool caught; /* once in a process */
    cli_load_work work = {.start = start, .step = how, .end = end};
    caught = caught || cli_signals_catch();
    ck_assert(caught);
    if (plan.batch == 0)
        plan.batch = 1;
    if (plan.failures_max == 0)
        plan.failures_max = 10;
    started = ended = 0;
    atomic_store(&steps, 0);
    atomic_store(&ops, 0);
    int code = cli_load_run(&plan, &work, result);
    ck_assert_uint_eq(ended, started);
    return code;
}

static cli_load_result result;

/* ------------------------------------------------------------------------------------ how much */

static const struct {
    cli_load_plan plan;
    unsigned steps;
} amounts[] = {{{.threads = 1, .ops = 1}, 1},
               {{.threads = 1, .ops = 1000}, 1000},
               {{.threads = 3, .ops = 10}, 10},
               {{.threads = 3, .ops = 10, .batch = 4}, 3}, /* 4, 3 and 3 */
               {{.threads = 2, .ops = 20, .batch = 4}, 6}, /* 4 4 2 each */
               {{.threads = 8, .ops = 3}, 3},
               {{.threads = 2, .ops = 40, .rate = 100000}, 40},
               {{.threads = 2, .ops = 40, .batch = 8, .rate = 100000}, 6}};

START_TEST(as_many_ops_are_done_as_were_asked_for)
{
    const cli_load_plan *plan = &amounts[_i].plan;
    ck_assert_int_eq(run(*plan, step, &result), CLI_OK);
    ck_assert_uint_eq(started, plan->threads);
    ck_assert_uint_eq(result.ops, plan->ops);
    ck_assert_uint_eq(atomic_load(&ops), plan->ops);
    ck_assert_uint_eq(atomic_load(&steps), amounts[_i].steps);
    ck_assert_uint_eq(result.latency.total, amounts[_i].steps);
    for (unsigned i = 0; i < plan->threads; i++) {
        ck_assert(states[i].in_order);
        uint64_t share = plan->ops / plan->threads + (i < plan->ops % plan->threads);
        ck_assert_uint_eq(states[i].next, share);
    }
    ck_assert(result.seconds > 0 && !result.gave_up && result.signal == 0);
}
END_TEST

START_TEST(a_run_lasts_as_long_as_was_asked_for)
{
    cli_load_plan plan = {.threads = 2, .duration_ms = 120};
    ck_assert_int_eq(run(plan, step, &result), CLI_OK);
    ck_assert(result.seconds >= 0.12);
    ck_assert_uint_eq(result.ops, atomic_load(&ops));
}
END_TEST

START_TEST(what_comes_first_ends_it)
{
    cli_load_plan plan = {.threads = 2, .duration_ms = 3600000, .ops = 10};
    ck_assert_int_eq(run(plan, step, &result), CLI_OK);
    ck_assert_uint_eq(result.ops, 10);
    plan = (cli_load_plan){.threads = 2, .duration_ms = 50, .ops = 1000000000000};
    ck_assert_int_eq(run(plan, step, &result), CLI_OK);
    ck_assert_uint_lt(result.ops, 1000000000000);
}
END_TEST

START_TEST(a_warm_up_is_not_counted)
{
    cli_load_plan plan = {.threads = 2, .ops = 10, .warmup_ms = 50};
    ck_assert_int_eq(run(plan, step, &result), CLI_OK);
    ck_assert_uint_eq(result.ops, 10);
    ck_assert_uint_eq(result.latency.total, 10);
    ck_assert_uint_gt(atomic_load(&ops), 10);
    ck_assert(states[0].in_order && states[1].in_order);
}
END_TEST

/* -------------------------------------------------------------------------------- at what rate */

START_TEST(a_rate_is_not_exceeded)
{
    double begin = now_s();
    cli_load_plan plan = {.threads = 3, .ops = 60, .rate = 300};
    ck_assert_int_eq(run(plan, step, &result), CLI_OK);
    ck_assert(now_s() - begin >= 59.0 / 300); /* the last op is due then */
    ck_assert(result.seconds >= 0.2);
    ck_assert((double)result.ops / result.seconds <= 300.001);
    plan = (cli_load_plan){.threads = 2, .duration_ms = 200, .rate = 1000, .batch = 10};
    ck_assert_int_eq(run(plan, step, &result), CLI_OK);
    ck_assert((double)result.ops <= result.seconds * 1000 + 20);
    ck_assert_uint_ge(result.ops, 100);
}
END_TEST

static size_t stall_once(void *worker, uint64_t first, size_t step_ops)
{
    if (first == 100)
        pause_ms(100);
    return step(worker, first, step_ops);
}

/* 300 ops, one each millisecond; the 101st takes 100 ms, and those behind it are late by 99, 98, …
   Without them one op of 300 would have been slow. */
START_TEST(a_stall_counts_for_all_that_had_to_wait)
{
    cli_load_plan plan = {.threads = 1, .ops = 300, .rate = 1000};
    ck_assert_int_eq(run(plan, stall_once, &result), CLI_OK);
    ck_assert_uint_ge(cli_histogram_at(&result.latency, 750), 20000000);
    ck_assert_uint_ge(cli_histogram_at(&result.latency, 900), 60000000);
    ck_assert_uint_ge(result.latency.max, 100000000);
}
END_TEST

/* -------------------------------------------------------------------------------- what ends it */

static size_t fail_all(void *worker, uint64_t first, size_t step_ops)
{
    count(worker, first, step_ops);
    return 0;
}

START_TEST(a_run_without_success_is_given_up)
{
    cli_load_plan plan = {.threads = 1, .duration_ms = 3600000};
    ck_assert_int_eq(run(plan, fail_all, &result), CLI_OK);
    ck_assert(result.gave_up);
    ck_assert_uint_eq(atomic_load(&steps), 10);
    ck_assert_uint_eq(result.ops, 0);
    ck_assert_uint_eq(result.latency.total, 0);
    plan = (cli_load_plan){.threads = 1, .ops = 1000, .failures_max = 1};
    ck_assert_int_eq(run(plan, fail_all, &result), CLI_OK);
    ck_assert_uint_eq(atomic_load(&steps), 1);
}
END_TEST

/* Of the first thread every third op fails. The second one's fail until the first has ended, and
   there is a success between each two of them. */
#define SUCCESSES 20
static atomic_uint successes;

static size_t fail_in_part(void *worker, uint64_t first, size_t step_ops)
{
    work_state *self = worker;
    count(self, first, step_ops);
    if (self->thread == 0) {
        (void)atomic_fetch_add(&successes, first % 3 != 0);
        return first % 3 != 0;
    }
    unsigned before = atomic_load(&successes);
    while (atomic_load(&successes) < before + 2 && atomic_load(&successes) < SUCCESSES)
        pause_ms(1);
    return atomic_load(&successes) == SUCCESSES;
}

START_TEST(a_run_with_some_success_goes_on)
{
    cli_load_plan plan = {.threads = (unsigned)_i, .ops = 30 * (unsigned)_i, .failures_max = 2};
    atomic_store(&successes, 0);
    ck_assert_int_eq(run(plan, fail_in_part, &result), CLI_OK);
    ck_assert(!result.gave_up);
    ck_assert_uint_eq(atomic_load(&steps), plan.ops);
    ck_assert_uint_ge(result.ops, SUCCESSES);
    ck_assert_uint_le(result.ops, plan.ops - 10);
    ck_assert_uint_eq(result.latency.total, result.ops);
}
END_TEST

static size_t signal_once(void *worker, uint64_t first, size_t step_ops)
{
    if (first == 5)
        (void)kill(getpid(), SIGTERM);
    pause_ms(1);
    return step(worker, first, step_ops);
}

START_TEST(a_signal_ends_it_and_what_was_done_counts)
{
    cli_load_plan plan = {.threads = 1};
    ck_assert_int_eq(run(plan, signal_once, &result), CLI_OK);
    ck_assert_int_eq(result.signal, SIGTERM);
    ck_assert_uint_ge(result.ops, 6);
    ck_assert_uint_eq(result.ops, atomic_load(&ops));
}
END_TEST

static size_t signal_at_once(void *worker, uint64_t first, size_t step_ops)
{
    if (((work_state *)worker)->thread == 0)
        (void)kill(getpid(), SIGTERM);
    return step(worker, first, step_ops);
}

/* The steps that are due in a quarter of an hour and more are not waited for. */
START_TEST(a_signal_wakes_those_that_wait_for_their_time)
{
    cli_load_plan plan = {.threads = 2, .ops = 100000, .batch = 1000, .rate = 1};
    ck_assert_int_eq(run(plan, signal_at_once, &result), CLI_OK);
    ck_assert_int_eq(result.signal, SIGTERM);
    ck_assert_uint_eq(result.ops, 1000);
}
END_TEST

START_TEST(without_memory_for_a_thread_nothing_is_run)
{
    cli_load_work work = {.start = start_without_memory, .step = step, .end = end};
    cli_load_plan plan = {.threads = 4, .batch = 1, .ops = 100, .failures_max = 1};
    started = ended = 0;
    atomic_store(&steps, 0);
    ck_assert_int_eq(cli_load_run(&plan, &work, &result), CLI_INTERNAL);
    ck_assert_uint_eq(started, 2);
    ck_assert_uint_eq(ended, 2);
    ck_assert_uint_eq(atomic_load(&steps), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *some = tcase_create("a_run_with_some_success_goes_on");
    ADD_ROWS(suite, as_many_ops_are_done_as_were_asked_for, amounts);
    ADD(suite, a_run_lasts_as_long_as_was_asked_for);
    ADD(suite, what_comes_first_ends_it);
    ADD(suite, a_warm_up_is_not_counted);
    ADD(suite, a_rate_is_not_exceeded);
    ADD(suite, a_stall_counts_for_all_that_had_to_wait);
    ADD(suite, a_run_without_success_is_given_up);
    tcase_add_loop_test(some, a_run_with_some_success_goes_on, 1, 3);
    suite_add_tcase(suite, some);
    ADD(suite, a_signal_ends_it_and_what_was_done_counts);
    ADD(suite, a_signal_wakes_those_that_wait_for_their_time);
    ADD(suite, without_memory_for_a_thread_nothing_is_run);
    return run_suite(suite);
}
