/* SPDX-License-Identifier: MIT */
/* The suite on redis+sentinel://: three servers and three sentinels. */
#include "conformance_redis.h"
#include "sentinel_set.h"

static sentinel_set set;

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(set.url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("redis+sentinel://127.0.0.1:1/shop?timeout=300ms", store, error);
}

static void flush(void)
{
    server_do(&set.nodes[0], "FLUSHALL");
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "redis+sentinel",
        .lacks = REDIS_LACKS,
        .fresh = flush,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
    };
    (void)empty_server;
    server_require();
    sentinel_set_start(&set, SENTINEL_SET_CALM_MS);
    int rc = conformance_main(&backend);
    sentinel_set_remove(&set);
    return rc;
}
