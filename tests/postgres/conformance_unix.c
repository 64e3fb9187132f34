/* SPDX-License-Identifier: MIT */
/* The suite on postgresql:///database over a unix socket. */
#include "conformance_pg.h"

int main(void)
{
    static const conformance_backend backend = {
        .name = "postgresql",
        .lacks = PG_LACKS,
        .fresh = drop_table,
    };
    pg_require();
    pg_start(&server, NULL);
    return conformance_main(conformance_at(&backend, server.url,
                                           "postgresql:///postgres?host=/dev/null/no-such-folder"));
}
