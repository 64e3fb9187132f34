/* SPDX-License-Identifier: MIT */
/* Many threads on one store: each key is done once, and everybody else is given its response. */
#include "proxy.h"
#include "redis_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 64
#define KEYS    200

static server redis;
static atomic_int times_done[KEYS];
static atomic_int failures;

typedef struct {
    idem_store *store;
    unsigned number;
} worker;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    for (int i = 0; i < KEYS; i++)
        atomic_store(&times_done[i], 0);
    atomic_store(&failures, 0);
}

static void tear_down(void)
{
}

static void make_key(char key[16], int which)
{
    (void)snprintf(key, 16, "key-%d", which);
}

static bool do_once(idem_store *store, int which)
{
    char key[16];
    char response[16];
    idem_outcome out;
    make_key(key, which);
    (void)snprintf(response, sizeof response, "%d", which);
    if (idem_begin(store,
                   IDEM_REQUEST(.key = idem_str(key), .wait_ms = 20000, .timeout_ms = 20000,
                                .lease_ms = LONG_MS),
                   &out, NULL) != IDEM_OK)
        return false;
    bool right = false;
    if (out.kind == IDEM_NEW) {
        (void)atomic_fetch_add(&times_done[which], 1);
        right = idem_complete(store, out.claim, idem_str(response), NULL) == IDEM_OK;
    } else if (out.kind == IDEM_COMPLETED) {
        right = out.response.len == strlen(response) &&
                memcmp(out.response.data, response, out.response.len) == 0;
    }
    idem_outcome_clear(&out);
    return right;
}

static void *work(void *user)
{
    const worker *self = user;
    for (int i = 0; i < KEYS; i++) {
        if (!do_once(self->store, (int)(((unsigned)i + self->number * 7u) % KEYS)))
            (void)atomic_fetch_add(&failures, 1);
    }
    return NULL;
}

static void let_all_work(idem_store *store)
{
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (worker){store, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(atomic_load(&failures), 0);
    for (int i = 0; i < KEYS; i++)
        ck_assert_int_eq(atomic_load(&times_done[i]), 1);
}

START_TEST(sixty_four_threads_do_each_key_once)
{
    const char *const urls[] = {redis.url, redis.unix_url};
    idem_store *store = open_url(urls[_i], "");
    let_all_work(store);
    idem_close(store);
}
END_TEST

/* Connections that end under way cost time and nothing else. */
START_TEST(sixty_four_threads_do_each_key_once_over_a_bad_network)
{
    proxy *between = proxy_start(redis.port);
    idem_store *store = open_url(proxy_url(between), "timeout=20s");
    for (int i = 0; i < 4; i++) {
        proxy_add(between, (proxy_rule){.match = i % 2 ? "Completed" : "InProgress",
                                        .action = i < 2 ? PROXY_LOSE_REPLY : PROXY_CLOSE,
                                        .times = 3,
                                        .skip = 20 + 30 * i});
    }
    let_all_work(store);
    ck_assert_int_eq(proxy_hits(between), 12);
    idem_close(store);
    proxy_stop(between);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis threads");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, sixty_four_threads_do_each_key_once, 2);
    ADD_HERE(suite, sixty_four_threads_do_each_key_once_over_a_bad_network, 1);
    return run_suite(suite);
}
