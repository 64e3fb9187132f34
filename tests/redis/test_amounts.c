/* SPDX-License-Identifier: MIT */
/*
 * Large answers, many at once: neither the server's memory nor this process's holds more than some
 * of them, and nobody else is told that the server is full because of them.
 */
#include "proxy.h"
#include "redis_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define TOGETHER   32
#define LARGE      ((size_t)4 << 20)
#define OUTPUT_MAX ((long long)96 << 20) /* of the server's answers that wait to be taken */

static server redis;
static char keys[TOGETHER][16];

static void set_up(void)
{
    server_start(&redis, NULL);
    for (size_t i = 0; i < TOGETHER; i++)
        (void)snprintf(keys[i], sizeof keys[i], "key-%zu", i);
}

static void tear_down(void)
{
    server_remove(&redis);
}

/* Records without the library, which would know then how long they are. */
static void store_large(void)
{
    static const char script[] =
        "local s = string.rep('x', tonumber(ARGV[1]))\n"
        "for i = 0, ARGV[2] - 1 do redis.call('SET', 'key-' .. i, "
        "'{\"version\":\"00000000deadbeef\",\"status\":\"Completed\","
        "\"created_at\":\"2026-11-23T16:00:00.000Z\",\"updated_at\":\"2026-11-23T16:00:01.250Z\","
        "\"attempt\":1,\"lease_ms\":60000,\"ttl_ms\":600000,"
        "\"token\":\"30313233343536373839616263646566\",\"response\":\"' .. s .. '\"}', "
        "'PX', 600000) end";
    server_do(&redis, "EVAL %s 0 %d %d", script, (int)LARGE, TOGETHER);
}

/* Fills the connection's experience with short answers. */
static void answer_shortly(idem_store *store)
{
    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "short-%d", i);
        complete(store, key, "1");
    }
}

static int begin_all(idem_store *store, idem_error errors[TOGETHER])
{
    idem_request requests[TOGETHER];
    idem_outcome outcomes[TOGETHER];
    for (size_t i = 0; i < TOGETHER; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
        requests[i].timeout_ms = 60000;
    }
    int rc = idem_begin_many(store, requests, TOGETHER, outcomes, errors, &err);
    for (size_t i = 0; i < TOGETHER; i++) {
        if (rc == IDEM_OK) {
            ck_assert_int_eq(outcomes[i].kind, IDEM_COMPLETED);
            ck_assert_uint_eq(outcomes[i].response.len, LARGE + 2);
        }
        idem_outcome_clear(&outcomes[i]);
    }
    return rc;
}

/* Their answers together are more than the memory that is left. */
START_TEST(large_replays_at_once_do_not_fill_the_server)
{
    idem_error errors[TOGETHER];
    idem_store *store = open_url(redis.url, "");
    store_large();
    if (_i)
        answer_shortly(store);
    long long used = server_info(&redis, "memory", "used_memory");
    server_do(&redis, "CONFIG SET maxmemory %lld", used + ((long long)24 << 20));
    int rc = begin_all(store, errors);
    ck_assert_msg(rc == IDEM_OK, "%d: %s", rc, err.message);
    idem_close(store);
}
END_TEST

typedef struct {
    atomic_bool ending;
    long long most;
    unsigned refused;
    unsigned claimed;
} neighbour;

/* Claims small keys while others read large ones. */
static void *claim_beside(void *user)
{
    neighbour *self = user;
    idem_store *store = NULL;
    idem_error error;
    char url[SERVER_URL_SIZE + 16];
    (void)snprintf(url, sizeof url, "%s?timeout=30s", redis.url);
    if (idem_open(url, &store, &error))
        return NULL;
    for (int i = 0; !atomic_load(&self->ending); i++) {
        char key[32];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "beside-%d", i);
        int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, &error);
        self->refused += rc != IDEM_OK;
        self->claimed += rc == IDEM_OK;
        idem_outcome_clear(&out);
        long long now = server_info(&redis, "memory", "mem_clients_normal");
        self->most = now > self->most ? now : self->most;
    }
    idem_close(store);
    return NULL;
}

START_TEST(large_replays_leave_room_for_others)
{
    idem_error errors[TOGETHER];
    pthread_t thread;
    neighbour beside = {.most = 0};
    idem_store *store = open_url(redis.url, "");
    store_large();
    complete(store, "one", "1");
    ck_assert_int_eq(begin_all(store, errors), IDEM_OK); /* it knows now how long they are */
    long long used = server_info(&redis, "memory", "used_memory");
    server_do(&redis, "CONFIG SET maxmemory %lld", used + ((long long)48 << 20));
    ck_assert_int_eq(pthread_create(&thread, NULL, claim_beside, &beside), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(begin_all(store, errors), IDEM_OK);
    atomic_store(&beside.ending, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(beside.refused, 0);
    ck_assert_uint_gt(beside.claimed, 0);
    ck_assert_msg(beside.most < OUTPUT_MAX / 2, "%lld", beside.most);
    idem_close(store);
}
END_TEST

/* A server that closes connections with so much to answer is asked for less each time. */
START_TEST(a_server_that_limits_a_clients_answers_gives_all_of_them)
{
    idem_error errors[TOGETHER];
    idem_store *store = open_url(redis.url, "");
    store_large();
    if (_i)
        answer_shortly(store);
    server_do(&redis, "CONFIG SET client-output-buffer-limit %s", "normal 10mb 10mb 60");
    int rc = begin_all(store, errors);
    ck_assert_msg(rc == IDEM_OK, "%d: %s", rc, err.message);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis amounts");
    server_require();
    ADD_HERE(suite, large_replays_at_once_do_not_fill_the_server, 2);
    ADD_HERE(suite, large_replays_leave_room_for_others, 1);
    ADD_HERE(suite, a_server_that_limits_a_clients_answers_gives_all_of_them, 2);
    return run_suite(suite);
}
