/* SPDX-License-Identifier: MIT */
/*
 * idem_begin_many() and idem_complete_many(): every item has the answer that the single call would
 * have given, whatever stands beside it.
 */
#include "conformance.h"

#include <pthread.h>
#include <stdio.h>

#define ITEMS_MAX 1000
#define WAIT_MS   UINT64_C(20000) /* ends long before */
#define PROMPT_MS UINT64_C(5000)
#define LEASE_MS  UINT64_C(500)

static idem_request requests[ITEMS_MAX];
static idem_outcome outcomes[ITEMS_MAX];
static idem_error errors[ITEMS_MAX];
static idem_claim *claims[ITEMS_MAX];
static idem_bytes responses[ITEMS_MAX];
static char names[ITEMS_MAX][32];
static char texts[ITEMS_MAX][40];

/* Requests for `count` keys of their own, and a response for each. Outputs are full of rubbish. */
static void ask_for(size_t count)
{
    memset(outcomes, 0xa5, sizeof outcomes);
    memset(errors, 0xa5, sizeof errors);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(names[i], sizeof names[i], "key-%zu", i);
        (void)snprintf(texts[i], sizeof texts[i], "{\"of\":%zu}", i);
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(names[i]);
        requests[i].lease_ms = LONG_MS;
        responses[i] = idem_str(texts[i]);
    }
}

static void take_claims(size_t count)
{
    for (size_t i = 0; i < count; i++)
        claims[i] = outcomes[i].claim;
}

static void clear(size_t count)
{
    for (size_t i = 0; i < count; i++)
        idem_outcome_clear(&outcomes[i]);
}

static void expect_kind(size_t index, idem_outcome_kind kind)
{
    ck_assert_msg(errors[index].code == IDEM_OK && errors[index].message[0] == '\0',
                  "number %zu: %s", index, errors[index].message);
    ck_assert_msg(outcomes[index].kind == kind, "number %zu: outcome %d, not %d", index,
                  (int)outcomes[index].kind, (int)kind);
    ck_assert_msg((kind == IDEM_NEW) == (outcomes[index].claim != NULL), "number %zu", index);
}

static bool is_zero(const idem_outcome *outcome)
{
    static const idem_outcome none;
    return memcmp(outcome, &none, sizeof none) == 0;
}

static void expect_failure(size_t index, int code)
{
    ck_assert_msg(errors[index].code == code, "number %zu: %d (%s), not %d", index,
                  errors[index].code, errors[index].message, code);
    ck_assert_msg(errors[index].message[0] != '\0', "number %zu: no message", index);
}

static void expect_all(size_t count, idem_outcome_kind kind)
{
    for (size_t i = 0; i < count; i++)
        expect_kind(i, kind);
}

/* ------------------------------------------------------------------------------------- outcomes */

enum { FRESH, TAKEN_OVER, LIVE, DONE, OTHER_CONTENT, STOPPED, MINE, OUTCOMES };

/* One key for each outcome, as others left it. */
static void prepare_outcomes(idem_outcome held[OUTCOMES])
{
    static const uint64_t leases[OUTCOMES] = {0,       SHORT_MS, LONG_MS, LONG_MS,
                                              LONG_MS, SHORT_MS, LONG_MS};
    for (size_t i = TAKEN_OVER; i < OUTCOMES; i++) {
        held[i] = BEGIN(one, .key = idem_str(names[i]), .lease_ms = leases[i],
                        .fingerprint = idem_str("body"));
        ck_assert_int_eq(held[i].kind, IDEM_NEW);
        if (leases[i] == SHORT_MS)
            assert_ok(idem_checkpoint(one, held[i].claim, responses[i], &err));
    }
    assert_ok(idem_complete(one, held[DONE].claim, responses[DONE], &err));
    advance(SHORT_MS);
    requests[OTHER_CONTENT].fingerprint = idem_str("another body");
    requests[STOPPED].flags = IDEM_NO_TAKEOVER;
    requests[MINE].token = idem_claim_token(held[MINE].claim);
}

START_TEST(a_batch_has_every_outcome_at_once)
{
    idem_outcome held[OUTCOMES] = {{.attempt = 0}};
    ask_for(OUTCOMES);
    prepare_outcomes(held);
    assert_ok(idem_begin_many(other, requests, OUTCOMES, outcomes, errors, &err));
    expect_kind(FRESH, IDEM_NEW);
    ck_assert_uint_eq(outcomes[FRESH].attempt, 1);
    expect_kind(TAKEN_OVER, IDEM_NEW);
    ck_assert_uint_eq(outcomes[TAKEN_OVER].attempt, 2);
    assert_bytes(outcomes[TAKEN_OVER].checkpoint, responses[TAKEN_OVER]);
    expect_kind(LIVE, IDEM_IN_PROGRESS);
    ck_assert_uint_gt(outcomes[LIVE].retry_after_ms, 0);
    ck_assert_uint_le(outcomes[LIVE].retry_after_ms, LONG_MS);
    expect_kind(DONE, IDEM_COMPLETED);
    assert_bytes(outcomes[DONE].response, responses[DONE]);
    expect_kind(OTHER_CONTENT, IDEM_MISMATCH);
    expect_kind(STOPPED, IDEM_IN_DOUBT);
    assert_bytes(outcomes[STOPPED].checkpoint, responses[STOPPED]);
    expect_kind(MINE, IDEM_NEW);
    ck_assert_uint_eq(outcomes[MINE].attempt, 1);
    assert_error(IDEM_ERR_LOST, idem_renew(one, held[TAKEN_OVER].claim, 0, &err));
    clear(OUTCOMES);
    for (size_t i = 0; i < OUTCOMES; i++)
        idem_outcome_clear(&held[i]);
}
END_TEST

static const int counts[] = {1, 2, 256, 257};
#define COUNTS (int)(sizeof counts / sizeof counts[0])

static void expect_tokens_differ(size_t count)
{
    for (size_t i = 1; i < count; i++)
        ck_assert(memcmp(idem_claim_token(claims[i]), idem_claim_token(claims[i - 1]),
                         IDEM_TOKEN_SIZE) != 0);
}

static void begin_complete_and_replay(size_t count)
{
    idem_store *patient = open_more("timeout=60s"); /* a store may sync each record by itself */
    ask_for(count);
    for (size_t i = 0; i < count; i++)
        requests[i].timeout_ms = LONG_MS;
    assert_ok(idem_begin_many(patient, requests, count, outcomes, errors, &err));
    expect_all(count, IDEM_NEW);
    take_claims(count);
    expect_tokens_differ(count);
    idem_outcome *mine = malloc(count * sizeof *mine);
    ck_assert_ptr_nonnull(mine);
    memcpy(mine, outcomes, count * sizeof *mine);
    assert_ok(idem_begin_many(other, requests, count, outcomes, errors, &err));
    expect_all(count, IDEM_IN_PROGRESS);
    clear(count);
    memset(errors, 0xa5, sizeof errors);
    assert_ok(idem_complete_many(patient, claims, responses, count, errors, &err));
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(errors[i].code, IDEM_OK);
        idem_outcome_clear(&mine[i]);
    }
    free(mine);
    assert_ok(idem_begin_many(other, requests, count, outcomes, errors, &err));
    expect_all(count, IDEM_COMPLETED);
    for (size_t i = 0; i < count; i++)
        assert_bytes(outcomes[i].response, responses[i]);
    clear(count);
    idem_close(patient);
}

START_TEST(any_number_of_keys_is_begun_completed_and_replayed)
{
    begin_complete_and_replay((size_t)counts[_i]);
}
END_TEST

START_TEST(a_thousand_keys_are_begun_completed_and_replayed)
{
    begin_complete_and_replay(ITEMS_MAX);
}
END_TEST

START_TEST(a_batch_of_none_is_fine)
{
    assert_ok(idem_begin_many(one, NULL, 0, NULL, NULL, &err));
    assert_ok(idem_complete_many(one, NULL, NULL, 0, NULL, &err));
}
END_TEST

/* The same key twice: another caller's claim, or my own if the token says so. */
START_TEST(a_key_that_stands_in_two_requests_is_claimed_once)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {7};
    ask_for(4);
    requests[1].key = requests[0].key;
    requests[3].key = requests[2].key;
    requests[2].token = token;
    requests[3].token = token;
    assert_ok(idem_begin_many(one, requests, 4, outcomes, errors, &err));
    expect_kind(0, IDEM_NEW);
    expect_kind(1, IDEM_IN_PROGRESS);
    expect_kind(2, IDEM_NEW);
    expect_kind(3, IDEM_NEW);
    ck_assert_uint_eq(outcomes[3].attempt, 1);
    assert_ok(idem_complete(one, outcomes[2].claim, idem_str("1"), &err));
    assert_ok(idem_complete(one, outcomes[3].claim, idem_str("2"), &err));
    clear(4);
    assert_ok(idem_begin_many(other, &requests[2], 1, outcomes, NULL, &err));
    assert_text(outcomes[0].response, "1");
    clear(1);
}
END_TEST

/* ----------------------------------------------------------------------------- items that fail */

START_TEST(requests_that_are_not_valid_fail_alone)
{
    static const uint8_t nobody[IDEM_TOKEN_SIZE];
    static char long_key[IDEM_KEY_MAX + 1];
    enum { GOOD_1, NO_KEY, NULL_KEY, LONG_KEY, LONG_PRINT, FLAG, TOKEN, LEASE, GOOD_2, COUNT };
    ask_for(COUNT);
    memset(long_key, 'k', sizeof long_key);
    requests[NO_KEY].key.len = 0;
    requests[NULL_KEY].key.data = NULL;
    requests[LONG_KEY].key = (idem_bytes){long_key, sizeof long_key};
    requests[LONG_PRINT].fingerprint = (idem_bytes){long_key, IDEM_FINGERPRINT_MAX + 1};
    requests[FLAG].flags = UINT64_C(1) << 60;
    requests[TOKEN].token = nobody;
    requests[LEASE].lease_ms = UINT64_MAX;
    assert_error(IDEM_ERR_ARGUMENT, idem_begin_many(one, requests, COUNT, outcomes, errors, &err));
    ck_assert_msg(strstr(err.message, "number 2 of 9: ") == err.message, "%s", err.message);
    expect_kind(GOOD_1, IDEM_NEW);
    expect_kind(GOOD_2, IDEM_NEW);
    for (size_t i = NO_KEY; i < GOOD_2; i++) {
        expect_failure(i, IDEM_ERR_ARGUMENT);
        ck_assert(is_zero(&outcomes[i]));
    }
    clear(COUNT);
}
END_TEST

enum { FINE_1, NOT_JSON, NO_CLAIM, TOO_LARGE, LOST, GONE, NO_TEXT, FINE_2, ENDS };

/* Claims of which the middle ones can't be completed. */
static void prepare_ends(char *large, size_t large_len)
{
    ask_for(ENDS);
    requests[LOST].lease_ms = SHORT_MS;
    assert_ok(idem_begin_many(one, requests, ENDS, outcomes, errors, &err));
    take_claims(ENDS);
    memset(large, '1', large_len);
    responses[NOT_JSON] = idem_str("{\"a\":}");
    claims[NO_CLAIM] = NULL;
    responses[TOO_LARGE] = (idem_bytes){large, large_len};
    advance(SHORT_MS);
    idem_outcome taken = BEGIN(other, .key = idem_str(names[LOST]), .lease_ms = LONG_MS);
    ck_assert_uint_eq(taken.attempt, 2);
    idem_outcome_clear(&taken);
    assert_ok(idem_forget(other, idem_str(names[GONE]), &err));
    responses[NO_TEXT] = (idem_bytes){NULL, 3};
}

START_TEST(claims_that_cannot_be_completed_fail_alone)
{
    size_t large_len = (size_t)idem_max_response(one) + 1;
    char *large = malloc(large_len);
    ck_assert_ptr_nonnull(large);
    prepare_ends(large, large_len);
    memset(errors, 0xa5, sizeof errors);
    assert_error(IDEM_ERR_ARGUMENT, idem_complete_many(one, claims, responses, ENDS, errors, &err));
    ck_assert_msg(strstr(err.message, "number 2 of 8: ") == err.message, "%s", err.message);
    expect_failure(NOT_JSON, IDEM_ERR_ARGUMENT);
    expect_failure(NO_CLAIM, IDEM_ERR_ARGUMENT);
    expect_failure(TOO_LARGE, IDEM_ERR_TOO_LARGE);
    expect_failure(LOST, IDEM_ERR_LOST);
    expect_failure(GONE, IDEM_ERR_NOT_FOUND);
    expect_failure(NO_TEXT, IDEM_ERR_ARGUMENT);
    ck_assert(idem_claim_lost(claims[LOST]) && idem_claim_lost(claims[GONE]));
    ck_assert(!idem_claim_lost(claims[NOT_JSON]));
    ck_assert_int_eq(errors[FINE_1].code, IDEM_OK);
    ck_assert_int_eq(errors[FINE_2].code, IDEM_OK);
    assert_ok(idem_complete(one, claims[NOT_JSON], idem_str("1"), &err));
    clear(ENDS);
    free(large);
    ask_for(ENDS);
    assert_ok(idem_begin_many(other, requests, ENDS, outcomes, NULL, &err));
    assert_bytes(outcomes[FINE_1].response, responses[FINE_1]);
    assert_bytes(outcomes[FINE_2].response, responses[FINE_2]);
    ck_assert_int_eq(outcomes[TOO_LARGE].kind, IDEM_IN_PROGRESS);
    clear(ENDS);
}
END_TEST

/* A failure that the store finds out comes later than one that is found at once, and is first all
   the same if it stands first. */
START_TEST(the_first_failure_is_the_first_by_number)
{
    ask_for(3);
    assert_ok(idem_begin_many(one, requests, 3, outcomes, errors, &err));
    take_claims(3);
    assert_ok(idem_forget(other, requests[1].key, &err));
    responses[2] = idem_str("no json");
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete_many(one, claims, responses, 3, NULL, &err));
    ck_assert_msg(strstr(err.message, "number 2 of 3: ") == err.message, "%s", err.message);
    ck_assert_int_eq(idem_complete_many(one, claims, responses, 3, errors, NULL),
                     IDEM_ERR_NOT_FOUND);
    expect_failure(1, IDEM_ERR_NOT_FOUND);
    expect_failure(2, IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(errors[0].code, IDEM_OK);
    clear(3);
}
END_TEST

START_TEST(a_claim_that_stands_in_the_array_twice_is_completed_once)
{
    ask_for(2);
    assert_ok(idem_begin_many(one, requests, 2, outcomes, errors, &err));
    take_claims(2);
    claims[1] = claims[0];
    assert_ok(idem_complete_many(one, claims, responses, 2, errors, &err));
    ck_assert(!idem_claim_lost(claims[0]));
    clear(2);
    assert_ok(idem_begin_many(other, requests, 1, outcomes, errors, &err));
    expect_kind(0, IDEM_COMPLETED);
    assert_bytes(outcomes[0].response, responses[0]);
    clear(1);
}
END_TEST

/* ------------------------------------------------------------------------------- the whole call */

static void expect_all_refused(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect_failure(i, IDEM_ERR_ARGUMENT);
        ck_assert(is_zero(&outcomes[i]));
    }
}

START_TEST(a_call_that_is_not_valid_gives_every_item_its_error)
{
    ask_for(3);
    assert_error(IDEM_ERR_ARGUMENT, idem_begin_many(NULL, requests, 3, outcomes, errors, &err));
    expect_all_refused(3);
    ask_for(3);
    assert_error(IDEM_ERR_ARGUMENT, idem_begin_many(one, NULL, 3, outcomes, errors, &err));
    expect_all_refused(3);
    assert_error(IDEM_ERR_ARGUMENT, idem_begin_many(one, requests, 3, NULL, errors, &err));
    ck_assert_int_eq(idem_begin_many(one, requests, 3, NULL, NULL, NULL), IDEM_ERR_ARGUMENT);
    ask_for(3);
    requests[0].size = 0;
    assert_error(IDEM_ERR_ARGUMENT, idem_begin_many(one, requests, 3, outcomes, errors, &err));
    expect_all_refused(3);
    requests[0].size = sizeof requests[0] + 1;
    assert_error(IDEM_ERR_ARGUMENT, idem_begin_many(one, requests, 3, outcomes, errors, &err));
    memset(errors, 0xa5, sizeof errors);
    assert_error(IDEM_ERR_ARGUMENT, idem_complete_many(one, NULL, responses, 3, errors, &err));
    expect_failure(2, IDEM_ERR_ARGUMENT);
    assert_error(IDEM_ERR_ARGUMENT, idem_complete_many(one, claims, NULL, 3, NULL, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_complete_many(NULL, claims, responses, 3, NULL, &err));
}
END_TEST

/* Without places for errors the codes are the same. */
START_TEST(errors_may_be_left_out)
{
    ask_for(3);
    requests[1].key.len = 0;
    ck_assert_int_eq(idem_begin_many(one, requests, 3, outcomes, NULL, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(outcomes[0].kind, IDEM_NEW);
    ck_assert(is_zero(&outcomes[1]));
    ck_assert_int_eq(outcomes[2].kind, IDEM_NEW);
    take_claims(3);
    claims[1] = NULL;
    ck_assert_int_eq(idem_complete_many(one, claims, responses, 3, NULL, NULL), IDEM_ERR_ARGUMENT);
    claims[1] = claims[2];
    ck_assert_int_eq(idem_complete_many(one, claims, responses, 3, NULL, NULL), IDEM_OK);
    clear(3);
}
END_TEST

/* A request of a later header has fields behind those that are known, one of an earlier has
   fewer. */
START_TEST(requests_of_another_header_follow_each_other_by_their_own_size)
{
    struct {
        idem_request known;
        uint64_t unknown[2];
    } later[3];
    struct {
        size_t size;
        idem_bytes key;
        idem_bytes fingerprint;
        uint64_t lease_ms;
    } earlier[3];
    ask_for(6);
    memset(later, 0, sizeof later); /* what this version does not know has to be zero */
    for (size_t i = 0; i < 3; i++) {
        later[i].known = requests[i];
        later[i].known.size = sizeof later[i];
        earlier[i].size = sizeof earlier[i];
        earlier[i].key = requests[3 + i].key;
        earlier[i].fingerprint = idem_str("print");
        earlier[i].lease_ms = LONG_MS;
    }
    assert_ok(idem_begin_many(one, &later[0].known, 3, outcomes, errors, &err));
    expect_all(3, IDEM_NEW);
    clear(3);
    const idem_request *first = (const idem_request *)(const void *)&earlier[0];
    assert_ok(idem_begin_many(one, first, 3, outcomes, errors, &err));
    expect_all(3, IDEM_NEW);
    clear(3);
    assert_ok(idem_begin_many(other, requests, 6, outcomes, errors, &err));
    expect_all(6, IDEM_IN_PROGRESS);
    clear(6);
    requests[4].size = sizeof later[0];
    assert_error(IDEM_ERR_ARGUMENT, idem_begin_many(other, requests, 6, outcomes, errors, &err));
    expect_failure(4, IDEM_ERR_ARGUMENT);
    expect_kind(5, IDEM_IN_PROGRESS);
    clear(6);
}
END_TEST

/* ----------------------------------------------------------------------------------------- time */

static void *complete_soon(void *argument)
{
    sleep_ms(SHORT_MS);
    return idem_complete(one, argument, idem_str("\"by another\""), NULL) ? argument : NULL;
}

/* Two keys are in progress: one is completed while it is waited for, one is not. */
START_TEST(some_wait_while_others_are_answered)
{
    void *failed;
    pthread_t helper;
    idem_outcome first = claim_key(one, LONG_MS);
    idem_outcome second = BEGIN(one, .key = idem_str("never"), .lease_ms = LONG_MS);
    ask_for(5);
    requests[1].key = KEY;
    requests[1].wait_ms = WAIT_MS;
    requests[2].key = idem_str("never");
    requests[2].wait_ms = 2 * SHORT_MS;
    requests[3].key = idem_str("never");
    ck_assert_int_eq(pthread_create(&helper, NULL, complete_soon, first.claim), 0);
    uint64_t start = now_ms();
    assert_ok(idem_begin_many(other, requests, 5, outcomes, errors, &err));
    uint64_t took_ms = now_ms() - start;
    (void)pthread_join(helper, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_msg(took_ms >= 2 * SHORT_MS && took_ms < PROMPT_MS, "it took %d ms", (int)took_ms);
    expect_kind(0, IDEM_NEW);
    expect_kind(1, IDEM_COMPLETED);
    assert_text(outcomes[1].response, "\"by another\"");
    expect_kind(2, IDEM_IN_PROGRESS);
    expect_kind(3, IDEM_IN_PROGRESS);
    expect_kind(4, IDEM_NEW);
    clear(5);
    idem_outcome_clear(&first);
    idem_outcome_clear(&second);
}
END_TEST

START_TEST(claims_of_a_batch_are_kept_alive_where_that_was_asked_for)
{
    ask_for(3);
    for (size_t i = 0; i < 3; i++) {
        requests[i].lease_ms = LEASE_MS;
        requests[i].flags = i == 1 ? 0 : IDEM_KEEPALIVE;
    }
    assert_ok(idem_begin_many(one, requests, 3, outcomes, errors, &err));
    take_claims(3);
    sleep_ms(2 * LEASE_MS);
    idem_outcome taken = BEGIN(other, .key = requests[1].key, .lease_ms = LONG_MS);
    ck_assert_uint_eq(taken.attempt, 2);
    idem_outcome_clear(&taken);
    claims[1] = claims[0]; /* twice: its keepalive ends once */
    assert_ok(idem_complete_many(one, claims, responses, 3, errors, &err));
    clear(3);
    assert_ok(idem_begin_many(other, requests, 3, outcomes, errors, &err));
    expect_kind(0, IDEM_COMPLETED);
    expect_kind(1, IDEM_IN_PROGRESS);
    expect_kind(2, IDEM_COMPLETED);
    assert_bytes(outcomes[2].response, responses[2]);
    clear(3);
}
END_TEST

START_TEST(a_keepalive_that_cannot_be_had_fails_alone)
{
    ask_for(2);
    requests[0].flags = IDEM_KEEPALIVE;
    if (has(IDEM_TRAIT_KEEPALIVE)) {
        assert_ok(idem_begin_many(one, requests, 2, outcomes, errors, &err));
        expect_kind(0, IDEM_NEW);
    } else {
        assert_error(IDEM_ERR_UNSUPPORTED,
                     idem_begin_many(one, requests, 2, outcomes, errors, &err));
        expect_failure(0, IDEM_ERR_UNSUPPORTED);
    }
    expect_kind(1, IDEM_NEW);
    clear(2);
}
END_TEST

/* Keys are given their prefix one by one. */
START_TEST(a_prefix_stands_in_front_of_every_key_of_a_batch)
{
    idem_store *prefixed = open_more("prefix=batch%3A");
    idem_record record;
    ask_for(3);
    assert_ok(idem_begin_many(prefixed, requests, 3, outcomes, errors, &err));
    take_claims(3);
    assert_ok(idem_complete_many(prefixed, claims, responses, 3, errors, &err));
    clear(3);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(idem_get(prefixed, requests[i].key, &record, &err));
        assert_bytes(record.key, requests[i].key);
        assert_bytes(record.response, responses[i]);
        idem_record_clear(&record);
        assert_error(IDEM_ERR_NOT_FOUND, idem_get(other, requests[i].key, &record, &err));
    }
    idem_close(prefixed);
}
END_TEST

void conformance_batches(Suite *suite)
{
    ADD(suite, "batches", 0, ANY_TIME, a_batch_has_every_outcome_at_once, a_batch_of_none_is_fine,
        a_key_that_stands_in_two_requests_is_claimed_once, requests_that_are_not_valid_fail_alone,
        claims_that_cannot_be_completed_fail_alone, the_first_failure_is_the_first_by_number,
        a_claim_that_stands_in_the_array_twice_is_completed_once,
        a_call_that_is_not_valid_gives_every_item_its_error, errors_may_be_left_out,
        requests_of_another_header_follow_each_other_by_their_own_size,
        a_keepalive_that_cannot_be_had_fails_alone,
        a_prefix_stands_in_front_of_every_key_of_a_batch);
    ADD_LOOP(suite, "batches", 0, ANY_TIME, COUNTS,
             any_number_of_keys_is_begun_completed_and_replayed);
    ADD(suite, "batches", CONFORMANCE_BULK, ANY_TIME,
        a_thousand_keys_are_begun_completed_and_replayed);
    ADD(suite, "batches that wait", CONFORMANCE_THREADS, REAL_TIME,
        some_wait_while_others_are_answered);
    ADD(suite, "batches kept alive", IDEM_TRAIT_KEEPALIVE, REAL_TIME,
        claims_of_a_batch_are_kept_alive_where_that_was_asked_for);
}
