/* SPDX-License-Identifier: MIT */
/* The schedules on faulty+redis+unix:. */
#include "schedules.h"

#include "conformance_redis.h"

#include <stdio.h>

static char url[sizeof redis.unix_url + sizeof WRAPPED_BY];

static void fresh(void)
{
    faulty_clear();
    empty_server();
}

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(url, params, options, store, error);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "schedules on redis",
        .lacks = REDIS_LACKS | CONFORMANCE_UNREACHABLE,
        .fresh = fresh,
        .open = open_store,
        .cleanup = nothing,
    };
    server_require();
    server_start(&redis, NULL);
    (void)snprintf(url, sizeof url, WRAPPED_BY "%s", redis.unix_url);
    return schedules_main(&backend);
}
