/* SPDX-License-Identifier: MIT */
/* The suite on postgres://host:port/database. */
#include "conformance_pg.h"

int main(void)
{
    static const conformance_backend backend = {
        .name = "postgresql over TCP",
        .lacks = PG_LACKS,
        .fresh = drop_table,
    };
    pg_require();
    pg_start(&server, NULL);
    return conformance_main(
        conformance_at(&backend, server.tcp_url, "postgres://127.0.0.1:1/postgres"));
}
