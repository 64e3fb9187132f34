/* SPDX-License-Identifier: MIT */
/*
 * A SQLite file in the run's folder, a redis-server of the run's own, one with replicas and
 * sentinels or a cluster (failovers.c), or a pair of PostgreSQL servers. Of that pair again and
 * again the primary is killed, the standby promoted, and the old one made its standby. It is
 * synchronous, and nothing is lost; or it is not, and is cut off for a while before the primary is
 * killed: then what was acknowledged meanwhile is lost, and the checker has to find it.
 */
#include "backend.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#ifdef WITH_REDIS
#include "failovers.h"
#include "server.h"

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
    failovers_stop();
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
    if (strcmp(name, "sentinel") == 0 || strcmp(name, "cluster") == 0)
        return failovers_start(name, url, size);
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
    return failovers_disturb(window);
#else
    (void)window;
    return false;
#endif
}

bool backend_close(backend_window *window)
{
#ifdef WITH_REDIS
    return failovers_close(window);
#else
    (void)window;
    return false;
#endif
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
    unsigned count = 0;
#ifdef WITH_REDIS
    count += failovers_count();
#endif
#ifdef WITH_POSTGRES
    count += postgres.failovers;
#endif
    return count;
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
