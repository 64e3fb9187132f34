/* SPDX-License-Identifier: MIT */
/* What one caller has seen of a key, and for whom and how long another look is put off by it. */
#include "store.h"

#include "runner.h"

#include <stdio.h>

#define NOW UINT64_C(1000000)

static idem_store store;

static void set_up(void)
{
    ck_assert_int_eq(idem__watch_init(&store.watch), 0);
}

static void tear_down(void)
{
    idem__watch_destroy(&store.watch);
}

/* A begin that has found its key in progress, with the rest of a lease. */
static idem__call found(const char *key, uint64_t lease_left_ms)
{
    return (idem__call){.key = idem_str(key),
                        .outcome = IDEM_IN_PROGRESS,
                        .retry_after_ms = lease_left_ms,
                        .wait_pause_ms = 100};
}

static bool looked(idem_store *of, const idem__call *one, uint64_t now)
{
    return idem__watch_ask(of, one, now) == IDEM__WATCH_SEEN;
}

START_TEST(a_look_counts_for_half_a_pause)
{
    idem__call call = found("k", 60000);
    ck_assert(!looked(&store, &call, NOW));
    idem__watch_note(&store, &call, NOW);
    ck_assert(looked(&store, &call, NOW));
    ck_assert(looked(&store, &call, NOW + 49));
    ck_assert(!looked(&store, &call, NOW + 50));
}
END_TEST

START_TEST(a_look_counts_for_no_other_key)
{
    idem__call call = found("k", 60000);
    idem__call other = found("l", 60000);
    idem__watch_note(&store, &call, NOW);
    ck_assert(!looked(&store, &other, NOW));
}
END_TEST

/* A lease that has ended may be taken over: whoever waits looks for itself. */
START_TEST(a_look_counts_no_longer_than_the_lease)
{
    idem__call call = found("k", 20);
    idem__watch_note(&store, &call, NOW);
    ck_assert(looked(&store, &call, NOW + 20));
    ck_assert(!looked(&store, &call, NOW + 21));
}
END_TEST

static const idem_outcome_kind ends[] = {IDEM_NEW, IDEM_COMPLETED, IDEM_IN_DOUBT, IDEM_MISMATCH};

START_TEST(what_is_no_longer_in_progress_is_forgotten)
{
    idem__call call = found("k", 60000);
    idem__call after = call;
    idem__watch_note(&store, &call, NOW);
    after.outcome = ends[_i];
    idem__watch_note(&store, &after, NOW + 1);
    ck_assert(!looked(&store, &call, NOW + 1));
}
END_TEST

/* There are more keys than slots. */
START_TEST(a_key_takes_anothers_place_and_never_its_answer)
{
    char names[600][8];
    idem__call calls[600];
    unsigned seen = 0;
    for (unsigned i = 0; i < 600; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%u", i);
        calls[i] = found(names[i], 60000);
        idem__watch_note(&store, &calls[i], NOW + i);
        ck_assert(looked(&store, &calls[i], NOW + i));
        idem__call end = calls[i];
        end.outcome = IDEM_COMPLETED;
        if (i % 2)
            idem__watch_note(&store, &end, NOW + i);
    }
    for (unsigned i = 550; i < 600; i++) {
        bool was = looked(&store, &calls[i], NOW + 599);
        ck_assert(!was || i % 2 == 0);
        seen += was;
    }
    ck_assert_uint_gt(seen, 0);
    ck_assert_uint_le(seen, 25);
}
END_TEST

START_TEST(a_key_that_nobody_has_looked_at_was_not_seen)
{
    char name[16];
    for (unsigned i = 0; i < 2000; i++) { /* every slot is taken */
        (void)snprintf(name, sizeof name, "k%u", i);
        idem__call call = found(name, 60000);
        idem__watch_note(&store, &call, NOW);
    }
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "other-%u", i);
        idem__call call = found(name, 60000);
        ck_assert(!idem__watch_was_seen(&store, &call, NOW));
    }
}
END_TEST

/* The end of a key whose place another has taken says nothing of that other one. */
START_TEST(the_end_of_one_key_leaves_the_looks_of_others)
{
    char name[16];
    idem__call call = found("k", 60000);
    idem__watch_note(&store, &call, NOW);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "other-%u", i);
        idem__call other = found(name, 60000);
        other.outcome = IDEM_COMPLETED;
        idem__watch_note(&store, &other, NOW);
    }
    ck_assert(looked(&store, &call, NOW));
}
END_TEST

/* As many as there are, each for a key of its own. @return how many may look */
static size_t ask_all(size_t count, uint64_t now)
{
    size_t looks = 0;
    for (size_t i = 0; i < count; i++) {
        idem__call one = {.key = {&i, sizeof i}, .wait_pause_ms = 100};
        looks += idem__watch_ask(&store, &one, now) == IDEM__WATCH_LOOK;
    }
    return looks;
}

START_TEST(a_crowd_looks_no_more_often_than_at_a_rate)
{
    size_t at_once = ask_all(10000, NOW);
    ck_assert_uint_ge(at_once, 100);
    ck_assert_uint_le(at_once, 1000);
    ck_assert_uint_eq(ask_all(10000, NOW), 0);
    size_t in_a_second = 0;
    for (uint64_t ms = 1; ms <= 1000; ms++)
        in_a_second += ask_all(100, NOW + ms);
    ck_assert_uint_ge(in_a_second, 10000);
    ck_assert_uint_le(in_a_second, 30000);
}
END_TEST

START_TEST(a_crowd_that_comes_at_once_looks_later)
{
    uint64_t few_ms = idem__watch_first_pause_ms(&store);
    atomic_store(&store.watch.waiting, 1000);
    ck_assert_uint_eq(idem__watch_first_pause_ms(&store), few_ms);
    atomic_store(&store.watch.waiting, 100000);
    ck_assert_uint_ge(idem__watch_first_pause_ms(&store), 1000);
    atomic_store(&store.watch.waiting, 0);
}
END_TEST

START_TEST(the_more_wait_the_longer_is_the_pause_between_looks)
{
    enum { MANY = 10000 };
    static idem__call calls[MANY];
    uint64_t few_ms = idem__watch_pause_limit_ms(&store);
    for (size_t i = 0; i < MANY; i++) {
        idem__watch_join(&store, &calls[i]);
        idem__watch_join(&store, &calls[i]); /* counted once */
    }
    /* At most ten looks a millisecond, of all. */
    ck_assert_uint_ge(idem__watch_pause_limit_ms(&store) * 10, MANY);
    ck_assert_uint_gt(idem__watch_pause_limit_ms(&store), few_ms);
    for (size_t i = 0; i < MANY; i++) {
        idem__watch_leave(&store, &calls[i]);
        idem__watch_leave(&store, &calls[i]);
    }
    ck_assert_uint_eq(idem__watch_pause_limit_ms(&store), few_ms);
    ck_assert_uint_eq(atomic_load(&store.watch.waiting), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch");
    ADD_HERE(suite, a_look_counts_for_half_a_pause, 1);
    ADD_HERE(suite, a_look_counts_for_no_other_key, 1);
    ADD_HERE(suite, a_look_counts_no_longer_than_the_lease, 1);
    ADD_HERE(suite, what_is_no_longer_in_progress_is_forgotten, sizeof ends / sizeof ends[0]);
    ADD_HERE(suite, a_key_takes_anothers_place_and_never_its_answer, 1);
    ADD_HERE(suite, a_key_that_nobody_has_looked_at_was_not_seen, 1);
    ADD_HERE(suite, the_end_of_one_key_leaves_the_looks_of_others, 1);
    ADD_HERE(suite, the_more_wait_the_longer_is_the_pause_between_looks, 1);
    ADD_HERE(suite, a_crowd_looks_no_more_often_than_at_a_rate, 1);
    ADD_HERE(suite, a_crowd_that_comes_at_once_looks_later, 1);
    return run_suite(suite);
}
