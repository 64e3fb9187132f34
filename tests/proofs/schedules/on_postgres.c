/* SPDX-License-Identifier: MIT */
/* The schedules on faulty+postgresql:. */
#include "schedules.h"

#include "conformance_pg.h"

static char url[sizeof server.url + sizeof WRAPPED_BY];

static void fresh(void)
{
    faulty_clear();
    drop_table();
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "schedules on postgresql",
        .lacks = PG_LACKS | CONFORMANCE_UNREACHABLE,
        .fresh = fresh,
    };
    pg_require();
    pg_start(&server, NULL);
    (void)snprintf(url, sizeof url, WRAPPED_BY "%s", server.url);
    return schedules_main(conformance_at(&backend, url, NULL));
}
