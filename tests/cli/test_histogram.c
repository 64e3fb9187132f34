/* SPDX-License-Identifier: MIT */
/* The histogram of `idem bench` against exact percentiles of values that are known. */
#include "histogram.h"

#include "runner.h"

#include <stdio.h>

enum { COUNT = 20000 };

static const unsigned asked[] = {1, 10, 250, 500, 750, 900, 950, 990, 999, 1000};

#define ASKED_COUNT (sizeof asked / sizeof asked[0])

static uint64_t state;

static uint64_t draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 20;
}

/* ------------------------------------------------------------------------- known distributions */

static uint64_t ascending(unsigned i)
{
    return i + 1;
}

static uint64_t constant(unsigned i)
{
    (void)i;
    return 123456789;
}

static uint64_t even(unsigned i)
{
    (void)i;
    return draw() % 1000000;
}

/* As many between 2^n and 2^(n+1) as between 2^(n+1) and 2^(n+2). */
static uint64_t wide(unsigned i)
{
    (void)i;
    return draw() >> (draw() % 44);
}

/* Quick as a rule; one in 200 is a thousand times as slow. */
static uint64_t with_a_tail(unsigned i)
{
    return i % 200 == 7 ? 5000000 + draw() % 1000000 : 4000 + draw() % 1000;
}

static uint64_t huge(unsigned i)
{
    return UINT64_MAX - i * UINT64_C(1000000007);
}

static const struct {
    const char *name;
    uint64_t (*value)(unsigned i);
} distributions[] = {{"ascending", ascending}, {"constant", constant}, {"even", even},
                     {"wide", wide},           {"tail", with_a_tail},  {"huge", huge}};

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The smallest value of those that are sorted that so many thousandths do not exceed. */
static uint64_t exact_at(const uint64_t *sorted, unsigned thousandths)
{
    unsigned rank = (unsigned)(((uint64_t)COUNT * thousandths + 999) / 1000);
    return sorted[rank > 0 ? rank - 1 : 0];
}

START_TEST(a_percentile_is_the_exact_one_or_less_than_one_percent_above)
{
    static uint64_t values[COUNT];
    static cli_histogram histogram;
    state = (uint64_t)_i;
    histogram = (cli_histogram){0};
    for (unsigned i = 0; i < COUNT; i++) {
        values[i] = distributions[_i].value(i);
        cli_histogram_add(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], compare);
    ck_assert_uint_eq(histogram.total, COUNT);
    ck_assert_uint_eq(histogram.max, values[COUNT - 1]);
    for (size_t i = 0; i < ASKED_COUNT; i++) {
        uint64_t exact = exact_at(values, asked[i]);
        uint64_t got = cli_histogram_at(&histogram, asked[i]);
        ck_assert_msg(got >= exact && got - exact <= exact / 128,
                      "%s at %u: %llu is not close to %llu", distributions[_i].name, asked[i],
                      (unsigned long long)got, (unsigned long long)exact);
    }
    ck_assert_uint_eq(cli_histogram_at(&histogram, 1000), values[COUNT - 1]);
}
END_TEST

/* ---------------------------------------------------------------------------------------- edges */

START_TEST(small_values_are_exact)
{
    static cli_histogram histogram;
    histogram = (cli_histogram){0};
    for (uint64_t value = 0; value < 200; value++)
        cli_histogram_add(&histogram, value);
    for (unsigned i = 1; i <= 200; i++)
        ck_assert_uint_eq(cli_histogram_at(&histogram, i * 5), i - 1);
}
END_TEST

/* Around each power of two, where rows of buckets meet: with a larger value beside it, so that it is
   not the maximum that is given. */
static void assert_known(uint64_t value)
{
    static cli_histogram histogram;
    histogram = (cli_histogram){0};
    cli_histogram_add(&histogram, value);
    cli_histogram_add(&histogram, UINT64_MAX);
    uint64_t got = cli_histogram_at(&histogram, 500);
    ck_assert_msg(got >= value && got - value <= value / 128, "%llu was taken for %llu",
                  (unsigned long long)value, (unsigned long long)got);
    ck_assert_uint_eq(cli_histogram_at(&histogram, 501), UINT64_MAX);
}

START_TEST(values_of_any_size_have_a_place)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        uint64_t power = UINT64_C(1) << bits;
        assert_known(power - 1);
        assert_known(power);
        assert_known(power + 1);
        assert_known(power + power / 2);
    }
    assert_known(UINT64_MAX);
    assert_known(UINT64_MAX - 1);
}
END_TEST

START_TEST(larger_values_are_never_below_smaller_ones)
{
    uint64_t before = 0;
    static cli_histogram histogram;
    for (uint64_t value = 1; value < UINT64_MAX / 3; value += 1 + value / 50) {
        histogram = (cli_histogram){0};
        cli_histogram_add(&histogram, value);
        cli_histogram_add(&histogram, UINT64_MAX);
        uint64_t got = cli_histogram_at(&histogram, 500);
        ck_assert_uint_gt(got, before);
        before = got;
    }
}
END_TEST

START_TEST(an_empty_one_gives_0)
{
    static cli_histogram histogram;
    histogram = (cli_histogram){0};
    for (size_t i = 0; i < ASKED_COUNT; i++)
        ck_assert_uint_eq(cli_histogram_at(&histogram, asked[i]), 0);
    cli_histogram_add(&histogram, 77777);
    for (size_t i = 0; i < ASKED_COUNT; i++)
        ck_assert_uint_eq(cli_histogram_at(&histogram, asked[i]), 77777);
}
END_TEST

START_TEST(merging_is_as_good_as_adding)
{
    static cli_histogram parts[3];
    static cli_histogram merged;
    static cli_histogram whole;
    state = 1;
    merged = whole = (cli_histogram){0};
    for (unsigned i = 0; i < 3; i++)
        parts[i] = merged;
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t value = wide(i);
        cli_histogram_add(&parts[i % 3], value);
        cli_histogram_add(&whole, value);
    }
    for (unsigned i = 0; i < 3; i++)
        cli_histogram_merge(&merged, &parts[i]);
    ck_assert_mem_eq(&merged, &whole, sizeof whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histogram");
    ADD_ROWS(suite, a_percentile_is_the_exact_one_or_less_than_one_percent_above, distributions);
    ADD(suite, small_values_are_exact);
    ADD(suite, values_of_any_size_have_a_place);
    ADD(suite, larger_values_are_never_below_smaller_ones);
    ADD(suite, an_empty_one_gives_0);
    ADD(suite, merging_is_as_good_as_adding);
    return run_suite(suite);
}
