/* SPDX-License-Identifier: MIT */
/*
 * Many kept claims. What one of them costs does not grow with the others: counted in pairs that the
 * heap compares and in times that the keeper's thread is woken. Renewals are spread, and travel in
 * full batches.
 */
#include "clock.h"
#include "registry.h"
#include "runner.h"
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MANY    50000u
#define FEW     1000u
#define DEPTH   17u /* of a heap of MANY: a begin goes down one way */
#define ENDED   500u
#define HOUR_MS UINT64_C(3600000)

static const idem_backend_ops *memory;
static idem_store *store;
static idem_claim *claims[MANY];
static atomic_uint wakes;
static atomic_uint renewals;
static atomic_uint largest_batch;

int __real_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
    if (store && cond == &store->keeper.changed)
        (void)atomic_fetch_add(&wakes, 1);
    return __real_pthread_cond_broadcast(cond);
}

/* While `stuck`, a batch with the first claim in it takes all its time and fails. */
static atomic_bool stuck;
static atomic_bool short_renewed;

static bool is_named(const idem_op *op, const char *name)
{
    return op->key.len == strlen(name) && memcmp(op->key.data, name, op->key.len) == 0;
}

static bool is_held_up(idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    bool held_up = false;
    for (size_t i = 0; i < count; i++)
        held_up = held_up || is_named(ops[i], "key-0");
    if (!held_up || !atomic_load(&stuck))
        return false;
    idem__clock_sleep_until(deadline_ms);
    for (size_t i = 0; i < count; i++)
        idem_op_fail(ops[i], true, IDEM_ERR_UNAVAILABLE, "held up");
    return true;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    bool renews =
        ops[0]->kind == IDEM_OP_REPLACE && ops[0]->record->status == IDEM_STATUS_IN_PROGRESS;
    if (renews) {
        if (count > atomic_load(&largest_batch))
            atomic_store(&largest_batch, (unsigned)count);
        (void)atomic_fetch_add(&renewals, (unsigned)count);
        if (is_held_up(ops, count, deadline_ms))
            return IDEM_OK;
        for (size_t i = 0; i < count; i++) {
            if (is_named(ops[i], "short"))
                atomic_store(&short_renewed, true);
        }
    }
    return memory->submit(backend, ops, count, deadline_ms, error);
}

static void open_with(unsigned count)
{
    static idem_backend_ops ops;
    ck_assert_int_eq(idem__registry_find("memory", &memory, NULL), IDEM_OK);
    ops = *memory;
    ops.submit = submit;
    ck_assert_int_eq(idem_open_backend(&ops, NULL, "timeout=30s", &store, NULL), IDEM_OK);
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "key-%u", i);
        ck_assert_int_eq(idem_begin(store,
                                    IDEM_REQUEST(.key = idem_str(key), .lease_ms = HOUR_MS,
                                                 .flags = IDEM_KEEPALIVE),
                                    &out, NULL),
                         IDEM_OK);
        claims[i] = out.claim;
        out.claim = NULL;
        idem_outcome_clear(&out);
    }
}

static void close_with(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        idem_claim_free(claims[i]);
    idem_close(store);
    store = NULL;
}

static uint64_t compared(void)
{
    idem__keepalive_lock();
    uint64_t pairs = store->keeper.timers.compared;
    idem__keepalive_unlock();
    return pairs;
}

/* Completes some claims here and there. @return how many pairs were compared for it */
static uint64_t complete_some(unsigned count)
{
    unsigned seed = 1;
    uint64_t before = compared();
    for (unsigned i = 0; i < ENDED; i++) {
        idem_claim *claim = claims[(unsigned)rand_r(&seed) % count];
        ck_assert_int_eq(idem_complete(store, claim, idem_str("1"), NULL), IDEM_OK);
    }
    return compared() - before;
}

START_TEST(a_claim_among_many_costs_what_one_of_few_does)
{
    static const unsigned counts[] = {FEW, MANY};
    uint64_t pairs[2];
    for (int i = 0; i < 2; i++) {
        atomic_store(&wakes, 0);
        open_with(counts[i]);
        ck_assert_uint_lt(atomic_load(&wakes), 100); /* for the earliest ones alone */
        ck_assert_uint_le(compared(), DEPTH * counts[i]);
        pairs[i] = complete_some(counts[i]);
        close_with(counts[i]);
    }
    ck_assert_msg(pairs[1] <= 2 * pairs[0] + 4 * ENDED, "%llu pairs with %u, %llu with %u",
                  (unsigned long long)pairs[0], FEW, (unsigned long long)pairs[1], MANY);
}
END_TEST

START_TEST(renewals_of_claims_made_at_once_are_spread)
{
    enum { SLOTS = 20 };
    unsigned slots[SLOTS] = {0};
    uint64_t interval = HOUR_MS / 3 + 1;
    uint64_t spread = interval / 4;
    open_with(FEW);
    uint64_t last = idem_monotonic_ms() + interval;
    for (unsigned i = 0; i < FEW; i++) {
        uint64_t at_ms = claims[i]->timer.at_ms;
        ck_assert_uint_le(at_ms, last);
        uint64_t slot = (last - at_ms) / (spread / SLOTS);
        slots[slot < SLOTS ? slot : SLOTS - 1]++;
    }
    for (int i = 0; i < SLOTS; i++)
        ck_assert_msg(slots[i] <= 2 * FEW / SLOTS, "%u renewals in slot %d", slots[i], i);
    close_with(FEW);
}
END_TEST

START_TEST(what_is_due_together_travels_together)
{
    atomic_store(&largest_batch, 0);
    atomic_store(&renewals, 0);
    open_with(FEW);
    idem__keepalive_lock();
    for (unsigned i = 0; i < FEW; i++)
        idem__keepalive_hurry(claims[i]);
    idem__keepalive_unlock();
    for (int i = 0; i < 20000 && atomic_load(&renewals) < FEW; i++) {
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
    ck_assert_uint_eq(atomic_load(&renewals), FEW);
    ck_assert_uint_eq(atomic_load(&largest_batch), IDEM_BATCH_MAX);
    close_with(FEW);
}
END_TEST

/* One thread renews both. */
START_TEST(a_renewal_that_is_not_answered_lets_no_shorter_lease_run_out)
{
    enum { SHORT_MS = 6000 };
    idem_outcome out;
    open_with(1);
    /* The short one is not so near that it is taken along. */
    ck_assert_int_eq(idem_renew(store, claims[0], HOUR_MS / 12, NULL), IDEM_OK);
    ck_assert_int_eq(idem_begin(store,
                                IDEM_REQUEST(.key = idem_str("short"), .lease_ms = SHORT_MS,
                                             .flags = IDEM_KEEPALIVE),
                                &out, NULL),
                     IDEM_OK);
    uint64_t ends_ms = idem_monotonic_ms() + SHORT_MS;
    atomic_store(&stuck, true);
    idem__keepalive_lock();
    idem__keepalive_hurry(claims[0]);
    idem__keepalive_unlock();
    while (!atomic_load(&short_renewed) && idem_monotonic_ms() < ends_ms)
        idem__clock_sleep_until(idem_monotonic_ms() + 5);
    ck_assert(atomic_load(&short_renewed));
    ck_assert(!idem_claim_lost(out.claim));
    atomic_store(&stuck, false);
    idem_outcome_clear(&out);
    close_with(1);
}
END_TEST

static uint64_t soon_after_boot(void)
{
    return 60000;
}

static int64_t any_time(void)
{
    return INT64_C(1700000000000);
}

static void no_wait(uint64_t until_ms)
{
    (void)until_ms;
}

static void no_wake(bool woken)
{
    (void)woken;
}

static void no_thread(void)
{
}

/* The machine was started anew meanwhile, and its monotonic clock with it. */
START_TEST(a_claim_that_is_older_than_the_clock_is_due_at_once)
{
    static const idem_time_source source = {.size = sizeof source,
                                            .monotonic_ms = soon_after_boot,
                                            .wall_ms = any_time,
                                            .waits = no_wait,
                                            .goes_on = no_wake,
                                            .thread_starts = no_thread};
    idem_time_source_set(&source);
    open_with(1);
    idem__keepalive_lock();
    for (int i = 0; i < 100; i++) {
        claims[0]->held.age_ms = HOUR_MS / 3 + (uint64_t)i * 1000;
        idem__keepalive_add(&store->keeper, claims[0]);
        ck_assert_uint_le(claims[0]->timer.at_ms, soon_after_boot() + 1);
    }
    idem__keepalive_unlock();
    close_with(1);
    idem_time_source_set(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keepalive_many");
    ADD(suite, a_claim_among_many_costs_what_one_of_few_does);
    ADD(suite, renewals_of_claims_made_at_once_are_spread);
    ADD(suite, what_is_due_together_travels_together);
    ADD(suite, a_renewal_that_is_not_answered_lets_no_shorter_lease_run_out);
    ADD(suite, a_claim_that_is_older_than_the_clock_is_due_at_once);
    return run_suite(suite);
}
