/* SPDX-License-Identifier: MIT */
/* The suite on postgres://host:port/database. */
#include "conformance_pg.h"

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return open_with_params(server.tcp_url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("postgres://127.0.0.1:1/postgres", store, error);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "postgresql over TCP",
        .lacks = PG_LACKS,
        .fresh = drop_table,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
    };
    pg_require();
    pg_start(&server, NULL);
    return conformance_main(&backend);
}
