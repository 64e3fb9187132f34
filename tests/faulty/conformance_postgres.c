/* SPDX-License-Identifier: MIT */
/* The suite on faulty+postgresql:. */
#include "conformance_wrapped.h"

#include "conformance_pg.h"

static char url[sizeof server.url + sizeof WRAPPED_BY];

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return open_with_params(url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open(WRAPPED_BY "postgresql:///postgres?host=/dev/null/no-such-folder", store,
                     error);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "faulty+postgresql",
        .lacks = PG_LACKS,
        .fresh = drop_table,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
        .add_own = wrapped_add_own,
    };
    pg_require();
    pg_start(&server, NULL);
    (void)snprintf(url, sizeof url, WRAPPED_BY "%s", server.url);
    return wrapped_main(&backend);
}
