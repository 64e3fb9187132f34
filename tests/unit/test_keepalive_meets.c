/* SPDX-License-Identifier: MIT */
/*
 * A renewal that meets its owner's own calls, step by step: a backend on the memory one loses
 * replies and holds them back when the test wants it. What a renewal finds of its owner's end is no
 * loss, and an answer that comes late does not undo what the owner knows by then.
 */
#include <idem/async.h>
#include <idem/backend.h>

#include "clock.h"
#include "registry.h"
#include "runner.h"
#include "store.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY      idem_str("k")
#define LEASE_MS 60u
#define HOUR_MS  3600000u
#define AWAIT_MS 20000u

/* How a completion's reply is lost, or a renewal's for good. */
typedef enum { NEVER, ONCE_FOR_GOOD, UNTIL_MET, THE_RENEWAL } loss;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    loss loses;
    idem_op_kind held_back; /* the reply of the next one on KEY waits for `open`; 0: none does */
    bool holding;
    bool open;
    unsigned met;      /* renewals that have found KEY completed */
    unsigned others;   /* renewals of another key since that, or since `open` was set */
    unsigned renewals; /* of KEY */
    uint64_t lease_ms; /* of the last one */
    unsigned lost_events;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const idem_backend_ops *memory;
static idem_store *store;
static idem_error err;

static bool is_key(const idem_op *op)
{
    return op->key.len == 1 && *(const char *)op->key.data == 'k';
}

static bool is_completion(const idem_op *op)
{
    return op->kind == IDEM_OP_REPLACE && op->record->status == IDEM_STATUS_COMPLETED;
}

/* The keeper renews another key behind the batch that was looked at. */
static bool is_behind(void)
{
    return world.others >= 2;
}

static bool is_met(void)
{
    return world.met > 0 && is_behind();
}

static void lose_reply(idem_op *op, bool for_good)
{
    idem_record_clear(&op->found);
    op->applied = op->has_found = false;
    idem_op_fail(op, for_good, IDEM_ERR_UNCERTAIN, "the reply was lost");
}

static void count(const idem_op *op)
{
    bool renews = op->kind == IDEM_OP_REPLACE && !is_completion(op);
    if (!renews)
        return;
    if (!is_key(op)) {
        world.others++;
    } else if (op->has_found && op->found.status == IDEM_STATUS_COMPLETED) {
        world.met++;
        world.others = 0;
    } else if (op->applied) {
        world.renewals++;
        world.lease_ms = op->record->lease_ms;
    }
}

static void interfere(idem_op *op)
{
    (void)pthread_mutex_lock(&world.lock);
    count(op);
    if (world.held_back == op->kind && is_key(op)) {
        world.held_back = 0;
        world.holding = true;
        (void)pthread_cond_broadcast(&world.changed);
        while (!world.open)
            (void)pthread_cond_wait(&world.changed, &world.lock);
        world.holding = world.open = false;
    }
    if (is_completion(op) && world.loses == UNTIL_MET && !is_met()) {
        lose_reply(op, false);
    } else if (op->kind == IDEM_OP_REPLACE &&
               world.loses == (is_completion(op) ? ONCE_FOR_GOOD : THE_RENEWAL)) {
        world.loses = NEVER;
        lose_reply(op, true);
    }
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count_of, uint64_t deadline_ms,
                  idem_error *error)
{
    int rc = memory->submit(backend, ops, count_of, deadline_ms, error);
    for (size_t i = 0; i < count_of; i++)
        interfere(ops[i]);
    return rc;
}

static void note_event(void *user, const idem_event *event)
{
    (void)user;
    (void)pthread_mutex_lock(&world.lock);
    world.lost_events += event->kind == IDEM_EVENT_CLAIM_LOST;
    (void)pthread_mutex_unlock(&world.lock);
}

/* Waits until `what` is true; the test fails if it does not come true. */
static void await(bool (*what)(void))
{
    uint64_t until_ms = idem__clock_deadline(AWAIT_MS);
    bool in_time = true;
    (void)pthread_mutex_lock(&world.lock);
    while (!what() && in_time)
        in_time = idem__clock_cond_wait(&world.changed, &world.lock, until_ms);
    bool true_at_last = what();
    (void)pthread_mutex_unlock(&world.lock);
    ck_assert_msg(true_at_last, "what was waited for did not come");
}

static bool is_holding(void)
{
    return world.holding;
}

static bool has_renewed_thrice(void)
{
    return world.renewals >= 3;
}

static uint64_t last_lease_ms(void)
{
    (void)pthread_mutex_lock(&world.lock);
    uint64_t lease_ms = world.lease_ms;
    (void)pthread_mutex_unlock(&world.lock);
    return lease_ms;
}

static void let_go(void)
{
    (void)pthread_mutex_lock(&world.lock);
    world.open = true;
    world.others = world.renewals = 0;
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

static void set_up(void)
{
    static idem_backend_ops ops;
    ck_assert_int_eq(idem__clock_cond_init(&world.changed), 0);
    world.loses = NEVER;
    world.holding = world.open = false;
    world.held_back = 0;
    world.met = world.others = world.renewals = world.lost_events = 0;
    ck_assert_int_eq(idem__registry_find("memory", &memory, &err), IDEM_OK);
    ops = *memory;
    ops.submit = submit;
    ck_assert_int_eq(idem_open_backend(&ops, NULL, "timeout=30s", &store, &err), IDEM_OK);
    store->on_event = note_event;
}

static void tear_down(void)
{
    idem_close(store);
}

static void begin(idem_bytes key, const uint8_t *token, uint64_t lease_ms, uint64_t flags,
                  idem_outcome *out)
{
    int rc = idem_begin(
        store, IDEM_REQUEST(.key = key, .token = token, .lease_ms = lease_ms, .flags = flags), out,
        &err);
    ck_assert_msg(rc == IDEM_OK && out->kind == IDEM_NEW, "%s", err.message);
}

static void lose(loss which)
{
    (void)pthread_mutex_lock(&world.lock);
    world.loses = which;
    (void)pthread_mutex_unlock(&world.lock);
}

static void assert_no_loss(const idem_claim *claim)
{
    ck_assert(!idem_claim_lost(claim));
    (void)pthread_mutex_lock(&world.lock);
    unsigned lost_events = world.lost_events;
    (void)pthread_mutex_unlock(&world.lock);
    ck_assert_uint_eq(lost_events, 0);
}

/* ------------------------------------------------------------------------- the owner's own end */

START_TEST(a_completion_in_doubt_that_landed_is_no_loss)
{
    idem_outcome outs[2];
    begin(KEY, NULL, LEASE_MS, IDEM_KEEPALIVE, &outs[0]);
    begin(idem_str("other"), NULL, LEASE_MS, IDEM_KEEPALIVE, &outs[1]);
    lose(ONCE_FOR_GOOD);
    ck_assert_int_eq(idem_complete(store, outs[0].claim, idem_str("1"), &err), IDEM_ERR_UNCERTAIN);
    await(is_met);
    assert_no_loss(outs[0].claim);
    ck_assert_int_eq(idem_complete(store, outs[0].claim, idem_str("1"), &err), IDEM_OK);
    assert_no_loss(outs[0].claim);
    for (int i = 0; i < 2; i++)
        idem_outcome_clear(&outs[i]);
}
END_TEST

static void note_code(void *user, const idem_error *error)
{
    *(int *)user = error->code;
}

static int complete_submitted(idem_claim *claim)
{
    int code = -1;
    idem_async *async = NULL;
    ck_assert_int_eq(idem_async_open(store, &async, &err), IDEM_OK);
    ck_assert_int_eq(idem_async_complete(async, claim, idem_str("1"), note_code, &code, NULL, &err),
                     IDEM_OK);
    await(is_met);
    for (uint64_t end_ms = idem__clock_deadline(AWAIT_MS);
         code < 0 && idem_monotonic_ms() < end_ms;) {
        (void)idem_async_dispatch(async, 0);
        idem__clock_sleep_until(idem__clock_deadline(1));
    }
    idem_async_close(async);
    return code;
}

static const bool submits[] = {false, true};

START_TEST(a_completion_that_is_under_way_is_no_loss)
{
    idem_outcome outs[2];
    begin(KEY, NULL, LEASE_MS, IDEM_KEEPALIVE, &outs[0]);
    begin(idem_str("other"), NULL, LEASE_MS, IDEM_KEEPALIVE, &outs[1]);
    lose(UNTIL_MET);
    int rc = submits[_i] ? complete_submitted(outs[0].claim)
                         : idem_complete(store, outs[0].claim, idem_str("1"), &err);
    ck_assert_int_eq(rc, IDEM_OK);
    assert_no_loss(outs[0].claim);
    for (int i = 0; i < 2; i++)
        idem_outcome_clear(&outs[i]);
}
END_TEST

/* Without a keepalive too. */
START_TEST(a_completion_that_is_told_ok_clears_the_flag)
{
    idem_outcome out;
    begin(KEY, NULL, HOUR_MS, 0, &out);
    lose(ONCE_FOR_GOOD);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), &err), IDEM_ERR_UNCERTAIN);
    ck_assert_int_eq(idem_renew(store, out.claim, 0, &err), IDEM_ERR_LOST);
    ck_assert(idem_claim_lost(out.claim));
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), &err), IDEM_OK);
    ck_assert(!idem_claim_lost(out.claim));
    idem_outcome_clear(&out);
}
END_TEST

/* -------------------------------------------------------------------------------- a late answer */

static void hold_back(idem_op_kind kind)
{
    (void)pthread_mutex_lock(&world.lock);
    world.held_back = kind;
    (void)pthread_mutex_unlock(&world.lock);
}

/* A renewal for an hour is answered when its owner has made the lease short. */
START_TEST(a_late_answer_does_not_undo_a_newer_lease)
{
    idem_outcome out;
    begin(KEY, NULL, HOUR_MS, IDEM_KEEPALIVE, &out);
    hold_back(IDEM_OP_REPLACE);
    idem__keepalive_lock();
    idem__keepalive_hurry(out.claim);
    idem__keepalive_unlock();
    await(is_holding);
    ck_assert_int_eq(idem_renew(store, out.claim, LEASE_MS, &err), IDEM_OK);
    let_go();
    await(has_renewed_thrice);
    ck_assert_uint_eq(last_lease_ms(), LEASE_MS);
    assert_no_loss(out.claim);
    idem_outcome_clear(&out);
}
END_TEST

/* Another process has made the lease short: the renewal that finds that out is followed by others
   in time. */
START_TEST(a_lease_that_another_process_has_made_short_is_kept)
{
    idem_outcome out;
    idem_claim *resumed = NULL;
    begin(KEY, NULL, HOUR_MS, IDEM_KEEPALIVE, &out);
    ck_assert_int_eq(idem_resume(store, KEY, idem_claim_token(out.claim), &resumed, &err), IDEM_OK);
    ck_assert_int_eq(idem_renew(store, resumed, LEASE_MS, &err), IDEM_OK);
    idem__keepalive_lock();
    idem__keepalive_hurry(out.claim);
    idem__keepalive_unlock();
    await(has_renewed_thrice);
    ck_assert_uint_eq(last_lease_ms(), LEASE_MS);
    idem_claim_free(resumed);
    idem_outcome_clear(&out);
}
END_TEST

/* A renewal in doubt, by which the owner may have made the lease short. */
START_TEST(after_a_renewal_in_doubt_the_record_is_looked_at)
{
    idem_outcome out;
    begin(KEY, NULL, HOUR_MS, IDEM_KEEPALIVE, &out);
    lose(THE_RENEWAL);
    ck_assert_int_eq(idem_renew(store, out.claim, LEASE_MS, &err), IDEM_ERR_UNCERTAIN);
    await(has_renewed_thrice);
    ck_assert_uint_eq(last_lease_ms(), LEASE_MS);
    assert_no_loss(out.claim);
    idem_outcome_clear(&out);
}
END_TEST

/* A record that was put back while its owner released it, and began anew as the same caller. */
START_TEST(what_was_begun_anew_under_the_token_is_not_taken_back)
{
    idem_outcome outs[3];
    idem_record record;
    const uint8_t token[IDEM_TOKEN_SIZE] = {1, 2, 3};
    begin(KEY, token, LEASE_MS, IDEM_KEEPALIVE | IDEM_REINSTATE, &outs[0]);
    begin(idem_str("other"), NULL, LEASE_MS, IDEM_KEEPALIVE, &outs[1]);
    hold_back(IDEM_OP_INSERT);
    ck_assert_int_eq(idem_forget(store, KEY, &err), IDEM_OK); /* the store loses it */
    await(is_holding);
    ck_assert_int_eq(idem_release(store, outs[0].claim, &err), IDEM_OK);
    begin(KEY, token, HOUR_MS, 0, &outs[2]);
    let_go();
    await(is_behind);
    ck_assert_int_eq(idem_get(store, KEY, &record, &err), IDEM_OK);
    ck_assert_uint_eq(record.lease_ms, HOUR_MS);
    idem_record_clear(&record);
    for (int i = 0; i < 3; i++)
        idem_outcome_clear(&outs[i]);
}
END_TEST

/* What the child of a fork() finds of a claim that the keeper has in hand. The test has a reference
   to the claim and to what it remembers, beside the owner's. */
static int close_in_child(idem_claim *claim, bool freed)
{
    unsigned left = freed ? 1 : 2;
    idem__claim_bytes *bytes = claim->bytes;
    idem_close(store);
    if (atomic_load(&claim->refs) != left)
        return 1;
    return atomic_load(&bytes->refs) == 2 ? 0 : 2;
}

START_TEST(a_child_of_a_fork_during_a_renewal_keeps_nothing_of_the_keepers)
{
    idem_outcome out;
    int status = -1;
    bool freed = submits[_i];
    begin(KEY, NULL, LEASE_MS, IDEM_KEEPALIVE, &out);
    idem_claim *claim = out.claim;
    ck_assert_int_eq(idem_checkpoint(store, claim, idem_str("[1]"), &err), IDEM_OK);
    hold_back(IDEM_OP_REPLACE);
    await(is_holding);
    idem__keepalive_lock();
    (void)atomic_fetch_add(&claim->refs, 1);
    (void)atomic_fetch_add(&claim->bytes->refs, 1);
    idem__claim_bytes *bytes = claim->bytes;
    idem__keepalive_unlock();
    if (freed)
        idem_outcome_clear(&out);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(close_in_child(claim, freed));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", (unsigned)status);
    let_go();
    if (!freed)
        idem_outcome_clear(&out);
    idem__claim_release_bytes(bytes);
    idem__claim_drop(claim);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keepalive_meets");
    ADD_HERE(suite, a_completion_in_doubt_that_landed_is_no_loss, 1);
    ADD_HERE(suite, a_completion_that_is_under_way_is_no_loss, 2);
    ADD_HERE(suite, a_completion_that_is_told_ok_clears_the_flag, 1);
    ADD_HERE(suite, a_late_answer_does_not_undo_a_newer_lease, 1);
    ADD_HERE(suite, a_lease_that_another_process_has_made_short_is_kept, 1);
    ADD_HERE(suite, after_a_renewal_in_doubt_the_record_is_looked_at, 1);
    ADD_HERE(suite, what_was_begun_anew_under_the_token_is_not_taken_back, 1);
    ADD_HERE(suite, a_child_of_a_fork_during_a_renewal_keeps_nothing_of_the_keepers, 2);
    return run_suite(suite);
}
