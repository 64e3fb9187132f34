/* SPDX-License-Identifier: MIT */
/* The suite on redis://host:port. */
#include "conformance_redis.h"

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(redis.url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("redis://127.0.0.1:1?timeout=300ms", store, error);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "redis",
        .lacks = REDIS_LACKS,
        .fresh = empty_server,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
    };
    server_require();
    server_start(&redis, NULL);
    return conformance_main(&backend);
}
