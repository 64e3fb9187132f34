/* SPDX-License-Identifier: MIT */
/*
 * Claim, response and business rows in one SQLite transaction: roll back, and all of them are gone;
 * commit, and all of them stand. Nothing in between can be seen or be left by a crash.
 *
 *     sqlite_transaction [FILE]
 */
#include <idem/idem.h>
#include <idem/sqlite.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

#define SCHEMA                                                    \
    "CREATE TABLE IF NOT EXISTS deposit (id INTEGER PRIMARY KEY," \
    " account TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents > 0)) STRICT"

typedef struct {
    sqlite3 *db;
    idem_store *store; /* on the same connection */
} bank;

static int fail(const char *doing, const char *why)
{
    (void)fprintf(stderr, "cannot %s: %s\n", doing, why);
    return -1;
}

static int run(const bank *b, const char *sql)
{
    return sqlite3_exec(b->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : fail(sql, sqlite3_errmsg(b->db));
}

static int insert(const bank *b, const char *account, int64_t cents)
{
    sqlite3_stmt *row = NULL;
    bool ok = sqlite3_prepare_v2(b->db, "INSERT INTO deposit (account, cents) VALUES (?1, ?2)", -1,
                                 &row, NULL) == SQLITE_OK &&
              sqlite3_bind_text(row, 1, account, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_int64(row, 2, cents) == SQLITE_OK && sqlite3_step(row) == SQLITE_DONE;
    int rc = ok ? 0 : fail("insert the deposit", sqlite3_errmsg(b->db));
    (void)sqlite3_finalize(row);
    return rc;
}

/* The work of a new key. */
static int book(const bank *b, idem_claim *claim, const char *account, int64_t cents)
{
    char response[48];
    idem_error error;
    if (insert(b, account, cents))
        return -1;
    (void)snprintf(response, sizeof response, "{\"deposit\":%lld}",
                   (long long)sqlite3_last_insert_rowid(b->db));
    if (idem_complete(b->store, claim, idem_str(response), &error))
        return fail("complete", error.message);
    (void)printf("booked %s\n", response);
    return 0;
}

/* Inside a transaction. Anything but 0 has to be rolled back. */
static int decide(const bank *b, const char *key, const char *account, int64_t cents)
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
    else /* claimed by somebody outside of such a transaction; never wait for that inside one */
        rc = fail("deposit", "the key is in use; try again later");
    idem_outcome_clear(&out);
    return rc;
}

/* IMMEDIATE: a transaction that begins as a reader may fail when it has to become a writer. */
static int deposit_once(const bank *b, const char *key, const char *account, int64_t cents)
{
    if (run(b, "BEGIN IMMEDIATE"))
        return -1;
    if (decide(b, key, account, cents) == 0)
        return run(b, "COMMIT");
    (void)run(b, "ROLLBACK");
    return -1;
}

static int64_t count_deposits(const bank *b)
{
    sqlite3_stmt *select = NULL;
    int64_t count = -1;
    if (sqlite3_prepare_v2(b->db, "SELECT count(*) FROM deposit", -1, &select, NULL) == SQLITE_OK &&
        sqlite3_step(select) == SQLITE_ROW)
        count = sqlite3_column_int64(select, 0);
    (void)sqlite3_finalize(select);
    return count;
}

/* The same key three times: refused by the table's CHECK, booked, replayed. */
static int show(const bank *b)
{
    static const int64_t amounts[] = {-500, 500, 500};
    for (int i = 0; i < 3; i++) {
        if (deposit_once(b, "deposit-17", "alice", amounts[i]))
            (void)printf("rolled back\n");
        (void)printf("deposits: %" PRId64 "\n", count_deposits(b));
    }
    return 0;
}

int main(int argc, char **argv)
{
    bank b = {NULL, NULL};
    idem_error error;
    int rc = -1;
    if (sqlite3_open(argc > 1 ? argv[1] : ":memory:", &b.db) != SQLITE_OK)
        rc = fail("open the database", sqlite3_errmsg(b.db));
    else if (sqlite3_busy_timeout(b.db, 5000) != SQLITE_OK || run(&b, SCHEMA))
        rc = -1;
    else if (idem_sqlite_open_on(b.db, "ttl=72h", &b.store, &error))
        rc = fail("open the store", error.message);
    else
        rc = show(&b);
    idem_close(b.store); /* before its connection */
    (void)sqlite3_close(b.db);
    return rc ? 1 : 0;
}
