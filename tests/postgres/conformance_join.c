/* SPDX-License-Identifier: MIT */
/* The suite on idem_postgres_open_on(): each handle on a connection of the caller's own,
   outside of any transaction. From the third handle on they share one connection. */
#include "conformance_pg.h"

#include <idem/postgres.h>

#define CONNECTIONS 3u

static PGconn *connections[CONNECTIONS];
static unsigned opened;

static void fresh(void)
{
    drop_table();
    opened = 0;
}

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    unsigned index = opened < CONNECTIONS ? opened++ : CONNECTIONS - 1;
    (void)options; /* a store on a connection is opened without any */
    if (!connections[index])
        connections[index] = pg_connect(&server);
    return idem_postgres_open_on(connections[index], params, store, error);
}

/* A connection that is not there any more. */
static int open_unreachable(idem_store **store, idem_error *error)
{
    PGconn *none = PQconnectdb("host=/dev/null/no-such-folder");
    int rc = idem_postgres_open_on(none, NULL, store, error);
    PQfinish(none);
    return rc;
}

static void cleanup(void)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        PQfinish(connections[i]);
        connections[i] = NULL;
    }
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "postgres_join",
        .lacks = PG_LACKS | IDEM_TRAIT_KEEPALIVE | CONFORMANCE_THREADS | CONFORMANCE_FORK |
                 CONFORMANCE_OPTIONS,
        .fresh = fresh,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = cleanup,
    };
    pg_require();
    pg_start(&server, NULL);
    return conformance_main(&backend);
}
