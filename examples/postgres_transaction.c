/* SPDX-License-Identifier: MIT */
/*
 * Claim, response and business rows in one PostgreSQL transaction: roll back, and all of them are
 * gone; commit, and all of them stand. Nothing in between can be seen or be left by a crash.
 *
 *     postgres_transaction postgresql://user@host/database
 */
#include <idem/idem.h>
#include <idem/postgres.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define SCHEMA                                                                             \
    "SET client_min_messages = warning;"                                                   \
    "CREATE TABLE IF NOT EXISTS deposit (id bigserial PRIMARY KEY, account text NOT NULL," \
    " cents bigint NOT NULL CHECK (cents > 0))"

typedef struct {
    PGconn *conn;
    idem_store *store; /* on the same connection */
} bank;

static int fail(const char *doing, const char *why)
{
    (void)fprintf(stderr, "cannot %s: %s\n", doing, why);
    return -1;
}

/* Carries out a statement. The first value of its result goes into `number`, if that is not
   NULL. */
static int run(const bank *b, const char *sql, const char *const *values, int count,
               int64_t *number)
{
    PGresult *result = count > 0 ? PQexecParams(b->conn, sql, count, NULL, values, NULL, NULL, 0)
                                 : PQexec(b->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    int rc = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
                 ? 0
                 : fail(sql, PQerrorMessage(b->conn));
    if (rc == 0 && number)
        *number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return rc;
}

/* The work of a new key. */
static int book(const bank *b, idem_claim *claim, const char *account, const char *cents)
{
    char response[48];
    int64_t id = 0;
    idem_error error;
    const char *const values[] = {account, cents};
    if (run(b, "INSERT INTO deposit (account, cents) VALUES ($1, $2) RETURNING id", values, 2, &id))
        return -1;
    (void)snprintf(response, sizeof response, "{\"deposit\":%" PRId64 "}", id);
    if (idem_complete(b->store, claim, idem_str(response), &error))
        return fail("complete", error.message);
    (void)printf("booked %s\n", response);
    return 0;
}

/* Inside a transaction. Anything but 0 has to be rolled back. */
static int decide(const bank *b, const char *key, const char *account, const char *cents)
{
    idem_outcome out;
    idem_error error;
    int rc = 0;
    if (idem_begin(b->store, IDEM_REQUEST(.key = idem_str(key)), &out, &error))
        return fail("begin", error.message);
    if (out.kind == IDEM_NEW)
        rc = book(b, out.claim, account, cents);
    else if (out.kind == IDEM_COMPLETED)
        (void)printf("replayed %.*s\n", (int)out.response.len, (const char *)out.response.data);
    else /* another transaction has it, and is still open; never wait for that inside one */
        rc = fail("deposit", "the key is in use; try again later");
    idem_outcome_clear(&out);
    return rc;
}

static int deposit_once(const bank *b, const char *key, const char *account, const char *cents)
{
    if (run(b, "BEGIN", NULL, 0, NULL))
        return -1;
    if (decide(b, key, account, cents) == 0)
        return run(b, "COMMIT", NULL, 0, NULL);
    (void)run(b, "ROLLBACK", NULL, 0, NULL);
    return -1;
}

/* The same key three times: refused by the table's CHECK, booked, replayed. */
static int show(const bank *b)
{
    static const char *const amounts[] = {"-500", "500", "500"};
    for (int i = 0; i < 3; i++) {
        int64_t count = 0;
        if (deposit_once(b, "deposit-17", "alice", amounts[i]))
            (void)printf("rolled back\n");
        if (run(b, "SELECT count(*) FROM deposit", NULL, 0, &count))
            return -1;
        (void)printf("deposits: %" PRId64 "\n", count);
    }
    return 0;
}

int main(int argc, char **argv)
{
    bank b = {NULL, NULL};
    idem_error error;
    int rc = -1;
    if (argc != 2) {
        (void)fprintf(stderr, "usage: postgres_transaction postgresql://user@host/database\n");
        return 64;
    }
    b.conn = PQconnectdb(argv[1]);
    if (PQstatus(b.conn) != CONNECTION_OK)
        rc = fail("open the database", PQerrorMessage(b.conn));
    else if (run(&b, SCHEMA, NULL, 0, NULL))
        rc = -1;
    else if (idem_postgres_open_on(b.conn, "ttl=72h", &b.store, &error))
        rc = fail("open the store", error.message);
    else
        rc = show(&b);
    idem_close(b.store); /* before its connection */
    PQfinish(b.conn);
    return rc ? 1 : 0;
}
