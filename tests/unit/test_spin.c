/* SPDX-License-Identifier: MIT */
/*
 * Patience: how long a wait yields, when nobody yields, and what waits learn. Time here is the
 * test's own: a yield takes what the test says.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity() */
#endif
#include "spin.h"

#include "runner.h"

#include <sched.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

static uint64_t time_ns;
static uint64_t yield_ns; /* how long a yield takes */
static int yields;
static bool one_processor;

static uint64_t told_time(void)
{
    return time_ns;
}

static void told_yield(void)
{
    time_ns += yield_ns;
    yields++;
}

static bool told_processors(void)
{
    return one_processor;
}

static idem__spin_world fresh_world(uint64_t length_ns)
{
    time_ns = 1000 * MS;
    yield_ns = length_ns;
    yields = 0;
    one_processor = false;
    return (idem__spin_world){
        .now_ns = told_time, .give_way = told_yield, .has_one_processor = told_processors};
}

/* Waits for what does not come. @return how often it yielded */
static int wait_in_vain(idem__spin_world *world, idem__spin *spin)
{
    int before = yields;
    while (idem__spin_yield_in(world, spin)) {
    }
    ck_assert(!idem__spin_yield_in(world, spin)); /* nor does it begin anew */
    idem__spin_end(spin);
    return yields - before;
}

START_TEST(a_wait_yields_for_a_bounded_time)
{
    idem__spin_world world = fresh_world(US);
    idem__spin spin = {0};
    uint64_t begin_ns = time_ns;
    int count = wait_in_vain(&world, &spin);
    ck_assert_int_ge(count, 50);
    ck_assert_uint_le(time_ns - begin_ns, 200 * US);
    ck_assert_uint_eq(spin.failed_spins, 1);
}
END_TEST

START_TEST(what_came_in_time_costs_no_patience)
{
    idem__spin_world world = fresh_world(US);
    idem__spin spin = {.failed_spins = 3};
    ck_assert(idem__spin_yield_in(&world, &spin));
    idem__spin_end(&spin);
    ck_assert_uint_eq(spin.failed_spins, 0);
    idem__spin_end(&spin); /* what was there at once teaches nothing */
    ck_assert_uint_eq(spin.failed_spins, 0);
    ck_assert_int_ge(wait_in_vain(&world, &spin), 50);
}
END_TEST

START_TEST(where_waits_are_long_only_every_few_try)
{
    idem__spin_world world = fresh_world(US);
    idem__spin spin = {0};
    for (int i = 0; i < 4; i++)
        ck_assert_int_gt(wait_in_vain(&world, &spin), 0);
    int tries = 0;
    for (int i = 0; i < 320; i++)
        tries += wait_in_vain(&world, &spin) > 0;
    ck_assert_int_eq(tries, 10);
    while (!idem__spin_yield_in(&world, &spin))
        idem__spin_end(&spin);
    idem__spin_end(&spin); /* it came */
    ck_assert_int_gt(wait_in_vain(&world, &spin), 0);
}
END_TEST

START_TEST(a_wait_in_a_crowd_has_some_yields_however_long_they_are)
{
    idem__spin_world world = fresh_world(90 * US);
    idem__spin spin = {0};
    ck_assert_int_eq(wait_in_vain(&world, &spin), 16);
    ck_assert_int_eq(wait_in_vain(&world, &spin), 16);
}
END_TEST

/* Waits until a yield of so many that are lost is one too many. @return how many there were */
static int lose_all(idem__spin_world *world, idem__spin *spin)
{
    int before = yields;
    while (wait_in_vain(world, spin) > 0 && yields - before < 100) {
    }
    return yields - before;
}

START_TEST(yields_as_long_as_a_time_slice_end_all_yields_for_a_while)
{
    idem__spin_world world = fresh_world(3 * MS);
    idem__spin spin = {0};
    idem__spin other = {0};
    ck_assert_int_eq(lose_all(&world, &spin), 21);
    ck_assert_uint_eq(spin.failed_spins, 0); /* they say nothing of the answers */
    ck_assert_int_eq(wait_in_vain(&world, &other), 0);
    idem__spin_pause_in(&world);
    ck_assert_int_eq(yields, 21);
    time_ns += 700 * MS;
    ck_assert_int_eq(wait_in_vain(&world, &other), 0);
    time_ns += 100 * MS;
    yield_ns = US;
    ck_assert_int_gt(wait_in_vain(&world, &other), 1);
}
END_TEST

START_TEST(a_long_yield_now_and_then_ends_its_wait_alone)
{
    idem__spin_world world = fresh_world(3 * MS);
    idem__spin spin = {0};
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(wait_in_vain(&world, &spin), 1);
        time_ns += 13 * MS; /* not quite a fifth of the time */
    }
    for (int i = 0; i < 500 && wait_in_vain(&world, &spin) > 0; i++)
        time_ns += 11 * MS; /* a little more */
    ck_assert_int_eq(wait_in_vain(&world, &spin), 0);
}
END_TEST

START_TEST(a_rest_is_never_longer_than_a_second)
{
    idem__spin_world world = fresh_world(5000 * MS);
    idem__spin spin = {0};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(wait_in_vain(&world, &spin), 1);
        time_ns += 999 * MS;
        ck_assert_int_eq(wait_in_vain(&world, &spin), 0);
        time_ns += MS;
    }
}
END_TEST

START_TEST(a_pause_is_one_yield_and_learns_as_waits_do)
{
    idem__spin_world world = fresh_world(51 * MS);
    idem__spin spin = {0};
    idem__spin_pause_in(&world);
    ck_assert_int_eq(yields, 1);
    ck_assert_int_eq(wait_in_vain(&world, &spin), 0);
}
END_TEST

START_TEST(with_one_processor_nobody_yields_but_for_a_pause)
{
    idem__spin_world world = fresh_world(US);
    idem__spin spin = {0};
    one_processor = true;
    ck_assert_int_eq(wait_in_vain(&world, &spin), 0);
    ck_assert_uint_eq(spin.failed_spins, 0);
    idem__spin_pause_in(&world);
    ck_assert_int_eq(yields, 1);
    one_processor = false; /* which is found out within a second */
    ck_assert_int_eq(wait_in_vain(&world, &spin), 0);
    time_ns += 1000 * MS;
    ck_assert_int_gt(wait_in_vain(&world, &spin), 0);
}
END_TEST

#ifdef CPU_COUNT
START_TEST(a_process_tied_to_one_processor_does_not_yield)
{
    cpu_set_t allowed;
    cpu_set_t one;
    idem__spin spin = {0};
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &allowed))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert(!idem__spin_yield(&spin));
    ck_assert_int_eq(sched_setaffinity(0, sizeof allowed, &allowed), 0);
}
END_TEST
#endif

START_TEST(a_wait_of_this_process_ends)
{
    idem__spin spin = {0};
    uint64_t count = 0;
    while (idem__spin_yield(&spin))
        count++;
    idem__spin_end(&spin);
    ck_assert_uint_eq(spin.until_ns, 0);
    ck_assert_uint_lt(count, 10000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spin");
    ADD(suite, a_wait_yields_for_a_bounded_time);
    ADD(suite, what_came_in_time_costs_no_patience);
    ADD(suite, where_waits_are_long_only_every_few_try);
    ADD(suite, a_wait_in_a_crowd_has_some_yields_however_long_they_are);
    ADD(suite, yields_as_long_as_a_time_slice_end_all_yields_for_a_while);
    ADD(suite, a_long_yield_now_and_then_ends_its_wait_alone);
    ADD(suite, a_rest_is_never_longer_than_a_second);
    ADD(suite, a_pause_is_one_yield_and_learns_as_waits_do);
    ADD(suite, with_one_processor_nobody_yields_but_for_a_pause);
#ifdef CPU_COUNT
    ADD(suite, a_process_tied_to_one_processor_does_not_yield);
#endif
    ADD(suite, a_wait_of_this_process_ends);
    return run_suite(suite);
}
