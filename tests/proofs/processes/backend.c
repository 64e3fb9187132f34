/* SPDX-License-Identifier: MIT */
/*
 * A SQLite file in the run's folder, a redis-server of the run's own, one with replicas and
 * sentinels, a cluster, or a pair of PostgreSQL servers. Sentinels and clusters fail over now and
 * then: by command, and by a stop that lasts too long. A cluster's slots are moved besides, which
 * may lose nothing. Of PostgreSQL's pair
 * again and again the primary is killed, the standby promoted, and the old one made its standby. It
 * is synchronous, and nothing is lost; or it is not, and is cut off for a while before the primary
 * is killed: then what was acknowledged meanwhile is lost, and the checker has to find it.
 */
#include "backend.h"

#include "stamp.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CALM_US 8000000u /* between two failovers */
#define PAIRS   3u       /* masters of a cluster, and as many replicas */
#define MOVED   2u       /* slots at a time */

#ifdef WITH_REDIS
#include "cluster_set.h"
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

static cluster_set cluster;
static bool clustered;
static unsigned moves;

static void start_cluster(char *url, size_t size)
{
    server_require();
    cluster_start(&cluster, PAIRS, 1, NULL);
    clustered = true;
    calm_since = stamp_us();
    (void)snprintf(url, size, "%s", cluster.url);
}

/* Of a master and its replica, which are a pair of nodes, the other one takes over. */
static void fail_over_pair(size_t pair, bool by_stop)
{
    size_t old = cluster_is_master(&cluster, pair) ? pair : pair + PAIRS;
    size_t new = old == pair ? pair + PAIRS : pair;
    cluster_await_replicas(&cluster, old, 1);
    if (by_stop)
        (void)kill(cluster.nodes[old].pid, SIGSTOP);
    else
        server_do(&cluster.nodes[new], "CLUSTER FAILOVER");
    cluster_await_role(&cluster, new, true);
    if (by_stop)
        (void)kill(cluster.nodes[old].pid, SIGCONT);
    cluster_await_role(&cluster, old, false);
}

/* Slots from one pair to the next: each has keys of the run in it. */
static void move_slots(void)
{
    for (unsigned i = 0; i < MOVED; i++) {
        unsigned slot = (moves++ * 257u) % CLUSTER_SLOTS;
        size_t from = cluster_owner(&cluster, slot);
        size_t pair = (from % PAIRS + 1) % PAIRS;
        size_t to = cluster_is_master(&cluster, pair) ? pair : pair + PAIRS;
        cluster_move(&cluster, slot, from, to);
    }
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
    if (clustered)
        cluster_remove(&cluster);
}
#endif

#ifdef WITH_POSTGRES
#include "pg.h"

#include <signal.h>

#define PEACE_US UINT64_C(2500000)
#define APART_US UINT64_C(500000)

static struct {
    pg_server pair[2];
    unsigned primary; /* which of the two */
    bool synchronous;
    bool apart; /* the standby hears nothing any more */
    uint64_t next_us;
    unsigned failovers;
} postgres;

static void follow_up(void)
{
    const pg_server *primary = &postgres.pair[postgres.primary];
    if (!postgres.synchronous) {
        pg_await(primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", 1);
        return;
    }
    pg_do(primary, "ALTER SYSTEM SET synchronous_standby_names = 'second'");
    pg_do(primary, "SELECT pg_reload_conf()");
    pg_await(primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1);
}

static void start_postgres(bool synchronous, char *url, size_t size)
{
    pg_require();
    postgres.synchronous = synchronous;
    pg_start(&postgres.pair[0], NULL);
    pg_start_standby(&postgres.pair[1], &postgres.pair[0], "second");
    follow_up();
    (void)snprintf(url, size,
                   "postgresql://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&"
                   "gssencmode=disable&timeout=60s",
                   postgres.pair[0].port, postgres.pair[1].port);
}

static void promote_standby(void)
{
    pg_server *old = &postgres.pair[postgres.primary];
    pg_server *fresh = &postgres.pair[1 - postgres.primary];
    pg_stop(old, SIGKILL);
    pg_promote(fresh);
    postgres.primary = 1 - postgres.primary;
    pg_follow(old, fresh, "second");
    follow_up();
    postgres.failovers++;
}

static void tend_postgres(uint64_t now_us)
{
    if (postgres.next_us == 0)
        postgres.next_us = now_us + PEACE_US;
    if (now_us < postgres.next_us)
        return;
    if (!postgres.synchronous && !postgres.apart) {
        pg_do(&postgres.pair[1 - postgres.primary], "ALTER SYSTEM SET primary_conninfo = ''");
        pg_do(&postgres.pair[1 - postgres.primary], "SELECT pg_reload_conf()");
        pg_await(&postgres.pair[postgres.primary], "SELECT count(*) FROM pg_stat_replication", 0);
        postgres.apart = true;
        postgres.next_us = now_us + APART_US;
        return;
    }
    promote_standby();
    postgres.apart = false;
    postgres.next_us = 0;
}

static void stop_postgres(void)
{
    for (int i = 0; i < 2; i++) {
        if (postgres.pair[i].owner)
            pg_remove(&postgres.pair[i]);
    }
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
    if (strcmp(name, "cluster") == 0) {
        start_cluster(url, size);
        return true;
    }
#endif
#ifdef WITH_POSTGRES
    if (strncmp(name, "postgres", 8) == 0) {
        start_postgres(strcmp(name, "postgres") == 0, url, size);
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
    bool due = stamp_us() - calm_since >= CALM_US;
    if (clustered && !due)
        move_slots();
    if ((watched || clustered) && due) {
        bool by_stop = failovers % 2 != 0;
        window->from = stamp_us();
        if (clustered)
            fail_over_pair(failovers % PAIRS, by_stop);
        else
            fail_over(by_stop);
        failovers++;
        window->to = stamp_us();
        calm_since = window->to;
        return true;
    }
#endif
    (void)window;
    return false;
}

void backend_tend(uint64_t now_us)
{
#ifdef WITH_POSTGRES
    if (postgres.pair[0].owner)
        tend_postgres(now_us);
#else
    (void)now_us;
#endif
}

unsigned backend_failovers(void)
{
#ifdef WITH_POSTGRES
    return postgres.failovers;
#else
    return 0;
#endif
}

void backend_stop(void)
{
#ifdef WITH_REDIS
    stop_redis();
#endif
#ifdef WITH_POSTGRES
    stop_postgres();
#endif
}
