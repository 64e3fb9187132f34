/* SPDX-License-Identifier: MIT */
/* The suite behind pgbouncer in transaction mode, whose sessions are whoever's transaction
   comes next. */
#include "conformance_pg.h"
#include "pooler.h"

static char url[PG_URL_SIZE];

int main(void)
{
    static const conformance_backend backend = {
        .name = "postgresql behind pgbouncer",
        .lacks = PG_LACKS,
        .fresh = drop_table,
    };
    pg_require();
    pooler_require();
    pg_start(&server, NULL);
    pooler_start(&server, "transaction", url, sizeof url);
    int code = conformance_main(
        conformance_at(&backend, url, "postgresql:///postgres?host=/dev/null/no-such-folder"));
    pooler_stop();
    return code;
}
