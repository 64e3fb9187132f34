/* SPDX-License-Identifier: MIT */
/* A SQLite file in the run's folder, or a redis-server of the run's own. */
#include "backend.h"

#include <stdio.h>
#include <string.h>

#ifdef WITH_REDIS
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
    (void)snprintf(url, size, "sqlite://%s/store.db", folder);
    return strcmp(name, "sqlite") == 0;
}

bool backend_uses_wall_clock(const char *name)
{
    return strcmp(name, "redis") == 0;
}

void backend_stop(void)
{
#ifdef WITH_REDIS
    stop_redis();
#endif
}
