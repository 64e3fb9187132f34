/* SPDX-License-Identifier: MIT */
/* A store that reaches its server through a proxy, between set_up() and tear_down(). */
#ifndef IDEM_TESTS_BETWEEN_H
#define IDEM_TESTS_BETWEEN_H

#include "proxy.h"
#include "redis_test.h"

#define SET_NX_GET "\r\nNX\r\n$3\r\nGET\r\n"
#define SCRIPT     "EVALSHA"
#define COMPLETED  "Completed"

static server redis;
static proxy *between;
static idem_store *store;
static int retries;

static inline void count_retry(void *user, const idem_event *event)
{
    (void)user;
    retries += event->kind == IDEM_EVENT_RETRY;
}

static inline idem_store *open_between(const char *params)
{
    idem_options options = {.size = sizeof options, .on_event = count_retry};
    return open_hasty(proxy_url(between), *params ? params : PATIENT, &options);
}

static inline void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    retries = 0;
    between = proxy_start(redis.port);
    store = open_between("");
    /* The server knows the scripts from here on. */
    complete(store, "warm-up", "1");
    idem_outcome out = claim(store, "warm-up-2");
    assert_begin(store, "warm-up-2", IDEM_IN_PROGRESS);
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
    ck_assert_int_eq(proxy_connections(between), 1);
}

static inline void tear_down(void)
{
    idem_close(store);
    proxy_stop(between);
}

static inline void once(const char *match, proxy_action action)
{
    proxy_add(between, (proxy_rule){.match = match, .action = action, .times = 1});
}

static inline void always(const char *match, proxy_action action, const char *text)
{
    proxy_add(between,
              (proxy_rule){.match = match, .action = action, .times = PROXY_ALWAYS, .text = text});
}

#endif
