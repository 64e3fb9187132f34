/* SPDX-License-Identifier: MIT */
/*
 * begin on a store that answers from memory: where replays are expected it looks for a response before it
 * prepares a claim. It shows in the operations that are sent, and in nothing else: each outcome is the one
 * that the whole way gives.
 */
#include "registry.h"
#include "runner.h"

#include <idem/backend.h>

#include <stdio.h>

#define LONG_MS  60000u
#define BRIEF_MS 25u

static struct {
    unsigned gets;
    unsigned inserts;
    bool gets_fail;
} seen;

static const idem_backend_ops *memory;
static idem_store *store;
static idem_error err;

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    seen.gets += ops[0]->kind == IDEM_OP_GET;
    seen.inserts += ops[0]->kind == IDEM_OP_INSERT;
    if (ops[0]->kind != IDEM_OP_GET || !seen.gets_fail)
        return memory->submit(backend, ops, count, deadline_ms, error);
    idem_op_fail(ops[0], true, IDEM_ERR_NO_MEMORY, "no memory for what was found");
    return IDEM_OK;
}

static void open_counted(const char *options)
{
    idem_backend_ops counting;
    ck_assert_int_eq(idem__registry_find("memory", &memory, &err), IDEM_OK);
    counting = *memory;
    counting.submit = submit;
    ck_assert_int_eq(idem_open_backend(&counting, NULL, options, &store, &err), IDEM_OK);
}

static idem_outcome begin_with(const idem_request *request)
{
    idem_outcome outcome;
    int rc = idem_begin(store, request, &outcome, &err);
    ck_assert_msg(rc == IDEM_OK, "%s", err.message);
    return outcome;
}

static void expect(const idem_request *request, idem_outcome_kind kind)
{
    idem_outcome outcome = begin_with(request);
    ck_assert_int_eq(outcome.kind, kind);
    idem_outcome_clear(&outcome);
}

static void complete_key(const char *key, uint64_t ttl_ms, const char *content)
{
    idem_outcome outcome =
        begin_with(IDEM_REQUEST(.key = idem_str(key), .ttl_ms = ttl_ms, .lease_ms = LONG_MS,
                                .fingerprint = idem_str(content)));
    ck_assert_int_eq(outcome.kind, IDEM_NEW);
    ck_assert_int_eq(idem_complete(store, outcome.claim, idem_str("{\"n\":1}"), &err), IDEM_OK);
    idem_outcome_clear(&outcome);
}

/* Replays until this thread expects nothing else; what is sent is counted from then on. */
static void expect_replays(void)
{
    for (int i = 0; i < 6; i++)
        expect(IDEM_REQUEST(.key = idem_str("known")), IDEM_COMPLETED);
    seen.gets = 0;
    seen.inserts = 0;
}

static void set_up(void)
{
    memset(&seen, 0, sizeof seen);
    open_counted("prefix=orders-");
    complete_key("known", LONG_MS, "");
    expect_replays();
}

static void tear_down(void)
{
    idem_close(store);
}

START_TEST(a_replay_is_one_look)
{
    for (unsigned i = 0; i < 5; i++)
        expect(IDEM_REQUEST(.key = idem_str("known")), IDEM_COMPLETED);
    ck_assert_uint_eq(seen.gets, 5);
    ck_assert_uint_eq(seen.inserts, 0);
}
END_TEST

START_TEST(new_keys_are_soon_not_looked_for)
{
    char key[16];
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "new-%u", i);
        expect(IDEM_REQUEST(.key = idem_str(key)), IDEM_NEW);
    }
    ck_assert_uint_eq(seen.inserts, 20);
    ck_assert_uint_ge(seen.gets, 1);
    ck_assert_uint_le(seen.gets, 3);
}
END_TEST

START_TEST(what_a_look_gives_is_what_an_insert_gives)
{
    idem_outcome looked = begin_with(IDEM_REQUEST(.key = idem_str("known")));
    ck_assert_uint_eq(seen.gets, 1);
    seen.gets_fail = true;
    idem_outcome inserted = begin_with(IDEM_REQUEST(.key = idem_str("known")));
    ck_assert_uint_eq(seen.inserts, 1);
    ck_assert_int_eq(looked.kind, inserted.kind);
    ck_assert_uint_eq(looked.attempt, inserted.attempt);
    ck_assert_int_eq(looked.created_at_ms, inserted.created_at_ms);
    ck_assert_uint_eq(looked.retry_after_ms, inserted.retry_after_ms);
    ck_assert_mem_eq(looked.response.data, "{\"n\":1}", 7);
    ck_assert_uint_eq(looked.response.len, inserted.response.len);
    ck_assert_uint_eq(looked.checkpoint.len, 0);
    ck_assert_ptr_null(looked.claim);
    idem_outcome_clear(&looked);
    idem_outcome_clear(&inserted);
}
END_TEST

START_TEST(content_is_compared)
{
    complete_key("paid", LONG_MS, "1 euro");
    expect_replays();
    expect(IDEM_REQUEST(.key = idem_str("paid"), .fingerprint = idem_str("1 euro")),
           IDEM_COMPLETED);
    ck_assert_uint_eq(seen.inserts, 0);
    expect(IDEM_REQUEST(.key = idem_str("paid"), .fingerprint = idem_str("9 euro")), IDEM_MISMATCH);
    expect_replays();
    expect(IDEM_REQUEST(.key = idem_str("paid"), .fingerprint = idem_str("1 eur")), IDEM_MISMATCH);
    expect(IDEM_REQUEST(.key = idem_str("paid")), IDEM_COMPLETED);
    expect_replays();
    expect(IDEM_REQUEST(.key = idem_str("known"), .fingerprint = idem_str("any")), IDEM_COMPLETED);
}
END_TEST

START_TEST(a_claim_that_is_found_is_not_a_response)
{
    const uint8_t mine[IDEM_TOKEN_SIZE] = {1};
    const idem_request *again = IDEM_REQUEST(.key = idem_str("held"), .token = mine);
    idem_outcome held = begin_with(again);
    ck_assert_int_eq(held.kind, IDEM_NEW);
    expect_replays();
    idem_outcome other = begin_with(IDEM_REQUEST(.key = idem_str("held")));
    ck_assert_uint_eq(seen.gets, 1);
    ck_assert_int_eq(other.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_gt(other.retry_after_ms, 0);
    expect_replays();
    idem_outcome same = begin_with(again);
    ck_assert_uint_eq(seen.gets, 1);
    ck_assert_int_eq(same.kind, IDEM_NEW);
    ck_assert_int_eq(idem_complete(store, same.claim, idem_str("2"), &err), IDEM_OK);
    idem_outcome_clear(&held);
    idem_outcome_clear(&other);
    idem_outcome_clear(&same);
}
END_TEST

START_TEST(input_is_checked_first)
{
    idem_outcome outcome;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = {NULL, 0}), &outcome, &err),
                     IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("known"), .flags = 1u << 30),
                                &outcome, &err),
                     IDEM_ERR_ARGUMENT);
    ck_assert_uint_eq(seen.gets, 0);
}
END_TEST

static void wait_until(uint64_t until_ms)
{
    while (idem_monotonic_ms() < until_ms) {
    }
}

/* By the coarse clock a response, or a claim, would stay a tick longer: in nearly all of so many rounds. */
START_TEST(the_end_of_a_record_is_exact)
{
    char key[16];
    for (unsigned i = 0; i < 12; i++) {
        (void)snprintf(key, sizeof key, "brief-%u", i);
        complete_key(key, BRIEF_MS, "");
        uint64_t end_ms = idem_monotonic_ms() + BRIEF_MS;
        expect_replays();
        wait_until(end_ms);
        expect(IDEM_REQUEST(.key = idem_str(key)), IDEM_NEW);
        ck_assert_uint_eq(seen.gets, 1);
    }
}
END_TEST

static int note_age(const idem_record *record, void *user)
{
    *(uint64_t *)user = record->age_ms;
    return 0;
}

START_TEST(the_age_of_a_claim_is_exact)
{
    for (unsigned i = 0; i < 12; i++) {
        idem_record found;
        uint64_t scanned_ms = 0;
        idem_outcome held = begin_with(IDEM_REQUEST(.key = idem_str("aging")));
        uint64_t until_ms = idem_monotonic_ms() + BRIEF_MS;
        wait_until(until_ms);
        ck_assert_int_eq(idem_get(store, idem_str("aging"), &found, &err), IDEM_OK);
        ck_assert_uint_ge(found.age_ms, BRIEF_MS);
        ck_assert_int_eq(idem_scan(store, NULL, note_age, &scanned_ms, &err), IDEM_OK);
        ck_assert_int_eq(idem_release(store, held.claim, &err), IDEM_OK);
        idem_record_clear(&found);
        idem_outcome_clear(&held);
    }
}
END_TEST

START_TEST(the_coarse_clock_is_never_ahead)
{
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t coarse_ms = idem_monotonic_coarse_ms();
        uint64_t exact_ms = idem_monotonic_ms();
        ck_assert_uint_le(coarse_ms, exact_ms);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *looks = tcase_create("looks");
    tcase_set_timeout(looks, 60);
    tcase_add_checked_fixture(looks, set_up, tear_down);
    tcase_add_test(looks, a_replay_is_one_look);
    tcase_add_test(looks, new_keys_are_soon_not_looked_for);
    tcase_add_test(looks, what_a_look_gives_is_what_an_insert_gives);
    tcase_add_test(looks, content_is_compared);
    tcase_add_test(looks, a_claim_that_is_found_is_not_a_response);
    tcase_add_test(looks, input_is_checked_first);
    tcase_add_test(looks, the_end_of_a_record_is_exact);
    tcase_add_test(looks, the_age_of_a_claim_is_exact);
    tcase_add_test(looks, the_coarse_clock_is_never_ahead);
    suite_add_tcase(suite, looks);
    return run_suite(suite);
}
