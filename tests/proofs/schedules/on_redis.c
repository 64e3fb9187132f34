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

int main(void)
{
    static const conformance_backend backend = {
        .name = "schedules on redis",
        .lacks = REDIS_LACKS | CONFORMANCE_UNREACHABLE,
        .fresh = fresh,
    };
    server_require();
    server_start(&redis, NULL);
    (void)snprintf(url, sizeof url, WRAPPED_BY "%s", redis.unix_url);
    return schedules_main(conformance_at(&backend, url, NULL));
}
