/* SPDX-License-Identifier: MIT */
/* The times of a call: when it is repeated, when no longer, and how long it waits in silence. */
#include "call.h"

#include "clock.h"
#include "runner.h"
#include "store.h"

#define NOW UINT64_C(1000000)

START_TEST(pauses_double_up_to_a_limit_with_jitter)
{
    uint64_t deadline_ms = NOW + 60000;
    uint64_t pause_ms = 0;
    uint64_t largest_ms = 0;
    unsigned different = 0;
    uint64_t before_ms = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t last_ms = pause_ms;
        uint64_t at_ms = idem__call_repeat_at(&pause_ms, NOW, deadline_ms);
        ck_assert_uint_gt(at_ms, NOW);
        ck_assert_uint_ge(at_ms - NOW, pause_ms / 2);
        ck_assert_uint_le(at_ms - NOW, pause_ms + 1);
        ck_assert_uint_ge(pause_ms, last_ms);
        ck_assert(i == 0 || pause_ms <= 2 * last_ms);
        ck_assert(i > 3 || pause_ms == UINT64_C(1) << i);
        largest_ms = pause_ms > largest_ms ? pause_ms : largest_ms;
        different += at_ms != before_ms;
        before_ms = at_ms;
    }
    ck_assert_uint_le(largest_ms, 1000);
    ck_assert_uint_gt(different, 10);
}
END_TEST

/* So that there is time for the try itself, and for one more. */
START_TEST(a_repeat_comes_within_half_of_what_is_left)
{
    for (uint64_t left_ms = 1; left_ms < 2000; left_ms++) {
        uint64_t pause_ms = 100000;
        uint64_t at_ms = idem__call_repeat_at(&pause_ms, NOW, NOW + left_ms);
        ck_assert_uint_ge(at_ms, NOW);
        ck_assert_uint_le(at_ms, NOW + left_ms / 2);
    }
}
END_TEST

START_TEST(at_the_deadline_nothing_is_repeated)
{
    uint64_t pause_ms = 0;
    ck_assert_uint_eq(idem__call_repeat_at(&pause_ms, NOW, NOW), 0);
    ck_assert_uint_eq(idem__call_repeat_at(&pause_ms, NOW, NOW - 1), 0);
    ck_assert_uint_eq(idem__call_repeat_at(&pause_ms, NOW, 0), 0);
}
END_TEST

START_TEST(what_is_too_late_is_a_part_of_the_timeout)
{
    idem__call call = {.kind = IDEM__CALL_GET};
    for (uint64_t timeout_ms = 1; timeout_ms < 100000; timeout_ms += 1 + timeout_ms / 3) {
        idem__call_set_time(&call, NOW, timeout_ms);
        ck_assert_uint_gt(call.deadline_ms, NOW + timeout_ms); /* never early */
        ck_assert_uint_le(call.deadline_ms, NOW + timeout_ms + 1);
        ck_assert_uint_ge(call.too_late_ms, 1);
        ck_assert_uint_le(call.too_late_ms, timeout_ms / 4 + 1);
        /* A silent connection leaves time for another one, unless it would be given up in haste. */
        ck_assert_uint_ge(idem__call_silence_ms(timeout_ms), idem__call_silence_ms(1));
        ck_assert(idem__call_silence_ms(timeout_ms) <= timeout_ms / 2 ||
                  idem__call_silence_ms(timeout_ms) == idem__call_silence_ms(1));
    }
}
END_TEST

START_TEST(the_earliest_deadline_is_that_of_all)
{
    idem__call calls[3] = {{.deadline_ms = 30}, {.deadline_ms = 10}, {.deadline_ms = 20}};
    idem__call *const all[] = {&calls[0], &calls[1], &calls[2]};
    ck_assert_uint_eq(idem__call_earliest(all, 3), 10);
    ck_assert_uint_eq(idem__call_earliest(all, 1), 30);
}
END_TEST

/* One that is woken in time is never taken for late. */
START_TEST(a_repeat_in_time_is_tried)
{
    for (uint64_t timeout_ms = 1; timeout_ms < 1000; timeout_ms += 1 + timeout_ms / 8) {
        uint64_t too_late_ms = idem__call_too_late_ms(timeout_ms);
        for (uint64_t left_ms = too_late_ms; left_ms <= timeout_ms; left_ms++) {
            uint64_t pause_ms = 100000;
            uint64_t at_ms = idem__call_repeat_at(&pause_ms, NOW, NOW + left_ms);
            ck_assert(!idem__call_woke_late(too_late_ms, at_ms, NOW + left_ms));
        }
        ck_assert(idem__call_woke_late(too_late_ms, NOW + 1, NOW));
    }
}
END_TEST

/* On a busy machine a thread may be woken when its time is over. */
START_TEST(a_call_that_is_woken_late_ends_by_the_error_that_is_known)
{
    idem_store *store;
    idem__call call;
    ck_assert_int_eq(idem_open("memory:", &store, NULL), IDEM_OK);
    for (int late = 0; late < 2; late++) {
        idem__protocol_init(&call, IDEM__CALL_GET, idem_str("k"));
        idem__call_set_time(&call, idem_monotonic_ms(), 60000);
        idem__protocol_start(&call);
        idem_op_fail(&call.op, false, IDEM_ERR_UNAVAILABLE, "the server was not there");
        ck_assert_int_eq(idem__call_step(store, &call), IDEM__CALL_WAIT);
        call.deadline_ms = late ? idem_monotonic_ms() - 1 : call.deadline_ms;
        ck_assert_int_eq(idem__call_resume(store, &call, false),
                         late ? IDEM__CALL_DONE : IDEM__CALL_SEND);
        ck_assert_int_eq(call.code, late ? IDEM_ERR_UNAVAILABLE : IDEM_OK);
        ck_assert_str_eq(call.error.message, late ? "the server was not there" : "");
        idem__protocol_clear(&call);
    }
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("call");
    ADD(suite, pauses_double_up_to_a_limit_with_jitter);
    ADD(suite, a_repeat_comes_within_half_of_what_is_left);
    ADD(suite, at_the_deadline_nothing_is_repeated);
    ADD(suite, what_is_too_late_is_a_part_of_the_timeout);
    ADD(suite, a_repeat_in_time_is_tried);
    ADD(suite, a_call_that_is_woken_late_ends_by_the_error_that_is_known);
    ADD(suite, the_earliest_deadline_is_that_of_all);
    return run_suite(suite);
}
