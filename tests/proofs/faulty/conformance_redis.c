/* SPDX-License-Identifier: MIT */
/* The suite on faulty+redis+unix:///path/of.sock. */
#include "conformance_wrapped.h"

#include "conformance_redis.h"

static char url[sizeof redis.unix_url + sizeof WRAPPED_BY];

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open(WRAPPED_BY "redis+unix:///dev/null/no-such-folder/sock?timeout=300ms", store,
                     error);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "faulty+redis+unix",
        .lacks = REDIS_LACKS,
        .fresh = empty_server,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
        .add_own = wrapped_add_own,
    };
    server_require();
    server_start(&redis, NULL);
    (void)snprintf(url, sizeof url, WRAPPED_BY "%s", redis.unix_url);
    return wrapped_main(&backend);
}
