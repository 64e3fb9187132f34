/* SPDX-License-Identifier: MIT */
/* The suite on redis://host:port. */
#include "conformance_redis.h"

int main(void)
{
    static const conformance_backend backend = {
        .name = "redis",
        .lacks = REDIS_LACKS,
        .fresh = empty_server,
    };
    server_require();
    server_start(&redis, NULL);
    return conformance_main(
        conformance_at(&backend, redis.url, "redis://127.0.0.1:1?timeout=300ms"));
}
