/* SPDX-License-Identifier: MIT */
/* One server; each place is a prefix. */
#include "place.h"

#include "server.h"

#include <stdio.h>

static server redis;

void place_start(void)
{
    server_require();
    server_start(&redis, NULL);
}

void place_url(char *url, size_t size, const char *wrapper, const char *name)
{
    (void)snprintf(url, size, "%s%s?prefix=%s:&", wrapper, redis.unix_url, name);
}

void place_end(void)
{
    server_remove(&redis);
}
