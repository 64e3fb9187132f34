/* SPDX-License-Identifier: MIT */
/* The suite on faulty+redis+unix:///path/of.sock. */
#include "conformance_wrapped.h"

#include "conformance_redis.h"

static char url[sizeof redis.unix_url + sizeof WRAPPED_BY];

int main(void)
{
    static const conformance_backend backend = {
        .name = "faulty+redis+unix",
        .lacks = REDIS_LACKS,
        .fresh = empty_server,
        .add_own = wrapped_add_own,
    };
    server_require();
    server_start(&redis, NULL);
    (void)snprintf(url, sizeof url, WRAPPED_BY "%s", redis.unix_url);
    return wrapped_main(conformance_at(
        &backend, url, WRAPPED_BY "redis+unix:///dev/null/no-such-folder/sock?timeout=300ms"));
}
