/* SPDX-License-Identifier: MIT */
/*
 * A keepalive that puts a record back while its owner gives the key back. The backend holds the
 * insert up until the owner's release has ended: what is released stays released.
 */
#include "registry.h"
#include "runner.h"

#include <idem/backend.h>

#include <pthread.h>

#define KEY      idem_str("k")
#define LEASE_MS 60u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold;  /* the next insert waits */
    bool waits; /* it does */
    bool go;    /* it may go on */
    unsigned inserts;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static const idem_backend_ops *memory;
static idem_store *store;
static idem_error err;

static void stand_at_gate(void)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.inserts++;
    gate.waits = gate.hold;
    (void)pthread_cond_broadcast(&gate.changed);
    while (gate.hold && !gate.go)
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    gate.hold = false;
    (void)pthread_mutex_unlock(&gate.lock);
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    if (ops[0]->kind == IDEM_OP_INSERT)
        stand_at_gate();
    return memory->submit(backend, ops, count, deadline_ms, error);
}

static void await(const bool *what)
{
    (void)pthread_mutex_lock(&gate.lock);
    while (!*what)
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    (void)pthread_mutex_unlock(&gate.lock);
}

static void set(bool *what)
{
    (void)pthread_mutex_lock(&gate.lock);
    *what = true;
    (void)pthread_cond_broadcast(&gate.changed);
    (void)pthread_mutex_unlock(&gate.lock);
}

static idem_outcome kept_claim(void)
{
    idem_backend_ops held_up;
    idem_outcome out;
    ck_assert_int_eq(idem__registry_find("memory", &memory, &err), IDEM_OK);
    held_up = *memory;
    held_up.submit = submit;
    ck_assert_int_eq(idem_open_backend(&held_up, NULL, "timeout=30s", &store, &err), IDEM_OK);
    int rc = idem_begin(
        store,
        IDEM_REQUEST(.key = KEY, .lease_ms = LEASE_MS, .flags = IDEM_KEEPALIVE | IDEM_REINSTATE),
        &out, &err);
    ck_assert_msg(rc == IDEM_OK, "%s", err.message);
    return out;
}

static int look(void)
{
    idem_record record;
    int rc = idem_get(store, KEY, &record, NULL);
    if (rc == IDEM_OK)
        idem_record_clear(&record);
    return rc;
}

START_TEST(what_is_released_while_it_is_put_back_stays_released)
{
    idem_outcome out = kept_claim();
    set(&gate.hold);
    ck_assert_int_eq(idem_forget(store, KEY, NULL), IDEM_OK); /* the store loses it */
    await(&gate.waits);
    ck_assert_int_eq(idem_release(store, out.claim, &err), IDEM_OK);
    ck_assert_int_eq(look(), IDEM_ERR_NOT_FOUND);
    set(&gate.go);
    idem_outcome_clear(&out);
    /* The record is there for a moment, until the keeper takes it back; then it stays away. */
    uint64_t until_ms = idem_monotonic_ms() + 10000;
    uint64_t absent_since_ms = idem_monotonic_ms();
    uint64_t now_ms = absent_since_ms;
    while (now_ms < until_ms && now_ms - absent_since_ms < 3 * LEASE_MS) {
        now_ms = idem_monotonic_ms();
        if (look() == IDEM_OK)
            absent_since_ms = now_ms;
    }
    bool gone = now_ms < until_ms;
    ck_assert_msg(gone, "a claim that was released is there again");
    ck_assert_uint_eq(gate.inserts, 2);
    idem_close(store);
}
END_TEST

START_TEST(what_is_completed_while_it_is_put_back_is_completed)
{
    idem_outcome out = kept_claim();
    set(&gate.hold);
    ck_assert_int_eq(idem_forget(store, KEY, NULL), IDEM_OK);
    await(&gate.waits);
    set(&gate.go);
    ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), &err), IDEM_OK);
    ck_assert(!idem_claim_lost(out.claim));
    idem_outcome_clear(&out);
    int rc = idem_begin(store, IDEM_REQUEST(.key = KEY), &out, &err);
    ck_assert(rc == IDEM_OK && out.kind == IDEM_COMPLETED);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reinstate");
    TCase *tcase = tcase_create("reinstate");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_is_released_while_it_is_put_back_stays_released);
    tcase_add_test(tcase, what_is_completed_while_it_is_put_back_is_completed);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
