/* SPDX-License-Identifier: MIT */
/* The suite on rediss://host:port. */
#include "conformance_redis.h"
#include "tls_server.h"

static tls_server secure;

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
    };
    server_require();
    tls_server_start(&secure, "server", NULL);
    int rc = conformance_main(
        conformance_at(&backend, secure.url, "rediss://127.0.0.1:1?timeout=300ms"));
    server_remove(&secure.plain);
    return rc;
}
