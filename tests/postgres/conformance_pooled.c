/* SPDX-License-Identifier: MIT */
/* The suite behind pgbouncer in transaction mode, whose sessions are whoever's transaction
   comes next. */
#include "conformance_pg.h"
#include "pooler.h"

static char url[PG_URL_SIZE];

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return open_with_params(url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("postgresql:///postgres?host=/dev/null/no-such-folder", store, error);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "postgresql behind pgbouncer",
        .lacks = PG_LACKS,
        .fresh = drop_table,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
    };
    pg_require();
    pooler_require();
    pg_start(&server, NULL);
    pooler_start(&server, "transaction", url, sizeof url);
    int code = conformance_main(&backend);
    pooler_stop();
    return code;
}
