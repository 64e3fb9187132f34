/* SPDX-License-Identifier: MIT */
/* The suite on redis+unix:///path/of.sock. */
#include "conformance_redis.h"

int main(void)
{
    static const conformance_backend backend = {
        .name = "redis+unix",
        .lacks = REDIS_LACKS,
        .fresh = empty_server,
    };
    server_require();
    server_start(&redis, NULL);
    return conformance_main(conformance_at(
        &backend, redis.unix_url, "redis+unix:///dev/null/no-such-folder/sock?timeout=300ms"));
}
