/* SPDX-License-Identifier: MIT */
/* The suite on rediss://host:port. */
#include "conformance_redis.h"
#include "tls_server.h"

#include <stdio.h>
#include <string.h>

static tls_server secure;

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    char all[600];
    char base[SERVER_URL_SIZE];
    const char *own = strchr(secure.url, '?');
    (void)snprintf(base, sizeof base, "%.*s", (int)(own - secure.url), secure.url);
    (void)snprintf(all, sizeof all, "%s&%s", own + 1, params ? params : "");
    if (!params || !*params)
        all[strlen(all) - 1] = '\0';
    return conformance_open_url(base, all, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("rediss://127.0.0.1:1?timeout=300ms", store, error);
}

static void flush(void)
{
    server_do(&secure.plain, "FLUSHALL");
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "rediss",
        .lacks = REDIS_LACKS,
        .fresh = flush,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
    };
    (void)empty_server;
    server_require();
    tls_server_start(&secure, "server", NULL);
    int rc = conformance_main(&backend);
    server_remove(&secure.plain);
    return rc;
}
