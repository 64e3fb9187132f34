/* SPDX-License-Identifier: MIT */
/*
 * The places: memory alone and shared by name, SQLite in a file, in memory, on a caller's
 * connection and inside the caller's transaction, Redis over TCP and over a unix socket,
 * PostgreSQL by URL and on a caller's connection, likewise. SQLite
 * is set up without its lookaside pools, so that its small allocations are met too.
 */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "place.h"

#ifdef WITH_SQLITE
#include <idem/sqlite.h>
#include <sqlite3.h>
#endif
#ifdef WITH_REDIS
#include "server.h"
#endif
#ifdef WITH_POSTGRES
#include "pg.h"

#include <idem/postgres.h>
#endif

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PARAMS       "?timeout=3s"
#define SQLITE_QUICK PARAMS "&synchronous=normal"

static _Atomic uint64_t our_time = 1000000;

static uint64_t read_our_time(void *user)
{
    (void)user;
    return atomic_load(&our_time);
}

static const idem_options our_clock = {.size = sizeof our_clock,
                                       .clock = {.now_ms = read_our_time}};

void place_advance(const place *self, uint64_t ms)
{
    struct timespec left = {.tv_nsec = (long)(ms + 1) * 1000000};
    if (self->has_clock)
        (void)atomic_fetch_add(&our_time, ms);
    else
        (void)nanosleep(&left, NULL);
}

static int open_url(const place *self, idem_store **store, idem_error *error)
{
    return self->has_clock ? idem_open_with(self->base, &our_clock, store, error)
                           : idem_open(self->base, store, error);
}

/* -------------------------------------------------------------------------------------- SQLite */

#ifdef WITH_SQLITE
static char folder[300];
static char file_url[400];
static sqlite3 *connection;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void start_sqlite(void)
{
    const char *parent = getenv("TMPDIR");
    char path[400];
    (void)snprintf(folder, sizeof folder, "%.200s/idem-allocation-XXXXXX",
                   parent && *parent ? parent : "/tmp");
    if (sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK || !mkdtemp(folder))
        abort();
    (void)snprintf(file_url, sizeof file_url, "sqlite://%s/idem.db" SQLITE_QUICK, folder);
    (void)snprintf(path, sizeof path, "%s/own.db", folder);
    if (sqlite3_open(path, &connection) != SQLITE_OK ||
        sqlite3_exec(connection, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", NULL,
                     NULL, NULL) != SQLITE_OK)
        abort();
}

static void end_sqlite(void)
{
    (void)sqlite3_close(connection);
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int open_on(const place *self, idem_store **store, idem_error *error)
{
    (void)self;
    return idem_sqlite_open_on(connection, "timeout=3s", store, error);
}

static void enter_transaction(void)
{
    if (sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        abort();
}

static bool leave_transaction(void)
{
    if (sqlite3_get_autocommit(connection))
        return false;
    if (sqlite3_exec(connection, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        abort();
    return true;
}

/* Behind a call outside of a transaction there must be none. */
static bool leave_nothing(void)
{
    if (!sqlite3_get_autocommit(connection))
        abort();
    return true;
}
#endif

/* --------------------------------------------------------------------------------------- Redis */

#ifdef WITH_REDIS
static server redis;
static char tcp_url[SERVER_URL_SIZE + 32];
static char unix_url[SERVER_URL_SIZE + 32];

static void start_redis(void)
{
    server_require();
    server_start(&redis, NULL);
    (void)snprintf(tcp_url, sizeof tcp_url, "%s" PARAMS, redis.url);
    (void)snprintf(unix_url, sizeof unix_url, "%s" PARAMS, redis.unix_url);
}
#endif

/* ---------------------------------------------------------------------------------- PostgreSQL */

#ifdef WITH_POSTGRES
static pg_server postgres;
static char postgres_url[PG_URL_SIZE + 32];
static PGconn *session;

static void start_postgres(void)
{
    pg_require();
    pg_start(&postgres, NULL);
    (void)snprintf(postgres_url, sizeof postgres_url, "%s&timeout=3s", postgres.url);
    session = pg_connect(&postgres);
}

static int open_on_session(const place *self, idem_store **store, idem_error *error)
{
    (void)self;
    return idem_postgres_open_on(session, "timeout=3s", store, error);
}

static void tell_server(const char *sql)
{
    PGresult *result = PQexec(session, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        abort();
    PQclear(result);
}

static void enter_session(void)
{
    tell_server("BEGIN");
}

/* A call that had no memory to take an answer in has cut the connection: the caller's is made
   anew. */
static bool is_session_over(void)
{
    if (PQstatus(session) == CONNECTION_OK)
        return false;
    PQreset(session);
    if (PQstatus(session) != CONNECTION_OK)
        abort();
    return true;
}

static bool leave_session(void)
{
    if (is_session_over())
        return false;
    bool stands = PQtransactionStatus(session) == PQTRANS_INTRANS;
    tell_server(stands ? "COMMIT" : "ROLLBACK");
    return stands;
}

/* Behind a call outside of a transaction there must be none. */
static bool leave_session_idle(void)
{
    if (!is_session_over() && PQtransactionStatus(session) != PQTRANS_IDLE)
        abort();
    return true;
}
#endif

/* --------------------------------------------------------------------------------------- all */

static const place all[] = {
    {.name = "memory",
     .base = "memory://" PARAMS,
     .open = open_url,
     .alone = true,
     .has_clock = true},
    {.name = "memory named", .base = "memory://shared" PARAMS, .open = open_url, .has_clock = true},
#ifdef WITH_SQLITE
    {.name = "sqlite",
     .base = file_url,
     .open = open_url,
     .has_clock = true,
     .transactional = true},
    {.name = "sqlite in memory",
     .base = "sqlite::memory:" PARAMS,
     .open = open_url,
     .has_clock = true,
     .alone = true,
     .transactional = true},
    {.name = "sqlite joined", .open = open_on, .leave = leave_nothing, .transactional = true},
    {.name = "sqlite in a transaction",
     .open = open_on,
     .enter = enter_transaction,
     .leave = leave_transaction,
     .transactional = true},
#endif
#ifdef WITH_REDIS
    {.name = "redis", .base = tcp_url, .open = open_url, .remote = true},
    {.name = "redis unix", .base = unix_url, .open = open_url, .remote = true},
#endif
#ifdef WITH_POSTGRES
    {.name = "postgresql", .base = postgres_url, .open = open_url, .remote = true, .step = 13},
    {.name = "postgresql joined",
     .open = open_on_session,
     .leave = leave_session_idle,
     .remote = true,
     .callers = true,
     .step = 61},
    {.name = "postgresql in a transaction",
     .open = open_on_session,
     .enter = enter_session,
     .leave = leave_session,
     .remote = true,
     .step = 61},
#endif
};

const place *places(size_t *count)
{
    *count = sizeof all / sizeof all[0];
    return all;
}

void places_start(void)
{
#ifdef WITH_REDIS
    start_redis(); /* first: it may leave the program */
#endif
#ifdef WITH_POSTGRES
    start_postgres(); /* it may, too */
#endif
#ifdef WITH_SQLITE
    start_sqlite();
#endif
}

void places_end(void)
{
#ifdef WITH_SQLITE
    end_sqlite();
#endif
#ifdef WITH_REDIS
    server_remove(&redis);
#endif
#ifdef WITH_POSTGRES
    PQfinish(session);
    pg_remove(&postgres);
#endif
}
