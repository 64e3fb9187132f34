/* SPDX-License-Identifier: MIT */
/* The queue of waiters against a plain array: they come at the end and leave from anywhere. */
#include "wait_queue.h"

#include "runner.h"

#include <stdlib.h>
#include <string.h>

#define COUNT 40u

static idem__waiter waiters[COUNT];
static idem__waiter *expected[COUNT]; /* in their order */
static size_t expected_count;

static void assert_as_expected(const idem__wait_queue *queue)
{
    const idem__waiter *at = queue->first;
    ck_assert_uint_eq(queue->count, expected_count);
    for (size_t i = 0; i < expected_count; i++, at = at->next) {
        ck_assert_ptr_eq(at, expected[i]);
        ck_assert_ptr_eq(at->previous, i > 0 ? expected[i - 1] : NULL);
    }
    ck_assert_ptr_null(at);
    ck_assert_ptr_eq(queue->last, expected_count ? expected[expected_count - 1] : NULL);
}

static size_t place_of(const idem__waiter *waiter)
{
    size_t i = 0;
    while (i < expected_count && expected[i] != waiter)
        i++;
    return i;
}

START_TEST(the_order_is_that_of_coming_whoever_leaves)
{
    unsigned seed = 7;
    idem__wait_queue queue = {.first = NULL};
    for (unsigned round = 0; round < 5000; round++) {
        idem__waiter *one = &waiters[(size_t)rand_r(&seed) % COUNT];
        size_t place = place_of(one);
        if (place == expected_count) {
            idem__wait_queue_add(&queue, one);
            expected[expected_count++] = one;
        } else {
            idem__wait_queue_remove(&queue, one);
            memmove(&expected[place], &expected[place + 1],
                    (--expected_count - place) * sizeof expected[0]);
            ck_assert(!one->next && !one->previous);
        }
        assert_as_expected(&queue);
    }
}
END_TEST

START_TEST(all_are_told_that_they_are_done)
{
    idem__wait_queue queue = {.first = NULL};
    memset(waiters, 0, sizeof waiters);
    expected_count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_int_eq(idem__waiter_init(&waiters[i], NULL, 0, 0), IDEM_OK);
        idem__wait_queue_add(&queue, &waiters[i]);
        ck_assert(!idem__waiter_is_done(&waiters[i]));
    }
    idem__wait_queue_finish(&queue);
    assert_as_expected(&queue);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert(idem__waiter_is_done(&waiters[i]));
        idem__waiter_destroy(&waiters[i]);
    }
    idem__wait_queue_finish(&queue); /* of none */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wait queue");
    ADD(suite, the_order_is_that_of_coming_whoever_leaves);
    ADD(suite, all_are_told_that_they_are_done);
    return run_suite(suite);
}
