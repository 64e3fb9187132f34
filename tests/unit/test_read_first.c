/* SPDX-License-Identifier: MIT */
/*
 * Whether a begin looks at its key before it inserts, by what the last ones have found; and what a
 * look that is the answer saves. The backend is the memory one, as a store that looks first and is
 * entered by one thread at a time; it counts what is asked. How a store in this process learns that
 * its callers replay is in test_replay.c.
 */
#include "read_first.h"

#include "call.h"
#include "clock.h"
#include "registry.h"
#include "runner.h"
#include "store.h"

#include <stdio.h>

#define LEASE_MS 60000u
#define IF_IDLE  4 /* begins of new keys, after which none looks while the writers are idle */
#define IF_BUSY  64

static const idem_backend_ops *memory;
static idem_store *store;
static unsigned gets;
static unsigned inserts;

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    for (size_t i = 0; i < count; i++) {
        gets += ops[i]->kind == IDEM_OP_GET;
        inserts += ops[i]->kind == IDEM_OP_INSERT;
    }
    return memory->submit(backend, ops, count, deadline_ms, error);
}

static void set_up(void)
{
    idem_error error;
    ck_assert_int_eq(idem__registry_find("memory", &memory, NULL), IDEM_OK);
    idem_backend_ops ops = *memory;
    ops.submit = submit;
    ops.traits &= ~(IDEM_TRAIT_CONCURRENT | IDEM_BACKEND_IN_PROCESS);
    ops.traits |= IDEM_BACKEND_READ_FIRST;
    ck_assert_msg(idem_open_backend(&ops, NULL, "timeout=30s", &store, &error) == IDEM_OK, "%s",
                  error.message);
    gets = inserts = 0;
}

static void tear_down(void)
{
    idem_close(store);
}

/* Begins, and asserts what it came to and what was asked of the backend. */
static idem_outcome begin(const idem_request *request, idem_outcome_kind kind, unsigned wants_gets,
                          unsigned wants_inserts)
{
    idem_outcome out;
    idem_error error;
    gets = inserts = 0;
    int rc = idem_begin(store, request, &out, &error);
    ck_assert_msg(rc == IDEM_OK, "%s", error.message);
    ck_assert_int_eq(out.kind, kind);
    ck_assert_uint_eq(gets, wants_gets);
    ck_assert_uint_eq(inserts, wants_inserts);
    return out;
}

static void begin_and_end(const idem_request *request, idem_outcome_kind kind, unsigned wants_gets,
                          unsigned wants_inserts)
{
    idem_outcome out = begin(request, kind, wants_gets, wants_inserts);
    if (out.claim)
        ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), NULL), IDEM_OK);
    idem_outcome_clear(&out);
}

static void begin_new(int number, unsigned wants_gets)
{
    char key[16];
    (void)snprintf(key, sizeof key, "key-%d", number);
    begin_and_end(IDEM_REQUEST(.key = idem_str(key)), IDEM_NEW, wants_gets, 1);
}

/* ------------------------------------------------------------------------------------- learning */

START_TEST(where_keys_are_new_no_begin_looks_until_one_is_not)
{
    for (int i = 0; i < 2 * IF_IDLE; i++)
        begin_new(i, i < IF_IDLE ? 1 : 0);
    begin_and_end(IDEM_REQUEST(.key = idem_str("key-0")), IDEM_COMPLETED, 0, 1);
    for (int i = 0; i < 2 * IF_IDLE; i++)
        begin_new(100 + i, i < IF_IDLE ? 1 : 0);
}
END_TEST

/* An insert would wait for the writer. */
START_TEST(beside_busy_writers_it_takes_more_new_keys)
{
    idem__connection *connection;
    atomic_store(&store->fresh, IF_IDLE - 1);
    ck_assert(idem__read_first(store));
    atomic_store(&store->fresh, IF_IDLE);
    ck_assert(!idem__read_first(store));
    ck_assert_int_eq(
        idem__pool_enter(&store->writers, idem__clock_deadline(30000), &connection, NULL), IDEM_OK);
    ck_assert(idem__read_first(store));
    atomic_store(&store->fresh, IF_BUSY - 1);
    ck_assert(idem__read_first(store));
    atomic_store(&store->fresh, IF_BUSY);
    ck_assert(!idem__read_first(store));
    idem__pool_leave(&store->writers, connection);
}
END_TEST

START_TEST(only_new_keys_count_and_so_many_at_most)
{
    idem__call call = {.outcome = IDEM_NEW};
    for (int i = 0; i < 2 * IF_BUSY; i++)
        idem__read_first_learn(store, &call);
    ck_assert_uint_eq(atomic_load(&store->fresh), IF_BUSY);
    call.outcome = IDEM_IN_PROGRESS;
    idem__read_first_learn(store, &call);
    ck_assert_uint_eq(atomic_load(&store->fresh), 0);
    call.outcome = IDEM_NEW;
    idem__read_first_learn(store, &call);
    ck_assert_uint_eq(atomic_load(&store->fresh), 1);
    call.code = IDEM_ERR_UNAVAILABLE;
    idem__read_first_learn(store, &call);
    ck_assert_uint_eq(atomic_load(&store->fresh), 0);
}
END_TEST

/* -------------------------------------------------------------------------------------- looking */

START_TEST(a_replay_starts_no_thread_that_renews)
{
    const idem_request *kept =
        IDEM_REQUEST(.key = idem_str("k"), .lease_ms = LEASE_MS, .flags = IDEM_KEEPALIVE);
    begin_and_end(IDEM_REQUEST(.key = idem_str("k")), IDEM_NEW, 1, 1);
    begin_and_end(kept, IDEM_COMPLETED, 1, 0);
    ck_assert(!idem__keepalive_is_running(&store->keeper));
    begin_and_end(IDEM_REQUEST(.key = idem_str("new"), .flags = IDEM_KEEPALIVE), IDEM_NEW, 1, 1);
    ck_assert(idem__keepalive_is_running(&store->keeper));
}
END_TEST

/* A look would save nothing: it is part of the call. */
START_TEST(a_claim_that_is_begun_again_under_its_token_is_looked_at_once)
{
    const uint8_t token[IDEM_TOKEN_SIZE] = {7};
    const idem_request *mine =
        IDEM_REQUEST(.key = idem_str("k"), .token = token, .lease_ms = LEASE_MS);
    idem_outcome first = begin(mine, IDEM_NEW, 1, 1);
    idem_outcome again = begin(mine, IDEM_NEW, 1, 0);
    ck_assert_uint_eq(again.attempt, 1);
    idem_outcome_clear(&first);
    idem_outcome_clear(&again);
}
END_TEST

/* With the keepalive the look comes before its thread, and the claim is kept. */
START_TEST(a_claim_that_is_begun_again_is_kept)
{
    const uint8_t token[IDEM_TOKEN_SIZE] = {7};
    idem_outcome first = begin(
        IDEM_REQUEST(.key = idem_str("k"), .token = token, .lease_ms = LEASE_MS), IDEM_NEW, 1, 1);
    idem_outcome again =
        begin(IDEM_REQUEST(.key = idem_str("k"), .token = token, .flags = IDEM_KEEPALIVE), IDEM_NEW,
              2, 0);
    ck_assert_uint_eq(again.attempt, 1);
    ck_assert(idem__keepalive_is_running(&store->keeper));
    ck_assert_uint_eq(idem__keepalive_count(&store->keeper), 1);
    idem_outcome_clear(&first);
    idem_outcome_clear(&again);
}
END_TEST

START_TEST(a_key_in_progress_is_told_by_the_look_or_waited_for)
{
    idem_outcome held =
        begin(IDEM_REQUEST(.key = idem_str("k"), .lease_ms = LEASE_MS), IDEM_NEW, 1, 1);
    begin_and_end(IDEM_REQUEST(.key = idem_str("k")), IDEM_IN_PROGRESS, 1, 0);
    idem_outcome waited;
    idem_error error;
    ck_assert_int_eq(
        idem_begin(store, IDEM_REQUEST(.key = idem_str("k"), .wait_ms = 30), &waited, &error),
        IDEM_OK);
    ck_assert_int_eq(waited.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&waited);
    /* It waits where it is driven, should it be: the look leaves nothing behind. */
    idem__begin looked;
    ck_assert_int_eq(
        idem__begin_make(store, IDEM_REQUEST(.key = idem_str("k"), .wait_ms = 30), &looked, &error),
        IDEM_OK);
    ck_assert(!idem__read_first_answers(store, &looked));
    ck_assert_uint_eq(atomic_load(&store->watch.waiting), 0);
    idem__begin_clear(&looked);
    idem_outcome_clear(&held);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read_first");
    ADD_HERE(suite, where_keys_are_new_no_begin_looks_until_one_is_not, 1);
    ADD_HERE(suite, beside_busy_writers_it_takes_more_new_keys, 1);
    ADD_HERE(suite, only_new_keys_count_and_so_many_at_most, 1);
    ADD_HERE(suite, a_replay_starts_no_thread_that_renews, 1);
    ADD_HERE(suite, a_claim_that_is_begun_again_under_its_token_is_looked_at_once, 1);
    ADD_HERE(suite, a_claim_that_is_begun_again_is_kept, 1);
    ADD_HERE(suite, a_key_in_progress_is_told_by_the_look_or_waited_for, 1);
    return run_suite(suite);
}
