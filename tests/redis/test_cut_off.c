/* SPDX-License-Identifier: MIT */
/*
 * redis+sentinel:// where the network between the callers and the primary is cut, and the one
 * between the sentinels and the primary is not: there is no failover, and nothing but the deadline
 * ends a call. A sentinel is asked through a proxy, which names a relay in front of the primary.
 */
#include "proxy.h"
#include "redis_test.h"
#include "relay.h"
#include "sentinel_set.h"

#include <pthread.h>
#include <stdlib.h>

#define HASTE_MS 400

static server primary;
static server replica;
static server sentinel;
static relay *line; /* from the callers to the primary */
static proxy *asked;
static char named[64]; /* the sentinel's answer, with the relay's address */

static const struct {
    relay_fault fault;
    relay_way way; /* that is cut; with the server's the call is carried out */
} cuts[] = {
    {RELAY_STALL, RELAY_TO_SERVER}, {RELAY_STALL, RELAY_TO_CLIENT}, {RELAY_RESET, RELAY_TO_SERVER},
    {RELAY_RESET, RELAY_TO_CLIENT}, {RELAY_CLOSE, RELAY_TO_CLIENT},
};

static void set_up(void)
{
    char port[16];
    server_do(&primary, "FLUSHALL");
    line = relay_start(primary.port, 1);
    asked = proxy_start(sentinel.port);
    int len = snprintf(port, sizeof port, "%d", relay_port(line));
    (void)snprintf(named, sizeof named, "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", len, port);
    proxy_add(asked, (proxy_rule){.match = "GET-MASTER-ADDR",
                                  .action = PROXY_REWRITE,
                                  .times = PROXY_ALWAYS,
                                  .text = named});
}

static void tear_down(void)
{
    relay_stop(line);
    proxy_stop(asked);
}

static idem_store *open_through(const char *params)
{
    char url[100];
    (void)snprintf(url, sizeof url, "redis+sentinel://%s/" SENTINEL_SET_MASTER,
                   strrchr(proxy_url(asked), '/') + 1);
    return open_url(url, params);
}

static void assert_no_failover(void)
{
    redisReply *reply = server_ask(&sentinel, "SENTINEL MASTER " SENTINEL_SET_MASTER);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        if (strcmp(reply->element[i]->str, "flags") == 0)
            ck_assert_str_eq(reply->element[i + 1]->str, "master");
        if (strcmp(reply->element[i]->str, "port") == 0)
            ck_assert_int_eq(atoi(reply->element[i + 1]->str), primary.port);
    }
    ck_assert_int_eq(reply->type, REDIS_REPLY_ARRAY);
    freeReplyObject(reply);
}

static void *heal_later(void *user)
{
    (void)user;
    wait_ms(2 * HASTE_MS);
    (void)relay_disarm(line);
    return NULL;
}

/* Within the deadline it is a pause, and beyond it an error that tells what is known. */
START_TEST(a_cut_that_no_sentinel_sees_ends_with_the_deadline_and_loses_nothing)
{
    pthread_t healer;
    idem_outcome out;
    static const uint8_t token[] = TOKEN;
    idem_store *patient = open_through("");
    idem_store *hasty = open_through("timeout=400ms");
    idem_outcome held = claim(patient, "held");
    complete(hasty, "before", "1");
    idem_request request;
    idem_request_init(&request);
    request.key = idem_str(KEY);
    request.token = token;
    relay_arm(line, cuts[_i].fault, cuts[_i].way, 0, true);
    int rc = IDEM_OK;
    assert_in_time(HASTE_MS, rc = idem_begin(hasty, &request, &out, &err));
    /* It was sent on a connection that was sound until then. */
    ck_assert_msg(rc == IDEM_ERR_UNCERTAIN, "%d: %s", rc, err.message);
    assert_no_failover();
    ck_assert_int_eq(pthread_create(&healer, NULL, heal_later, NULL), 0);
    assert_ok(idem_complete(patient, held.claim, idem_str("7"), &err));
    (void)pthread_join(healer, NULL);
    request.timeout_ms = 30000;
    assert_ok(idem_begin(hasty, &request, &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
    idem_outcome_clear(&held);
    assert_begin(patient, KEY, IDEM_IN_PROGRESS);
    assert_replays(patient, "held", "7");
    assert_no_failover();
    idem_close(hasty);
    idem_close(patient);
}
END_TEST

/* The sentinel is asked for as long as the cut lasts, with pauses, and is always believed. */
START_TEST(a_cut_is_no_reason_to_ask_without_end)
{
    idem_outcome out;
    idem_store *hasty = open_through("timeout=400ms");
    complete(hasty, "before", "1");
    int connections = proxy_connections(asked);
    relay_arm(line, RELAY_RESET, RELAY_TO_SERVER, 0, true);
    int rc = idem_begin(hasty, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err);
    ck_assert_int_eq(rc, IDEM_ERR_UNCERTAIN);
    ck_assert_int_gt(proxy_connections(asked), connections);
    ck_assert_int_lt(proxy_connections(asked), connections + 60);
    (void)relay_disarm(line);
    idem_close(hasty);
}
END_TEST

int main(void)
{
    char settings[600];
    Suite *suite = suite_create("redis cut off");
    server_require();
    server_start(&primary, NULL);
    server_start(&replica, NULL);
    server_do(&replica, "REPLICAOF 127.0.0.1 %d", primary.port);
    sentinel_set_watch(settings, sizeof settings, "127.0.0.1", primary.port);
    server_start_sentinel(&sentinel, settings);
    ADD_HERE(suite, a_cut_that_no_sentinel_sees_ends_with_the_deadline_and_loses_nothing,
             sizeof cuts / sizeof *cuts);
    ADD_HERE(suite, a_cut_is_no_reason_to_ask_without_end, 1);
    return run_suite(suite);
}
