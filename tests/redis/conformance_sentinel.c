/* SPDX-License-Identifier: MIT */
/* The suite on redis+sentinel://: three servers and three sentinels. */
#include "conformance_redis.h"
#include "sentinel_set.h"

static sentinel_set set;

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
    };
    server_require();
    sentinel_set_start(&set, SENTINEL_SET_CALM_MS);
    int rc = conformance_main(
        conformance_at(&backend, set.url, "redis+sentinel://127.0.0.1:1/shop?timeout=300ms"));
    sentinel_set_remove(&set);
    return rc;
}
