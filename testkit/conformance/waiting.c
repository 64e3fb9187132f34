/* SPDX-License-Identifier: MIT */
/*
 * Guarantee 7 and all that takes real time: wait_ms, timeouts, keepalive. Upper bounds are wide,
 * because a test machine may be slow; what they show is that no call waits for something else.
 */
#include "conformance.h"

#include <dirent.h>
#include <pthread.h>

#define PROMPT_MS UINT64_C(3000)  /* far less than LONG_MS and every wait below */
#define WAIT_MS   UINT64_C(20000) /* ends long before */
#define LEASE_MS  UINT64_C(500)
#define KEPT_MS   UINT64_C(1500) /* a renewal may be a second late before another caller gets in */

/* What a helper thread does a while later, through `one`. */
typedef struct {
    idem_claim *claim;
    int (*act)(idem_store *store, idem_claim *claim, idem_error *error);
    int code;
    pthread_t thread;
} later;

static int act_complete(idem_store *store, idem_claim *claim, idem_error *error)
{
    return idem_complete(store, claim, idem_str("\"by another\""), error);
}

static int act_release(idem_store *store, idem_claim *claim, idem_error *error)
{
    return idem_release(store, claim, error);
}

static int act_forget(idem_store *store, idem_claim *claim, idem_error *error)
{
    (void)claim;
    return idem_forget(store, KEY, error);
}

static void *act_later(void *argument)
{
    later *helper = argument;
    idem_error error;
    sleep_ms(SHORT_MS);
    helper->code = helper->act(one, helper->claim, &error);
    return NULL;
}

/* Begins with a wait while a helper acts on the claim; returns what begin answered. */
static idem_outcome begin_while(int (*act)(idem_store *, idem_claim *, idem_error *),
                                uint64_t *took_ms)
{
    idem_error error;
    idem_outcome out;
    idem_outcome mine = claim_key(one, LONG_MS);
    later helper = {.claim = mine.claim, .act = act};
    ck_assert_int_eq(pthread_create(&helper.thread, NULL, act_later, &helper), 0);
    uint64_t start = now_ms();
    int rc = idem_begin(other, IDEM_REQUEST(.key = KEY, .wait_ms = WAIT_MS), &out, &error);
    *took_ms = now_ms() - start;
    (void)pthread_join(helper.thread, NULL);
    ck_assert_msg(rc == IDEM_OK, "begin: %s", error.message);
    ck_assert_int_eq(helper.code, IDEM_OK);
    idem_outcome_clear(&mine);
    return out;
}

START_TEST(wait_ms_gets_the_response_when_another_completes)
{
    uint64_t took_ms;
    idem_outcome out = begin_while(act_complete, &took_ms);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    assert_text(out.response, "\"by another\"");
    ck_assert_uint_lt(took_ms, PROMPT_MS);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(wait_ms_gets_the_key_when_another_releases_it)
{
    uint64_t took_ms;
    idem_outcome out = begin_while(act_release, &took_ms);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    ck_assert_uint_lt(took_ms, PROMPT_MS);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(wait_ms_gets_the_key_when_an_operator_forgets_it)
{
    uint64_t took_ms;
    idem_outcome out = begin_while(act_forget, &took_ms);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_lt(took_ms, PROMPT_MS);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(wait_ms_takes_over_when_the_lease_runs_out)
{
    idem_outcome mine = claim_key(one, LEASE_MS);
    uint64_t start = now_ms();
    idem_outcome out = BEGIN(other, .key = KEY, .wait_ms = WAIT_MS);
    uint64_t took_ms = now_ms() - start;
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 2);
    ck_assert_uint_lt(took_ms, PROMPT_MS);
    assert_error(IDEM_ERR_LOST, idem_renew(one, mine.claim, 0, &err));
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(wait_ms_without_takeover_ends_in_doubt_when_the_lease_runs_out)
{
    idem_outcome mine = claim_key(one, LEASE_MS);
    uint64_t start = now_ms();
    idem_outcome out = BEGIN(other, .key = KEY, .wait_ms = WAIT_MS, .flags = IDEM_NO_TAKEOVER);
    ck_assert_int_eq(out.kind, IDEM_IN_DOUBT);
    ck_assert_uint_lt(now_ms() - start, PROMPT_MS);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(guarantee_7_wait_ms_ends_in_progress_and_on_time)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    uint64_t start = now_ms();
    idem_outcome out = BEGIN(other, .key = KEY, .wait_ms = 300, .timeout_ms = 200);
    uint64_t took_ms = now_ms() - start;
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_gt(out.retry_after_ms, LONG_MS / 2);
    ck_assert_uint_ge(took_ms, 290);
    ck_assert_uint_lt(took_ms, PROMPT_MS);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(guarantee_7_without_wait_ms_begin_answers_at_once)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    uint64_t start = now_ms();
    assert_outcome(other, IDEM_IN_PROGRESS);
    ck_assert_uint_lt(now_ms() - start, PROMPT_MS);
    idem_outcome_clear(&mine);
}
END_TEST

START_TEST(wait_ms_is_not_spent_on_what_needs_no_waiting)
{
    uint64_t start = now_ms();
    idem_outcome mine = BEGIN(one, .key = KEY, .lease_ms = LONG_MS, .wait_ms = WAIT_MS,
                              .fingerprint = idem_str("mine"));
    ck_assert_int_eq(mine.kind, IDEM_NEW);
    idem_outcome out = BEGIN(other, .key = KEY, .wait_ms = WAIT_MS, .fingerprint = idem_str("x"));
    ck_assert_int_eq(out.kind, IDEM_MISMATCH);
    idem_outcome_clear(&out);
    assert_ok(idem_complete(one, mine.claim, idem_str("1"), &err));
    out = BEGIN(other, .key = KEY, .wait_ms = WAIT_MS);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert_uint_lt(now_ms() - start, PROMPT_MS);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
}
END_TEST

/* A timeout of 1 ms may be too short for the store, but whatever the answer, it is honest. */
START_TEST(guarantee_7_a_short_timeout_is_kept_and_leaves_no_false_answer)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {1};
    for (int i = 0; i < 20; i++) {
        idem_outcome out;
        uint64_t start = now_ms();
        int rc =
            idem_begin(one, IDEM_REQUEST(.key = KEY, .token = token, .timeout_ms = 1), &out, &err);
        ck_assert_uint_lt(now_ms() - start, PROMPT_MS);
        ck_assert(rc == IDEM_OK || rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN);
        if (rc == IDEM_OK) {
            ck_assert_int_eq(out.kind, IDEM_NEW);
            idem_outcome_clear(&out);
        }
    }
    idem_outcome out = BEGIN(one, .key = KEY, .token = token);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
}
END_TEST

#ifdef __linux__
static size_t thread_count(void)
{
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    for (const struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks))
        count += entry->d_name[0] != '.';
    (void)closedir(tasks);
    return count;
}

START_TEST(guarantee_7_expiry_needs_no_background_thread)
{
    size_t before = thread_count();
    idem_store *store = open_more("");
    idem_outcome mine = BEGIN(store, .key = KEY, .lease_ms = SHORT_MS);
    advance(SHORT_MS);
    idem_outcome out = take_over(2);
    ck_assert_uint_eq(thread_count(), before);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
    idem_close(store);
}
END_TEST
#endif

/* ----------------------------------------------------------------------------------- keepalive */

static idem_outcome claim_kept_for(idem_store *store, uint64_t lease_ms)
{
    idem_outcome out = BEGIN(store, .key = KEY, .lease_ms = lease_ms, .flags = IDEM_KEEPALIVE);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    return out;
}

static idem_outcome kept_claim(idem_store *store)
{
    return claim_kept_for(store, LEASE_MS);
}

static void assert_becomes_lost(const idem_claim *claim)
{
    uint64_t start = now_ms();
    while (!idem_claim_lost(claim) && now_ms() - start < WAIT_MS)
        sleep_ms(10);
    ck_assert_msg(idem_claim_lost(claim), "the keepalive did not find that its claim is lost");
}

START_TEST(keepalive_renews_a_lease_beyond_its_end)
{
    idem_outcome out = claim_kept_for(one, KEPT_MS);
    for (int i = 0; i < 2; i++) {
        sleep_ms(KEPT_MS);
        assert_outcome(other, IDEM_IN_PROGRESS);
    }
    ck_assert(!idem_claim_lost(out.claim));
    assert_ok(idem_checkpoint(one, out.claim, idem_str("1"), &err));
    assert_ok(idem_complete(one, out.claim, idem_str("2"), &err));
    assert_replayed(other, "2");
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(keepalive_finds_a_forgotten_claim_lost)
{
    idem_outcome out = kept_claim(one);
    ck_assert(!idem_claim_lost(out.claim));
    assert_ok(idem_forget(other, KEY, &err));
    assert_becomes_lost(out.claim);
    assert_absent();
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(one, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(keepalive_finds_a_claim_of_another_caller_lost_and_leaves_it)
{
    idem_outcome out = kept_claim(one);
    assert_ok(idem_forget(other, KEY, &err));
    idem_outcome later_claim = claim_key(other, LONG_MS);
    idem_record before = record_now();
    assert_becomes_lost(out.claim);
    assert_unchanged(&before);
    idem_outcome_clear(&later_claim);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(keepalive_ends_with_complete)
{
    idem_outcome out = kept_claim(one);
    assert_ok(idem_complete(one, out.claim, idem_str("1"), &err));
    idem_record before = record_now();
    sleep_ms(2 * LEASE_MS);
    assert_unchanged(&before);
    ck_assert(!idem_claim_lost(out.claim));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(keepalive_ends_with_release)
{
    idem_outcome out = kept_claim(one);
    assert_ok(idem_release(one, out.claim, &err));
    sleep_ms(2 * LEASE_MS);
    assert_absent();
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(keepalive_ends_when_the_outcome_is_cleared)
{
    idem_outcome out = kept_claim(one);
    idem_outcome_clear(&out);
    sleep_ms(LEASE_MS + SHORT_MS);
    idem_outcome next = take_over(2);
    idem_outcome_clear(&next);
}
END_TEST

START_TEST(keepalive_ends_with_its_store_and_the_claim_can_still_be_freed)
{
    idem_store *store = open_more("");
    idem_outcome out = kept_claim(store);
    idem_close(store);
    sleep_ms(LEASE_MS + SHORT_MS);
    idem_outcome next = take_over(2);
    idem_outcome_clear(&next);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(keepalive_holds_many_claims_at_once)
{
    enum { CLAIMS = 40 };
    idem_outcome out[CLAIMS];
    char key[2] = "a";
    for (int i = 0; i < CLAIMS; i++) {
        key[0] = (char)('0' + i);
        out[i] = BEGIN(one, .key = idem_str(key), .lease_ms = 1500, .flags = IDEM_KEEPALIVE);
        ck_assert_int_eq(out[i].kind, IDEM_NEW);
    }
    sleep_ms(2500);
    for (int i = 0; i < CLAIMS; i++) {
        ck_assert(!idem_claim_lost(out[i].claim));
        assert_ok(idem_complete(one, out[i].claim, idem_str("1"), &err));
        idem_outcome_clear(&out[i]);
    }
    idem_record record;
    assert_ok(idem_get(other, idem_str("0"), &record, &err));
    ck_assert_uint_eq(record.attempt, 1);
    idem_record_clear(&record);
}
END_TEST

void conformance_waiting(Suite *suite)
{
    ADD(suite, "wait_ms", 0, REAL_TIME, wait_ms_gets_the_response_when_another_completes,
        wait_ms_gets_the_key_when_another_releases_it,
        wait_ms_gets_the_key_when_an_operator_forgets_it,
        wait_ms_takes_over_when_the_lease_runs_out,
        wait_ms_without_takeover_ends_in_doubt_when_the_lease_runs_out,
        wait_ms_is_not_spent_on_what_needs_no_waiting);
    ADD(suite, "guarantee 7", 0, REAL_TIME, guarantee_7_wait_ms_ends_in_progress_and_on_time,
        guarantee_7_without_wait_ms_begin_answers_at_once,
        guarantee_7_a_short_timeout_is_kept_and_leaves_no_false_answer);
#ifdef __linux__
    ADD(suite, "guarantee 7 threads", CONFORMANCE_NO_THREADS, ANY_TIME,
        guarantee_7_expiry_needs_no_background_thread);
#endif
    ADD(suite, "keepalive", IDEM_TRAIT_KEEPALIVE, REAL_TIME,
        keepalive_renews_a_lease_beyond_its_end, keepalive_finds_a_forgotten_claim_lost,
        keepalive_finds_a_claim_of_another_caller_lost_and_leaves_it, keepalive_ends_with_complete,
        keepalive_ends_with_release, keepalive_ends_when_the_outcome_is_cleared,
        keepalive_ends_with_its_store_and_the_claim_can_still_be_freed,
        keepalive_holds_many_claims_at_once);
}
