/* SPDX-License-Identifier: MIT */
/*
 * A purge of a slow store, portion by portion: others get their turns in between, a portion whose
 * reply was lost is made again from where it began, and the limit is kept.
 */
#include <idem/backend.h>

#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define PORTION_MS 20
#define PORTIONS   25u

static atomic_uint portions; /* that were carried out */
static atomic_bool done;
static unsigned lost;        /* replies that are lost, of the next portions */
static uint64_t cursors[64]; /* that were asked for */
static uint64_t per_portion; /* rows */
static unsigned portion_ms;
static idem_error err;

static int open_slow(const idem_config *config, idem_backend **backend, idem_error *error)
{
    static idem_backend slow;
    (void)config;
    (void)error;
    *backend = &slow;
    return IDEM_OK;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    (void)backend;
    (void)deadline_ms;
    (void)error;
    for (size_t i = 0; i < count; i++)
        ops[i]->applied = ops[i]->kind != IDEM_OP_GET;
    return IDEM_OK;
}

static int purge(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                 idem_error *error)
{
    const struct timespec pause = {.tv_nsec = (long)portion_ms * 1000000};
    unsigned number = atomic_fetch_add(&portions, 1);
    (void)backend;
    (void)deadline_ms;
    (void)nanosleep(&pause, NULL);
    if (number < 64)
        cursors[number] = portion->cursor;
    portion->removed = per_portion < portion->limit ? per_portion : portion->limit;
    portion->next = portion->cursor + 1 < PORTIONS ? portion->cursor + 1 : 0;
    if (lost > 0) {
        lost--;
        return idem_error_set(error, IDEM_ERR_UNCERTAIN, "its reply was lost");
    }
    return IDEM_OK;
}

static void close_slow(idem_backend *backend)
{
    (void)backend;
}

static const idem_backend_ops slow_ops = {
    .size = sizeof slow_ops,
    .scheme = "slow",
    .open = open_slow,
    .submit = submit,
    .close = close_slow,
    .purge = purge,
};

static idem_store *open_store(unsigned slowness_ms, uint64_t rows)
{
    idem_store *store = NULL;
    portion_ms = slowness_ms;
    per_portion = rows;
    lost = 0;
    atomic_store(&portions, 0);
    atomic_store(&done, false);
    ck_assert_int_eq(idem_open_backend(&slow_ops, NULL, "timeout=30s", &store, &err), IDEM_OK);
    return store;
}

static void *purge_all(void *user)
{
    uint64_t removed = 0;
    int rc = idem_purge(user, 0, &removed, NULL);
    atomic_store(&done, true);
    return rc == IDEM_OK && removed == 10 * PORTIONS ? NULL : user;
}

/* One portion may be under way when a call comes; the next one waits behind the call. */
START_TEST(a_call_waits_for_one_portion_at_most)
{
    pthread_t thread;
    void *failed;
    unsigned calls = 0;
    idem_store *store = open_store(PORTION_MS, 10);
    ck_assert_int_eq(pthread_create(&thread, NULL, purge_all, store), 0);
    while (atomic_load(&portions) == 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    while (!atomic_load(&done)) {
        idem_record record;
        ck_assert_int_eq(idem_get(store, idem_str("k"), &record, NULL), IDEM_ERR_NOT_FOUND);
        calls++;
    }
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    ck_assert_uint_eq(atomic_load(&portions), PORTIONS);
    /* One in two portions would do; a machine that is busy otherwise lets this thread wait, too. */
    ck_assert_uint_gt(calls, PORTIONS / 5);
    idem_close(store);
}
END_TEST

START_TEST(a_portion_whose_reply_was_lost_is_made_again_from_where_it_began)
{
    uint64_t removed = 0;
    idem_store *store = open_store(0, 10);
    lost = 2;
    ck_assert_int_eq(idem_purge(store, 0, &removed, &err), IDEM_OK);
    ck_assert_uint_eq(removed, 10 * PORTIONS); /* what the lost ones have removed is not known */
    ck_assert_uint_eq(atomic_load(&portions), PORTIONS + 2);
    ck_assert(cursors[0] == 0 && cursors[1] == 0 && cursors[2] == 0 && cursors[3] == 1);
    idem_close(store);
}
END_TEST

START_TEST(the_limit_ends_a_purge_in_the_middle)
{
    uint64_t removed = 0;
    idem_store *store = open_store(0, 10);
    ck_assert_int_eq(idem_purge(store, 25, &removed, &err), IDEM_OK);
    ck_assert_uint_eq(removed, 25);
    ck_assert_uint_eq(atomic_load(&portions), 3);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("purge");
    ADD(suite, a_call_waits_for_one_portion_at_most);
    ADD(suite, a_portion_whose_reply_was_lost_is_made_again_from_where_it_began);
    ADD(suite, the_limit_ends_a_purge_in_the_middle);
    return run_suite(suite);
}
