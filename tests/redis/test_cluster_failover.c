/* SPDX-License-Identifier: MIT */
/*
 * A master of three that dies, or says nothing any more, under many callers: its replica takes
 * over, and all callers go on. What surviving masters have acknowledged is there. What the dead one
 * had acknowledged may be lost, for replication is asynchronous; how much of it was is printed.
 */
#include "cluster_set.h"
#include "redis_test.h"

#include "redis/key_slot.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS  8
#define KEYS_MAX 20000
#define PATIENCE "timeout=30s&connect_timeout=300ms"

static cluster_set cluster;
static idem_store *store;
static atomic_bool ended;
static atomic_int unexpected;
static atomic_int went_on; /* keys completed since the failover, of the dead master's slots */
static atomic_bool failed_over;
static char first_failure[256];

typedef struct {
    unsigned number;
    unsigned count; /* keys that were tried */
    bool acknowledged[KEYS_MAX];
} worker;

static bool is_of_dead(unsigned slot)
{
    return slot < CLUSTER_SLOTS / 3; /* node 0's */
}

static void make_key(char key[32], unsigned thread, unsigned number)
{
    (void)snprintf(key, 32, "fo-%u-%u", thread, number);
}

/* The dead master's acknowledged records may be gone: its claims then are lost or not found. */
static bool is_excused(const char *key, int code)
{
    bool gone = code == IDEM_ERR_NOT_FOUND || code == IDEM_ERR_LOST;
    return gone && is_of_dead(idem__redis_key_slot(idem_str(key)));
}

static void note(const char *what, const char *key, const idem_error *error)
{
    if (atomic_fetch_add(&unexpected, 1) == 0)
        (void)snprintf(first_failure, sizeof first_failure, "%s %s: %.180s", what, key,
                       error->message);
}

static bool do_one(const char *key)
{
    idem_outcome out;
    idem_error error = {0};
    bool done = false;
    int rc =
        idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS), &out, &error);
    if (rc || out.kind != IDEM_NEW) {
        note("begin", key, &error);
    } else {
        rc = idem_complete(store, out.claim, idem_str(key + strlen(key) - 1), &error);
        done = rc == IDEM_OK;
        if (rc && !is_excused(key, rc))
            note("complete", key, &error);
    }
    idem_outcome_clear(&out);
    return done;
}

static void *work(void *user)
{
    worker *self = user;
    char key[32];
    while (!atomic_load(&ended) && self->count < KEYS_MAX) {
        make_key(key, self->number, self->count);
        self->acknowledged[self->count] = do_one(key);
        if (self->acknowledged[self->count] && atomic_load(&failed_over) &&
            is_of_dead(idem__redis_key_slot(idem_str(key))))
            (void)atomic_fetch_add(&went_on, 1);
        self->count++;
        wait_ms(1);
    }
    return NULL;
}

static void await_new_master(void)
{
    for (int i = 0; i < 3000; i++) {
        char *info = server_text(&cluster.nodes[3], "INFO replication");
        bool master = strstr(info, "role:master") != NULL;
        free(info);
        if (master)
            return;
        wait_ms(10);
    }
    ck_abort_msg("no replica takes over");
}

/* @return how many of the dead master's acknowledged records are gone */
static unsigned count_lost(worker *workers)
{
    unsigned lost = 0;
    char key[32];
    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < workers[t].count; i++) {
            idem_record record = {0};
            if (!workers[t].acknowledged[i])
                continue;
            make_key(key, t, i);
            int rc = idem_get(store, idem_str(key), &record, &err);
            bool there = rc == IDEM_OK && record.status == IDEM_STATUS_COMPLETED;
            ck_assert_msg(there || is_of_dead(idem__redis_key_slot(idem_str(key))),
                          "%s was acknowledged by a master that lives, and is gone: %d %s", key, rc,
                          err.message);
            lost += !there;
            idem_record_clear(&record);
        }
    }
    return lost;
}

static void let_fail(void (*fault)(server *master), const char *what)
{
    static worker workers[THREADS];
    pthread_t threads[THREADS];
    unsigned count = 0;
    cluster_start(&cluster, 3, 1, NULL);
    store = open_url(cluster.url, PATIENCE);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        workers[i].count = 0;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    wait_ms(200);
    uint64_t began_ms = idem_monotonic_ms();
    fault(&cluster.nodes[0]);
    await_new_master();
    uint64_t took_ms = idem_monotonic_ms() - began_ms;
    atomic_store(&failed_over, true);
    for (int i = 0; i < 2000 && atomic_load(&went_on) < 50; i++)
        wait_ms(10);
    uint64_t again_ms = idem_monotonic_ms() - began_ms;
    atomic_store(&ended, true);
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        count += workers[i].count;
    }
    ck_assert_int_ge(atomic_load(&went_on), 50);
    ck_assert_msg(atomic_load(&unexpected) == 0, "%d failed, first %s", atomic_load(&unexpected),
                  first_failure);
    (void)printf("%s: %u keys, new master after %llu ms, 50 of its keys after %llu ms, %u of the "
                 "acknowledged lost\n",
                 what, count, (unsigned long long)took_ms, (unsigned long long)again_ms,
                 count_lost(workers));
    idem_close(store);
    cluster_remove(&cluster);
}

static void stop_it(server *master)
{
    (void)kill(master->pid, SIGSTOP);
}

static void reset(void)
{
    atomic_store(&ended, false);
    atomic_store(&unexpected, 0);
    atomic_store(&went_on, 0);
    atomic_store(&failed_over, false);
}

START_TEST(a_master_that_is_killed_is_replaced_and_all_go_on)
{
    reset();
    let_fail(server_kill, "killed");
}
END_TEST

START_TEST(a_master_that_falls_silent_is_replaced_and_all_go_on)
{
    reset();
    let_fail(stop_it, "stopped");
}
END_TEST

static void fail_over(server *master)
{
    (void)master;
    server_do(&cluster.nodes[3], "CLUSTER FAILOVER");
}

/* By command nothing is lost: the old master waits for its replica. */
START_TEST(a_master_that_is_relieved_loses_nothing)
{
    reset();
    let_fail(fail_over, "relieved");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis cluster failover");
    server_require();
    ADD(suite, a_master_that_is_killed_is_replaced_and_all_go_on);
    ADD(suite, a_master_that_falls_silent_is_replaced_and_all_go_on);
    ADD(suite, a_master_that_is_relieved_loses_nothing);
    return run_suite(suite);
}
