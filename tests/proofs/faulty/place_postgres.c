/* SPDX-License-Identifier: MIT */
/* One server; each place is a prefix. */
#include "place.h"

#include "pg.h"

#include <stdio.h>

static pg_server server;

void place_start(void)
{
    pg_require();
    pg_start(&server, NULL);
}

void place_url(char *url, size_t size, const char *wrapper, const char *name)
{
    (void)snprintf(url, size, "%s%s&prefix=%s:&", wrapper, server.url, name);
}

void place_end(void)
{
    pg_remove(&server);
}
