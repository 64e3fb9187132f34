/* SPDX-License-Identifier: MIT */
/* The suite on idem_sqlite_open_on(): each handle on a connection of the caller's own, outside of
   any transaction. From the third handle on they share one connection. */
#include "main.h"

#include <idem/sqlite.h>

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define CONNECTIONS 3u

static char path[512];
static sqlite3 *connections[CONNECTIONS];
static unsigned opened;

static void fresh(void)
{
    static unsigned number;
    char name[64];
    (void)snprintf(name, sizeof name, "join-%ld-%u.db", (long)getpid(), number++);
    conformance_path(path, sizeof path, name);
    opened = 0;
}

static void connect(unsigned index)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    if (sqlite3_open_v2(path, &connections[index], flags, NULL) != SQLITE_OK)
        abort();
    if (index == 0 && sqlite3_exec(connections[0], "PRAGMA journal_mode=WAL", NULL, NULL, NULL))
        abort();
}

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    unsigned index = opened < CONNECTIONS ? opened++ : CONNECTIONS - 1;
    (void)options; /* a store on a connection is opened without any */
    if (!connections[index])
        connect(index);
    return idem_sqlite_open_on(connections[index], params, store, error);
}

/* A connection that may not write to a file without the tables. */
static int open_unreachable(idem_store **store, idem_error *error)
{
    sqlite3 *empty = NULL;
    char file[512];
    conformance_path(file, sizeof file, "empty.db");
    FILE *made = fopen(file, "w");
    if (!made || fclose(made) || sqlite3_open_v2(file, &empty, SQLITE_OPEN_READONLY, NULL))
        abort();
    int rc = idem_sqlite_open_on(empty, NULL, store, error);
    (void)sqlite3_close(empty);
    return rc;
}

static void cleanup(void)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        (void)sqlite3_close(connections[i]);
        connections[i] = NULL;
    }
    conformance_remove(path);
}

int main(void)
{
    static const conformance_backend sqlite_join = {
        .name = "sqlite_join",
        .lacks = IDEM_TRAIT_CLOCK | IDEM_TRAIT_KEEPALIVE | CONFORMANCE_THREADS | CONFORMANCE_FORK |
                 CONFORMANCE_OPTIONS,
        .fresh = fresh,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = cleanup,
    };
    return conformance_main(&sqlite_join);
}
