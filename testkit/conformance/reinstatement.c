/* SPDX-License-Identifier: MIT */
/*
 * IDEM_REINSTATE: a store that comes back without a claim's record is given it back, where nobody
 * else holds the key. A forget through another handle stands for the loss: absent is absent.
 */
#include "conformance.h"

#include <stdatomic.h>
#include <string.h>

static atomic_uint told;
static atomic_uint told_lost;

static void observe(void *user, const idem_event *event)
{
    (void)user;
    if (event->kind == IDEM_EVENT_CLAIM_LOST)
        atomic_fetch_add(&told_lost, 1);
    if (event->kind != IDEM_EVENT_REINSTATED)
        return;
    if (event->code == IDEM_ERR_NOT_FOUND && event->key.len == KEY.len &&
        memcmp(event->key.data, KEY.data, KEY.len) == 0 && event->message[0])
        atomic_fetch_add(&told, 1);
}

static idem_store *open_told(void)
{
    atomic_store(&told, 0);
    atomic_store(&told_lost, 0);
    return open_observed(observe);
}

static void lose_record(void)
{
    assert_ok(idem_forget(other, KEY, &err));
    assert_absent();
}

/* The same claim by all that is stored; `before` is cleared. */
static void assert_put_back(idem_record *before, const idem_claim *claim, const char *checkpoint)
{
    idem_claim *held = NULL;
    idem_record now = record_now();
    ck_assert_int_eq(now.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert(now.attempt == before->attempt && now.created_at_ms == before->created_at_ms);
    ck_assert_uint_ne(now.version, before->version);
    assert_bytes(now.fingerprint, before->fingerprint);
    assert_text(now.checkpoint, checkpoint);
    ck_assert_uint_eq(now.ttl_ms, before->ttl_ms);
    assert_ok(idem_resume(other, KEY, idem_claim_token(claim), &held, &err)); /* my token */
    idem_claim_free(held);
    idem_record_clear(before);
    idem_record_clear(&now);
}

/* A claim of a second attempt with all that a record can have. */
static idem_outcome rich_claim(idem_store *store, uint64_t flags)
{
    idem_outcome first =
        BEGIN(other, .key = KEY, .fingerprint = idem_str("body"), .lease_ms = SHORT_MS);
    assert_ok(idem_checkpoint(other, first.claim, idem_str("[1]"), &err));
    advance(SHORT_MS);
    idem_outcome out = BEGIN(store, .key = KEY, .lease_ms = LONG_MS, .flags = flags);
    ck_assert(out.kind == IDEM_NEW && out.attempt == 2);
    idem_outcome_clear(&first);
    return out;
}

START_TEST(renew_puts_back_what_the_store_has_lost)
{
    idem_store *store = open_told();
    idem_outcome out = rich_claim(store, IDEM_REINSTATE);
    for (unsigned times = 1; times <= 2; times++) {
        idem_record before = record_now();
        lose_record();
        assert_ok(idem_renew(store, out.claim, 0, &err));
        ck_assert(!idem_claim_lost(out.claim));
        ck_assert_uint_eq(atomic_load(&told), times);
        assert_put_back(&before, out.claim, "[1]");
        assert_ok(idem_renew(store, out.claim, 0, &err)); /* nothing is lost now */
        ck_assert_uint_eq(atomic_load(&told), times);
    }
    assert_outcome(one, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(checkpoint_puts_back_what_the_store_has_lost)
{
    idem_store *store = open_told();
    idem_outcome out = rich_claim(store, IDEM_REINSTATE);
    idem_record before = record_now();
    lose_record();
    assert_ok(idem_checkpoint(store, out.claim, idem_str("[1,2]"), &err));
    ck_assert_uint_eq(atomic_load(&told), 1);
    assert_put_back(&before, out.claim, "[1,2]");
    before = record_now();
    lose_record();
    assert_ok(idem_renew(store, out.claim, 0, &err)); /* the last checkpoint is remembered */
    assert_put_back(&before, out.claim, "[1,2]");
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(complete_puts_back_what_the_store_has_lost)
{
    idem_store *store = open_told();
    idem_outcome out = rich_claim(store, IDEM_REINSTATE);
    int64_t created_at_ms = out.created_at_ms;
    lose_record();
    assert_ok(idem_complete(store, out.claim, idem_str("{\"done\":true}"), &err));
    ck_assert_uint_eq(atomic_load(&told), 1);
    assert_replayed(one, "{\"done\":true}");
    idem_record now = record_now();
    ck_assert(now.attempt == 2 && now.created_at_ms == created_at_ms && now.checkpoint.len == 0);
    assert_text(now.fingerprint, "body");
    idem_record_clear(&now);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(a_claim_that_did_not_ask_is_not_put_back)
{
    idem_store *store = open_told();
    idem_outcome out = rich_claim(store, 0);
    idem_claim *resumed = NULL;
    assert_ok(idem_resume(store, KEY, idem_claim_token(out.claim), &resumed, &err));
    lose_record();
    assert_error(IDEM_ERR_NOT_FOUND, idem_renew(store, out.claim, 0, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_checkpoint(store, out.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(store, resumed, idem_str("1"), &err));
    assert_absent();
    ck_assert_uint_eq(atomic_load(&told), 0);
    idem_claim_free(resumed);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(who_was_quicker_than_a_reinstatement_keeps_the_key)
{
    idem_store *store = open_told();
    idem_outcome out = rich_claim(store, IDEM_REINSTATE);
    lose_record();
    idem_outcome quicker = BEGIN(other, .key = KEY, .lease_ms = LONG_MS);
    ck_assert_int_eq(quicker.kind, IDEM_NEW);
    idem_record before = record_now();
    assert_error(IDEM_ERR_LOST, idem_renew(store, out.claim, 0, &err));
    assert_error(IDEM_ERR_LOST, idem_complete(store, out.claim, idem_str("1"), &err));
    assert_unchanged(&before);
    assert_ok(idem_release(other, quicker.claim, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    assert_absent(); /* what was lost once is not put back */
    ck_assert_uint_eq(atomic_load(&told), 0);
    idem_outcome_clear(&quicker);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(what_its_owner_has_ended_is_not_put_back)
{
    idem_store *store = open_told();
    idem_outcome out = rich_claim(store, IDEM_REINSTATE);
    assert_ok(idem_release(store, out.claim, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_renew(store, out.claim, 0, &err));
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    assert_absent();
    idem_outcome_clear(&out);
    out = BEGIN(store, .key = KEY, .flags = IDEM_REINSTATE);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    lose_record();
    assert_error(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    assert_absent();
    ck_assert_uint_eq(atomic_load(&told), 0);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

static bool is_there(void)
{
    idem_record record;
    bool there = idem_get(other, KEY, &record, NULL) == IDEM_OK;
    if (there)
        idem_record_clear(&record);
    return there;
}

START_TEST(the_keepalive_puts_back_what_the_store_has_lost)
{
    idem_store *store = open_told();
    idem_outcome out =
        BEGIN(store, .key = KEY, .lease_ms = 90, .flags = IDEM_KEEPALIVE | IDEM_REINSTATE);
    lose_record();
    for (int i = 0; i < 500 && !is_there(); i++)
        sleep_ms(10);
    ck_assert(is_there() && !idem_claim_lost(out.claim));
    for (int i = 0; i < 500 && atomic_load(&told) == 0; i++)
        sleep_ms(10);
    ck_assert_uint_eq(atomic_load(&told), 1);
    ck_assert_uint_eq(atomic_load(&told_lost), 0);
    assert_ok(idem_release(store, out.claim, &err));
    ck_assert(!is_there());
    sleep_ms(100); /* more than an interval */
    ck_assert_msg(!is_there(), "the keepalive has put back what was released");
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

void conformance_reinstatement(Suite *suite)
{
    ADD(suite, "reinstatement", CONFORMANCE_OPTIONS, ANY_TIME,
        renew_puts_back_what_the_store_has_lost, checkpoint_puts_back_what_the_store_has_lost,
        complete_puts_back_what_the_store_has_lost, a_claim_that_did_not_ask_is_not_put_back,
        who_was_quicker_than_a_reinstatement_keeps_the_key,
        what_its_owner_has_ended_is_not_put_back);
    ADD(suite, "reinstatement", CONFORMANCE_OPTIONS | IDEM_TRAIT_KEEPALIVE, REAL_TIME,
        the_keepalive_puts_back_what_the_store_has_lost);
}
