/* SPDX-License-Identifier: MIT */
/*
 * Submitted calls one by one: what is refused, what is copied, when the descriptor is readable, what
 * callbacks may do, and that what one call waits for holds up no other. Where a call has to be at the
 * store for a while, a gate holds it there.
 */
#include "faulty.h"
#include "gate.h"
#include "loop.h"
#include "runner.h"

#include <stdio.h>

static idem_store *store;
static idem_async *async;
static gate entrance;

static void set_up(void)
{
    faulty_clear();
    entrance = (gate)GATE_CLOSED;
    async = loop_open("faulty+memory://calls", &store);
}

static void tear_down(void)
{
    gate_open(&entrance);
    idem_async_close(async);
    idem_close(store);
}

/* Holds one operation on a key at the store until the gate opens. */
static void hold(const char *key)
{
    FAULTY(.before = gate_hold, .user = &entrance, .key = idem_str(key));
}

static void complete(idem_claim *claim, const char *response, answer *told)
{
    idem_error error;
    int rc = idem_async_complete(async, claim, idem_str(response), on_changed, told, NULL, &error);
    ck_assert_msg(rc == IDEM_OK, "%s", error.message);
}

static bool says(idem_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

START_TEST(bad_input_is_refused_at_once_and_never_answered)
{
    static const char zero[IDEM_TOKEN_SIZE];
    static char long_key[IDEM_KEY_MAX + 1];
    answer told = {.answers = 0};
    idem_error error;
    idem_outcome held = loop_claim(async, "held");
    memset(long_key, 'k', sizeof long_key);
    const idem_request bad[] = {
        {.size = 0},
        {.size = sizeof(idem_request)},
        {.size = sizeof(idem_request), .key = {long_key, sizeof long_key}},
        {.size = sizeof(idem_request), .key = {NULL, 5}},
        {.size = sizeof(idem_request), .key = {"k", 1}, .fingerprint = {long_key, 65}},
        {.size = sizeof(idem_request), .key = {"k", 1}, .fingerprint = {NULL, 4}},
        {.size = sizeof(idem_request), .key = {"k", 1}, .token = (const uint8_t *)zero},
        {.size = sizeof(idem_request), .key = {"k", 1}, .flags = 1u << 20},
        {.size = sizeof(idem_request), .key = {"k", 1}, .wait_ms = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        idem_async_call call = 77;
        int rc = idem_async_begin(async, &bad[i], on_begun, &told, &call, &error);
        ck_assert_msg(rc == IDEM_ERR_ARGUMENT && error.code == rc && error.message[0], "row %zu",
                      i);
        ck_assert_uint_eq(call, 77);
    }
    const idem_request *good = IDEM_REQUEST(.key = idem_str("k"));
    ck_assert_int_eq(idem_async_begin(NULL, good, on_begun, &told, NULL, &error),
                     IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_async_begin(async, NULL, on_begun, &told, NULL, &error),
                     IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_async_begin(async, good, NULL, &told, NULL, &error), IDEM_ERR_ARGUMENT);
    idem_bytes no_bytes = {NULL, 7};
    idem_bytes too_long = {long_key, (size_t)idem_max_response(store) + 1};
    const struct {
        idem_bytes text;
        int code;
    } texts[] = {{idem_str("{"), IDEM_ERR_ARGUMENT},
                 {no_bytes, IDEM_ERR_ARGUMENT},
                 {too_long, IDEM_ERR_TOO_LARGE}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_int_eq(
            idem_async_complete(async, held.claim, texts[i].text, on_changed, &told, NULL, &error),
            texts[i].code);
        ck_assert_int_eq(idem_async_checkpoint(async, held.claim, texts[i].text, on_changed, &told,
                                               NULL, &error),
                         texts[i].code);
    }
    ck_assert_int_eq(
        idem_async_renew(async, held.claim, UINT64_MAX, on_changed, &told, NULL, &error),
        IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_async_release(async, NULL, on_changed, &told, NULL, &error),
                     IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_async_release(async, held.claim, NULL, &told, NULL, &error),
                     IDEM_ERR_ARGUMENT);
    ck_assert_uint_eq(idem_async_pending(async), 0);
    ck_assert(!loop_is_readable(async, 0));
    ck_assert_uint_eq(told.answers, 0);
    /* The claim is as usable as it was. */
    complete(held.claim, "1", &told);
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(a_queue_needs_a_store_and_nothing_else_minds_null)
{
    idem_error error;
    idem_async *none = NULL;
    ck_assert_int_eq(idem_async_open(NULL, &none, &error), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_async_open(store, NULL, &error), IDEM_ERR_ARGUMENT);
    ck_assert_ptr_null(none);
    ck_assert_int_eq(idem_async_fd(NULL), -1);
    ck_assert_uint_eq(idem_async_dispatch(NULL, 0), 0);
    ck_assert_uint_eq(idem_async_pending(NULL), 0);
    ck_assert(!idem_async_cancel(NULL, 1));
    idem_async_close(NULL);
}
END_TEST

START_TEST(the_callers_bytes_need_not_live_on)
{
    char key[] = "copied";
    char fingerprint[] = "body";
    uint8_t token[IDEM_TOKEN_SIZE] = {9};
    char response[] = "{\"paid\":true}";
    answer told = {.answers = 0};
    answer done = {.answers = 0};
    idem_error error;
    hold(key);
    const idem_request *request =
        IDEM_REQUEST(.key = idem_str(key), .token = token, .fingerprint = idem_str(fingerprint));
    ck_assert_int_eq(idem_async_begin(async, request, on_begun, &told, NULL, &error), IDEM_OK);
    gate_await(&entrance, 1);
    memset(key, 'x', strlen(key));
    memset(fingerprint, 'x', strlen(fingerprint));
    memset(token, 'x', sizeof token);
    gate_open(&entrance);
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    ck_assert_int_eq(idem_claim_token(told.outcome.claim)[0], 9);
    entrance = (gate)GATE_CLOSED;
    hold("copied");
    complete(told.outcome.claim, response, &done);
    gate_await(&entrance, 1);
    memset(response, 'x', strlen(response));
    gate_open(&entrance);
    loop_until(async, &done);
    assert_told(done, IDEM_OK);
    idem_record record;
    ck_assert_int_eq(idem_get(store, idem_str("copied"), &record, &error), IDEM_OK);
    ck_assert(says(record.response, "{\"paid\":true}"));
    ck_assert(says(record.fingerprint, "body"));
    idem_record_clear(&record);
    idem_outcome_clear(&told.outcome);
}
END_TEST

START_TEST(the_descriptor_is_readable_while_callbacks_can_be_run)
{
    answer told[5] = {{.answers = 0}};
    ck_assert_int_ge(idem_async_fd(async), 0);
    ck_assert(!loop_is_readable(async, 0));
    ck_assert_uint_eq(idem_async_dispatch(async, 0), 0);
    hold("k-0");
    for (int i = 0; i < 5; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k-%d", i);
        (void)loop_begin(async, key, &told[i]);
        if (i == 0)
            gate_await(&entrance, 1);
    }
    ck_assert(!loop_is_readable(async, 50)); /* all of them are on their way */
    ck_assert_uint_eq(idem_async_pending(async), 5);
    gate_open(&entrance);
    size_t count = 0;
    while (count < 5) {
        ck_assert(loop_is_readable(async, 60000));
        size_t ran = idem_async_dispatch(async, 1);
        ck_assert_uint_eq(ran, 1);
        count += ran;
        ck_assert_uint_eq(idem_async_pending(async), 5 - count);
    }
    ck_assert(!loop_is_readable(async, 0));
    for (int i = 0; i < 5; i++) {
        assert_told(told[i], IDEM_OK);
        idem_outcome_clear(&told[i].outcome);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------- callbacks */

typedef struct {
    unsigned left;
    unsigned told;
} chain;

static void begin_next(void *user, idem_outcome *outcome, const idem_error *error)
{
    chain *links = user;
    char key[16];
    ck_assert_int_eq(error->code, IDEM_OK);
    idem_outcome_clear(outcome);
    links->told++;
    if (links->left == 0)
        return;
    (void)snprintf(key, sizeof key, "link-%u", --links->left);
    ck_assert_int_eq(
        idem_async_begin(async, IDEM_REQUEST(.key = idem_str(key)), begin_next, links, NULL, NULL),
        IDEM_OK);
}

START_TEST(callbacks_that_submit_do_not_keep_dispatch_for_ever)
{
    chain links = {.left = 100};
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("link")), begin_next,
                                      &links, NULL, NULL),
                     IDEM_OK);
    while (idem_async_pending(async) > 0) {
        ck_assert(loop_is_readable(async, 60000));
        ck_assert_uint_eq(idem_async_dispatch(async, 0), 1);
    }
    ck_assert_uint_eq(links.told, 101);
}
END_TEST

static void dispatch_within(void *user, idem_outcome *outcome, const idem_error *error)
{
    on_begun(user, outcome, error);
    (void)idem_async_dispatch(async, 1);
}

START_TEST(dispatch_within_a_callback_runs_the_others)
{
    answer told[4] = {{.answers = 0}};
    for (int i = 0; i < 4; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k-%d", i);
        ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str(key)),
                                          dispatch_within, &told[i], NULL, NULL),
                         IDEM_OK);
    }
    loop_until_idle(async);
    for (int i = 0; i < 4; i++) {
        assert_told(told[i], IDEM_OK);
        idem_outcome_clear(&told[i].outcome);
    }
}
END_TEST

static answer of_complete;

static void complete_and_clear(void *user, idem_outcome *outcome, const idem_error *error)
{
    (void)user;
    ck_assert_int_eq(error->code, IDEM_OK);
    complete(outcome->claim, "[1]", &of_complete);
    idem_outcome_clear(outcome); /* the call goes on without the object */
}

static const uint64_t claim_flags[] = {0, IDEM_KEEPALIVE};

START_TEST(a_claim_may_be_freed_while_its_call_is_under_way)
{
    idem_error error;
    idem_record record;
    of_complete = (answer){.answers = 0};
    FAULTY(.places = FAULTY_ON(IDEM_OP_REPLACE), .before = gate_hold, .user = &entrance);
    ck_assert_int_eq(idem_async_begin(async,
                                      IDEM_REQUEST(.key = idem_str("freed"), .lease_ms = LONG_MS,
                                                   .flags = claim_flags[_i]),
                                      complete_and_clear, NULL, NULL, &error),
                     IDEM_OK);
    while (idem_async_dispatch(async, 0) == 0)
        ck_assert(loop_is_readable(async, 60000));
    gate_await(&entrance, 1);
    gate_open(&entrance);
    loop_until(async, &of_complete);
    assert_told(of_complete, IDEM_OK);
    ck_assert_int_eq(idem_get(store, idem_str("freed"), &record, &error), IDEM_OK);
    ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
    idem_record_clear(&record);
}
END_TEST

/* A renewal that succeeds would make its claim be kept alive anew. */
START_TEST(a_kept_claim_that_was_freed_is_not_renewed_any_more)
{
    idem_error error;
    answer begun = {.answers = 0};
    answer told = {.answers = 0};
    const idem_request *request =
        IDEM_REQUEST(.key = idem_str("kept"), .lease_ms = 150, .flags = IDEM_KEEPALIVE);
    ck_assert_int_eq(idem_async_begin(async, request, on_begun, &begun, NULL, &error), IDEM_OK);
    loop_until(async, &begun);
    hold("kept");
    ck_assert_int_eq(
        idem_async_renew(async, begun.outcome.claim, 0, on_changed, &told, NULL, &error), IDEM_OK);
    gate_await(&entrance, 1);
    idem_outcome_clear(&begun.outcome);
    gate_open(&entrance);
    loop_until(async, &told);
    ck_assert(told.error.code == IDEM_OK);
    idem_outcome out;
    ck_assert_int_eq(
        idem_begin(store, IDEM_REQUEST(.key = idem_str("kept"), .wait_ms = 20000), &out, &error),
        IDEM_OK);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 2);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(of_a_claim_one_call_at_a_time_is_under_way)
{
    idem_error error;
    answer first = {.answers = 0};
    answer second = {.answers = 0};
    idem_outcome held = loop_claim(async, "twice");
    hold("twice");
    ck_assert_int_eq(idem_async_renew(async, held.claim, 0, on_changed, &first, NULL, &error),
                     IDEM_OK);
    gate_await(&entrance, 1);
    ck_assert_int_eq(idem_async_release(async, held.claim, on_changed, &second, NULL, &error),
                     IDEM_ERR_ARGUMENT);
    gate_open(&entrance);
    loop_until(async, &first);
    assert_told(first, IDEM_OK);
    ck_assert_int_eq(idem_async_release(async, held.claim, on_changed, &second, NULL, &error),
                     IDEM_OK);
    loop_until(async, &second);
    assert_told(second, IDEM_OK);
    idem_outcome_clear(&held);
}
END_TEST

/* -------------------------------------------------------------------------- what holds up nobody */

/* Claims, completes and replays a key through the queue. */
static void whole_cycle(int number)
{
    char key[16];
    answer told = {.answers = 0};
    answer again = {.answers = 0};
    (void)snprintf(key, sizeof key, "cycle-%d", number);
    idem_outcome held = loop_claim(async, key);
    complete(held.claim, "[true]", &told);
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    (void)loop_begin(async, key, &again);
    loop_until(async, &again);
    ck_assert_int_eq(again.outcome.kind, IDEM_COMPLETED);
    ck_assert(says(again.outcome.response, "[true]"));
    idem_outcome_clear(&again.outcome);
    idem_outcome_clear(&held);
}

START_TEST(a_call_that_waits_for_its_key_holds_up_no_other)
{
    answer waiting[50] = {{.answers = 0}};
    answer done = {.answers = 0};
    idem_outcome held = loop_claim(async, "held");
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(idem_async_begin(async,
                                          IDEM_REQUEST(.key = idem_str("held"), .wait_ms = LONG_MS),
                                          on_begun, &waiting[i], NULL, NULL),
                         IDEM_OK);
    for (int i = 0; i < 20; i++)
        whole_cycle(i);
    for (int i = 0; i < 50; i++)
        ck_assert_uint_eq(waiting[i].answers, 0);
    complete(held.claim, "\"late\"", &done);
    loop_until_idle(async);
    assert_told(done, IDEM_OK);
    for (int i = 0; i < 50; i++) {
        assert_told(waiting[i], IDEM_OK);
        ck_assert(says(waiting[i].outcome.response, "\"late\""));
        idem_outcome_clear(&waiting[i].outcome);
    }
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(a_wait_ends_in_progress_and_on_time)
{
    answer told = {.answers = 0};
    idem_outcome held = loop_claim(async, "held");
    uint64_t began = idem_monotonic_ms();
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("held"), .wait_ms = 200),
                                      on_begun, &told, NULL, NULL),
                     IDEM_OK);
    loop_until(async, &told);
    ck_assert_uint_ge(idem_monotonic_ms() - began, 195);
    assert_told(told, IDEM_OK);
    ck_assert_int_eq(told.outcome.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_gt(told.outcome.retry_after_ms, 0);
    idem_outcome_clear(&told.outcome);
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(a_call_that_is_repeated_holds_up_no_other)
{
    answer told = {.answers = 0};
    size_t rule = FAULTY(.kind = FAULTY_BEFORE, .key = idem_str("broken"), .times = FAULTY_ALWAYS);
    (void)loop_begin(async, "broken", &told);
    for (int i = 0; i < 20; i++)
        whole_cycle(i);
    while (faulty_hits(rule) < 3)
        (void)loop_is_readable(async, 10);
    ck_assert_uint_eq(told.answers, 0);
    faulty_clear();
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    ck_assert_int_eq(told.outcome.kind, IDEM_NEW);
    idem_outcome_clear(&told.outcome);
}
END_TEST

/* Lost replies of its own make a call uncertain to nobody but itself. */
START_TEST(a_call_whose_repeats_fail_is_told_by_its_deadline)
{
    answer told = {.answers = 0};
    FAULTY(.kind = FAULTY_BEFORE, .key = idem_str("broken"), .times = FAULTY_ALWAYS);
    ck_assert_int_eq(idem_async_begin(async,
                                      IDEM_REQUEST(.key = idem_str("broken"), .timeout_ms = 150),
                                      on_begun, &told, NULL, NULL),
                     IDEM_OK);
    loop_until(async, &told);
    assert_told(told, IDEM_ERR_UNAVAILABLE);
}
END_TEST

/* The worker is inside the store, with a batch that may stay there for half a minute. */
START_TEST(a_call_is_told_by_its_deadline_while_the_store_is_busy_with_others)
{
    answer stuck = {.answers = 0};
    answer told[3] = {{.answers = 0}};
    hold("stuck");
    (void)loop_begin(async, "stuck", &stuck);
    gate_await(&entrance, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(idem_async_begin(async,
                                          IDEM_REQUEST(.key = idem_str("short"),
                                                       .timeout_ms = 50 + 50 * (uint64_t)i),
                                          on_begun, &told[i], NULL, NULL),
                         IDEM_OK);
    for (int i = 0; i < 3; i++) {
        loop_until(async, &told[i]);
        assert_told(told[i], IDEM_ERR_UNAVAILABLE);
    }
    ck_assert_uint_eq(stuck.answers, 0);
    gate_open(&entrance);
    loop_until(async, &stuck);
    assert_told(stuck, IDEM_OK);
    idem_record record;
    ck_assert_int_eq(idem_get(store, idem_str("short"), &record, NULL), IDEM_ERR_NOT_FOUND);
    idem_outcome_clear(&stuck.outcome);
}
END_TEST

/* The same for one that waits for its key, and would have to look again: whether it does so in one
   batch with the call that the store does not answer, or behind it. */
START_TEST(a_wait_is_over_in_time_while_the_store_is_busy_with_others)
{
    answer stuck = {.answers = 0};
    answer told = {.answers = 0};
    idem_outcome held = loop_claim(async, "held");
    FAULTY(.kind = FAULTY_BEFORE, .stall = true, .key = idem_str("stuck"), .times = FAULTY_ALWAYS);
    ck_assert_int_eq(
        idem_async_begin(async,
                         IDEM_REQUEST(.key = idem_str("held"), .wait_ms = 150, .timeout_ms = 100),
                         on_begun, &told, NULL, NULL),
        IDEM_OK);
    ck_assert_int_eq(idem_async_begin(async,
                                      IDEM_REQUEST(.key = idem_str("stuck"), .timeout_ms = 1200),
                                      on_begun, &stuck, NULL, NULL),
                     IDEM_OK);
    loop_until(async, &told);
    ck_assert_uint_eq(stuck.answers, 0);
    ck_assert(told.error.code == IDEM_ERR_UNAVAILABLE || told.outcome.kind == IDEM_IN_PROGRESS);
    loop_until(async, &stuck);
    assert_told(stuck, IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(told.answers, 1);
    idem_outcome_clear(&told.outcome);
    idem_outcome_clear(&held);
}
END_TEST

int main(void)
{
    faulty_require();
    Suite *suite = suite_create("async calls");
    ADD_HERE(suite, bad_input_is_refused_at_once_and_never_answered, 1);
    ADD_HERE(suite, a_queue_needs_a_store_and_nothing_else_minds_null, 1);
    ADD_HERE(suite, the_callers_bytes_need_not_live_on, 1);
    ADD_HERE(suite, the_descriptor_is_readable_while_callbacks_can_be_run, 1);
    ADD_HERE(suite, callbacks_that_submit_do_not_keep_dispatch_for_ever, 1);
    ADD_HERE(suite, dispatch_within_a_callback_runs_the_others, 1);
    ADD_HERE(suite, a_claim_may_be_freed_while_its_call_is_under_way, 2);
    ADD_HERE(suite, a_kept_claim_that_was_freed_is_not_renewed_any_more, 1);
    ADD_HERE(suite, of_a_claim_one_call_at_a_time_is_under_way, 1);
    ADD_HERE(suite, a_call_that_waits_for_its_key_holds_up_no_other, 1);
    ADD_HERE(suite, a_wait_ends_in_progress_and_on_time, 1);
    ADD_HERE(suite, a_call_that_is_repeated_holds_up_no_other, 1);
    ADD_HERE(suite, a_call_whose_repeats_fail_is_told_by_its_deadline, 1);
    ADD_HERE(suite, a_call_is_told_by_its_deadline_while_the_store_is_busy_with_others, 1);
    ADD_HERE(suite, a_wait_is_over_in_time_while_the_store_is_busy_with_others, 1);
    return run_suite(suite);
}
