/* SPDX-License-Identifier: MIT */
/* The heap of timers against a plain array: entries come, move and go at random. */
#include "timer.h"

#include "runner.h"

#include <stdlib.h>

#define COUNT 300u

static idem__timers timers;
static idem__timer entries[COUNT];

static uint64_t earliest(void)
{
    uint64_t at_ms = UINT64_MAX;
    for (size_t i = 0; i < COUNT; i++) {
        if (entries[i].set && entries[i].at_ms < at_ms)
            at_ms = entries[i].at_ms;
    }
    return at_ms;
}

static unsigned rank_of(const idem__timer *timer)
{
    return timer ? timer->rank : 0;
}

/* That is what bounds each step: the right way down is the shorter one, and ranks are true. */
static bool all_lean_left(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        const idem__timer *one = &entries[i];
        if (one->set &&
            (rank_of(one->left) < rank_of(one->right) || rank_of(one) != rank_of(one->right) + 1))
            return false;
    }
    return true;
}

START_TEST(an_empty_heap_has_nothing_due)
{
    idem__timers none = {.first = NULL};
    ck_assert_uint_eq(idem__timers_next_ms(&none), UINT64_MAX);
    ck_assert_ptr_null(idem__timers_take_due(&none, UINT64_MAX));
}
END_TEST

START_TEST(the_earliest_is_first_whatever_happens)
{
    unsigned seed = 1;
    for (size_t round = 0; round < 20000; round++) {
        idem__timer *one = &entries[(size_t)rand_r(&seed) % COUNT];
        if (rand_r(&seed) % 3 == 0)
            idem__timers_unset(&timers, one);
        else
            idem__timers_set(&timers, one, (uint64_t)rand_r(&seed) % 1000);
        ck_assert_uint_eq(idem__timers_next_ms(&timers), earliest());
        ck_assert(all_lean_left());
    }
    uint64_t last = 0;
    for (idem__timer *due; (due = idem__timers_take_due(&timers, UINT64_MAX - 1)) != NULL;) {
        ck_assert_uint_ge(due->at_ms, last);
        ck_assert(!due->set);
        last = due->at_ms;
        ck_assert_uint_ge(earliest(), last);
    }
    ck_assert_uint_eq(earliest(), UINT64_MAX);
}
END_TEST

START_TEST(what_is_not_due_stays)
{
    idem__timers some = {.first = NULL};
    idem__timer one = {0};
    idem__timers_set(&some, &one, 50);
    ck_assert_ptr_null(idem__timers_take_due(&some, 49));
    ck_assert_ptr_eq(idem__timers_take_due(&some, 50), &one);
    ck_assert_ptr_null(some.first);
}
END_TEST

/* However entries came in: no step is paid for by later ones. */
START_TEST(no_step_takes_long)
{
    enum { MANY = 100000, MOST = 64 };
    idem__timers many = {.first = NULL};
    idem__timer *all = calloc(MANY, sizeof *all);
    unsigned seed = 1;
    uint64_t worst = 0;
    ck_assert_ptr_nonnull(all);
    for (int order = 0; order < 3; order++) {
        uint64_t before = many.compared;
        for (uint64_t i = 0; i < MANY; i++) {
            idem__timers_set(&many, &all[i],
                             order == 0   ? i
                             : order == 1 ? MANY - i
                                          : (uint64_t)rand_r(&seed) % MANY);
            worst = many.compared - before > worst ? many.compared - before : worst;
            before = many.compared;
        }
        for (size_t i = 0; i < MANY; i++) {
            if (i % 2 == 0)
                idem__timers_unset(&many, &all[(size_t)rand_r(&seed) % MANY]);
            else
                (void)idem__timers_take_due(&many, UINT64_MAX);
            worst = many.compared - before > worst ? many.compared - before : worst;
            before = many.compared;
        }
    }
    ck_assert_uint_lt(worst, MOST);
    free(all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timer");
    ADD(suite, an_empty_heap_has_nothing_due);
    ADD(suite, the_earliest_is_first_whatever_happens);
    ADD(suite, what_is_not_due_stays);
    ADD(suite, no_step_takes_long);
    return run_suite(suite);
}
