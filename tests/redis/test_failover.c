/* SPDX-License-Identifier: MIT */
/* redis+sentinel://: what a failover is to callers. */
#include "redis_test.h"
#include "sentinel_set.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define THREADS 8

/* Callers that begin and complete all the time. What a failover loses is lost by the store: they
   put it back (IDEM_REINSTATE), and find no error. */
typedef struct {
    idem_store *store;
    int number;
    atomic_bool *ended;
    int done;
    int failed;
    int twice; /* a key that was completed is new again */
    idem_error error;
} caller;

static void call_once(caller *self)
{
    char key[32];
    idem_outcome out;
    (void)snprintf(key, sizeof key, "load-%d-%d", self->number, self->done);
    int rc =
        idem_begin(self->store,
                   IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS, .flags = IDEM_REINSTATE),
                   &out, &self->error);
    if (rc == IDEM_OK && out.kind == IDEM_NEW)
        rc = idem_complete(self->store, out.claim, idem_str("1"), &self->error);
    else if (rc == IDEM_OK)
        self->twice++;
    self->failed += rc != IDEM_OK;
    self->done++;
    idem_outcome_clear(&out);
}

static void *call(void *user)
{
    caller *self = user;
    while (!atomic_load(self->ended) && self->failed == 0)
        call_once(self);
    return NULL;
}

typedef struct {
    caller callers[THREADS];
    pthread_t threads[THREADS];
    atomic_bool ended;
} load;

static void load_start(load *self, idem_store *store)
{
    atomic_store(&self->ended, false);
    for (int i = 0; i < THREADS; i++) {
        self->callers[i] = (caller){.store = store, .number = i, .ended = &self->ended};
        ck_assert_int_eq(pthread_create(&self->threads[i], NULL, call, &self->callers[i]), 0);
    }
}

static void load_stop(load *self)
{
    atomic_store(&self->ended, true);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(self->threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_msg(self->callers[i].failed == 0, "%s", self->callers[i].error.message);
        ck_assert_int_eq(self->callers[i].twice, 0);
        ck_assert_int_gt(self->callers[i].done, 0);
    }
}

typedef enum { BY_COMMAND, BY_KILL, BY_STOP } way;

static void lose_master(sentinel_set *own, way how)
{
    if (how != BY_COMMAND)
        (void)kill(own->nodes[0].pid, how == BY_KILL ? SIGKILL : SIGSTOP);
    if (how == BY_COMMAND)
        (void)sentinel_set_fail_over(own);
    else
        (void)sentinel_set_await_other(own, &own->sentinels[1], 0);
    if (how == BY_STOP)
        (void)kill(own->nodes[0].pid, SIGCONT);
    /* It takes writes until it is told: what they are worth is the store's affair. */
    if (how != BY_KILL)
        sentinel_set_await_role(&own->nodes[0], "slave");
}

START_TEST(a_failover_under_load_is_a_pause)
{
    sentinel_set own;
    load work;
    sentinel_set_start(&own, SENTINEL_SET_HURRIED_MS);
    idem_store *store = open_url(own.url, "timeout=60s");
    load_start(&work, store);
    wait_ms(100);
    lose_master(&own, (way)_i);
    wait_ms(200);
    load_stop(&work);
    int now = sentinel_set_named(&own, &own.sentinels[1]);
    ck_assert_int_ne(now, 0);
    complete(store, "behind", "1");
    ck_assert_int_eq(server_number(&own.nodes[now], "EXISTS behind"), 1);
    idem_close(store);
    sentinel_set_remove(&own);
}
END_TEST

START_TEST(without_enough_sentinels_there_is_an_error_by_the_deadline)
{
    idem_outcome out;
    sentinel_set own;
    sentinel_set_start(&own, SENTINEL_SET_HURRIED_MS);
    idem_store *store = open_url(own.url, "timeout=1s");
    complete(store, "before", "1");
    server_kill(&own.sentinels[0]);
    server_kill(&own.sentinels[1]);
    server_kill(&own.nodes[0]);
    int rc = IDEM_OK;
    assert_in_time(1000,
                   rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("after")), &out, &err));
    /* It was sent to the primary that died, or it was not. */
    ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN, "%d", rc);
    assert_says("can't be reached");
    idem_close(store);
    sentinel_set_remove(&own);
}
END_TEST

/* CK_RUN_CASE=quick leaves out what takes long: a failover without a fault waits for one INFO after
   the other. */
int main(void)
{
    Suite *suite = suite_create("redis failover");
    TCase *quick = tcase_create("quick");
    TCase *slow = tcase_create("slow");
    server_require();
    tcase_set_timeout(quick, 90);
    tcase_add_loop_test(quick, a_failover_under_load_is_a_pause, BY_KILL, BY_KILL + 1);
    tcase_add_test(quick, without_enough_sentinels_there_is_an_error_by_the_deadline);
    suite_add_tcase(suite, quick);
    tcase_set_timeout(slow, 90);
    tcase_add_loop_test(slow, a_failover_under_load_is_a_pause, BY_COMMAND, BY_COMMAND + 1);
    tcase_add_loop_test(slow, a_failover_under_load_is_a_pause, BY_STOP, BY_STOP + 1);
    suite_add_tcase(suite, slow);
    return run_suite(suite);
}
