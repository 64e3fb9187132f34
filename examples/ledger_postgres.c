/* SPDX-License-Identifier: MIT */
/* The ledger in a PostgreSQL database. */
#include "ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <idem/postgres.h>
#include <libpq-fe.h>

/* Of several that make the table at the same time, all but one would fail. */
#define SCHEMA                                                                                \
    "SET client_min_messages = warning; BEGIN; SELECT pg_advisory_xact_lock(7351);"           \
    " CREATE TABLE IF NOT EXISTS ledger (entry bigserial PRIMARY KEY, event text, type text," \
    " value bigint, currency text, consumer text); COMMIT"

typedef struct {
    ledger base;
    PGconn *conn;
} server_ledger;

static PGconn *conn_of(ledger *self)
{
    return ((server_ledger *)self)->conn;
}

static bool sql(PGconn *conn, const char *text)
{
    PGresult *result = PQexec(conn, text);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return true;
    return ledger_fail(text, PQerrorMessage(conn));
}

static bool begin(ledger *self)
{
    return sql(conn_of(self), "BEGIN");
}

static bool commit(ledger *self)
{
    return sql(conn_of(self), "COMMIT");
}

static bool rollback(ledger *self)
{
    return sql(conn_of(self), "ROLLBACK");
}

static bool add(ledger *self, const ledger_entry *entry, int64_t *number)
{
    char value[24];
    const char *values[] = {entry->event, entry->type, value, entry->currency, entry->consumer};
    (void)snprintf(value, sizeof value, "%" PRId64, entry->value);
    PGresult *result = PQexecParams(conn_of(self),
                                    "INSERT INTO ledger (event, type, value, currency, consumer)"
                                    " VALUES ($1, $2, $3, $4, $5) RETURNING entry",
                                    5, NULL, values, NULL, NULL, 0);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (ok)
        *number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    else
        (void)ledger_fail("write to the ledger", PQerrorMessage(conn_of(self)));
    PQclear(result);
    return ok;
}

static bool print(ledger *self)
{
    PGresult *result = PQexec(
        conn_of(self), "SELECT event, currency, value, consumer FROM ledger ORDER BY event, entry");
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!ok)
        (void)ledger_fail("read the ledger", PQerrorMessage(conn_of(self)));
    for (int row = 0; ok && row < PQntuples(result); row++)
        (void)printf("%s %s %s %s\n", PQgetvalue(result, row, 0), PQgetvalue(result, row, 1),
                     PQgetvalue(result, row, 2), PQgetvalue(result, row, 3));
    PQclear(result);
    return ok;
}

static bool reset(ledger *self)
{
    return sql(conn_of(self), "TRUNCATE ledger");
}

static void close_it(ledger *self)
{
    idem_close(self->store); /* before its connection */
    PQfinish(conn_of(self));
    free(self);
}

static const ledger_calls calls = {begin, commit, rollback, add, print, reset, close_it};

static bool open_on(server_ledger *self, const char *url, const char *options)
{
    idem_error error;
    self->conn = PQconnectdb(url);
    if (PQstatus(self->conn) != CONNECTION_OK)
        return ledger_fail("open the database", PQerrorMessage(self->conn));
    if (!sql(self->conn, SCHEMA))
        return false;
    if (idem_postgres_open_on(self->conn, options, &self->base.store, &error) != IDEM_OK)
        return ledger_fail("open the store", error.message);
    return true;
}

ledger *ledger_open_postgres(const char *url, const char *options)
{
    server_ledger *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->base.calls = &calls;
    if (open_on(self, url, options))
        return &self->base;
    close_it(&self->base);
    return NULL;
}
