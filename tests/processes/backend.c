/* SPDX-License-Identifier: MIT */
/* A SQLite file in the run's folder, a redis-server of the run's own, or one with replicas and
   sentinels, which fails over now and then: by command, and by a stop that lasts too long. */
#include "backend.h"

#include "stamp.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CALM_US 8000000u /* between two failovers */

#ifdef WITH_REDIS
#include "sentinel_set.h"
#include "server.h"

static sentinel_set set;
static bool watched; /* by sentinels */
static unsigned failovers;
static uint64_t calm_since;

static void start_set(char *url, size_t size)
{
    server_require();
    sentinel_set_start(&set, SENTINEL_SET_HURRIED_MS);
    watched = true;
    calm_since = stamp_us();
    (void)snprintf(url, size, "%s", set.url);
}

/* Until all sentinels name the new one, and the old one has given up. */
static void fail_over(bool by_stop)
{
    int old = sentinel_set_named(&set, &set.sentinels[0]);
    if (by_stop)
        (void)kill(set.nodes[old].pid, SIGSTOP);
    else
        (void)sentinel_set_fail_over(&set);
    for (int i = 0; i < SENTINEL_SET_NODES; i++)
        (void)sentinel_set_await_other(&set, &set.sentinels[i], old);
    if (by_stop)
        (void)kill(set.nodes[old].pid, SIGCONT);
    sentinel_set_await_role(&set.nodes[old], "slave");
}

static server redis;

static void start_redis(char *url, size_t size)
{
    server_require();
    server_start(&redis, NULL);
    (void)snprintf(url, size, "%s", redis.unix_url);
}

static void stop_redis(void)
{
    if (redis.pid > 0)
        server_remove(&redis);
    if (watched)
        sentinel_set_remove(&set);
}
#endif

bool backend_start(const char *name, const char *folder, char *url, size_t size)
{
#ifdef WITH_REDIS
    if (strcmp(name, "redis") == 0) {
        start_redis(url, size);
        return true;
    }
#endif
#ifdef WITH_REDIS
    if (strcmp(name, "sentinel") == 0) {
        start_set(url, size);
        return true;
    }
#endif
    (void)snprintf(url, size, "sqlite://%s/store.db", folder);
    return strcmp(name, "sqlite") == 0;
}

bool backend_uses_wall_clock(const char *name)
{
    return strcmp(name, "sqlite") != 0;
}

bool backend_disturb(backend_window *window)
{
#ifdef WITH_REDIS
    if (watched && stamp_us() - calm_since >= CALM_US) {
        window->from = stamp_us();
        fail_over(failovers++ % 2 != 0);
        window->to = stamp_us();
        calm_since = window->to;
        return true;
    }
#endif
    (void)window;
    return false;
}

void backend_stop(void)
{
#ifdef WITH_REDIS
    stop_redis();
#endif
}
