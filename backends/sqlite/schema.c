/* SPDX-License-Identifier: MIT */
/*
 * The tables and their versions. The version stands in a table of our own, since user_version and
 * application_id belong to the caller if we join its database. Step i of the list leads from
 * version i to i + 1; version 0 is a database without our tables. A step that was released is
 * never changed; and a process of an older version may go on writing while a newer one upgrades,
 * so a step adds what old statements can do without.
 *
 * `id` is an alias of the rowid: rows are walked in its order, and it costs nothing. There is no
 * index on expiry: it would cost a third of the claims, and writes drop expired rows as they pass.
 */
#include "schema.h"

#include "harden.h"
#include "transaction.h"

#include <stdio.h>

#define SCHEMA_TABLE                                      \
    "idem_schema (id INTEGER PRIMARY KEY CHECK (id = 1)," \
    " version INTEGER NOT NULL) STRICT"

/* version is 64 random bits; status is 1 in progress, 2 completed, 3 completed with a response that
   need not be JSON; a row is absent when its age has reached live_ms. at_: when it was last
   written, by the clock of this boot, and by the wall clock for after another boot. created_at and
   updated_at are to be shown. */
#define RECORD_TABLE                   \
    "idem_record ("                    \
    " id INTEGER PRIMARY KEY,"         \
    " key BLOB NOT NULL UNIQUE,"       \
    " version INTEGER NOT NULL,"       \
    " status INTEGER NOT NULL,"        \
    " attempt INTEGER NOT NULL,"       \
    " token BLOB NOT NULL,"            \
    " lease_ms INTEGER NOT NULL,"      \
    " ttl_ms INTEGER NOT NULL,"        \
    " live_ms INTEGER NOT NULL,"       \
    " at_boot_id INTEGER NOT NULL,"    \
    " at_boot_ms INTEGER NOT NULL,"    \
    " at_wall_ms INTEGER NOT NULL,"    \
    " created_at_ms INTEGER NOT NULL," \
    " updated_at_ms INTEGER NOT NULL," \
    " fingerprint BLOB,"               \
    " response BLOB,"                  \
    " checkpoint BLOB) STRICT"

static const char *const steps[] = {
    "CREATE TABLE main." SCHEMA_TABLE ";"
    "INSERT INTO main.idem_schema (id, version) VALUES (1, 0);"
    "CREATE TABLE main." RECORD_TABLE ";",
};

/* SQLite keeps the text behind CREATE TABLE as it was written, without the database's name. */
const idem__sqlite_table idem__sqlite_schema_tables[2] = {
    {"idem_schema", "CREATE TABLE " SCHEMA_TABLE},
    {"idem_record", "CREATE TABLE " RECORD_TABLE},
};

#define READ_VERSION "SELECT version FROM main.idem_schema WHERE id = 1"

#define STEPS ((int64_t)(sizeof steps / sizeof steps[0]))

/* Reads one number. No row gives `fallback`. */
static int read_number(idem__sqlite *self, const char *sql, int64_t fallback, int64_t *number,
                       idem__sqlite_fault *fault)
{
    sqlite3_stmt *statement = NULL;
    int code = idem__sqlite_prepare(self, sql, 0, &statement);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, statement);
    int rc = IDEM_OK;
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else if (code == SQLITE_DONE)
        *number = fallback;
    else
        rc = idem__sqlite_fault_take(self, code, fault);
    (void)sqlite3_finalize(statement);
    return rc;
}

/* Reads the version of our tables; 0: there are none, in a database that they may be made in. */
static int read_version(idem__sqlite *self, int64_t *version, idem__sqlite_fault *fault)
{
    int64_t others = 0; /* one look for both: another process may be creating our tables */
    int rc = read_number(self,
                         "SELECT CASE WHEN total(type = 'table' AND name = 'idem_schema') > 0"
                         " THEN -1 ELSE count(*) END FROM main.sqlite_schema",
                         0, &others, fault);
    *version = 0;
    if (rc || others == 0 || (others > 0 && self->joined))
        return rc;
    if (others > 0)
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                      "%s holds another application's tables: name another file, "
                                      "or join it with idem_sqlite_open_on()",
                                      self->name);
    rc = read_number(self, READ_VERSION, -1, version, fault);
    if (rc == IDEM_OK && *version < 1)
        rc = idem__sqlite_fault_set(fault, true, IDEM_ERR_CORRUPT,
                                    "%s: its table idem_schema holds no version; restore it from "
                                    "a backup",
                                    self->name);
    return rc;
}

static int check_version(idem__sqlite *self, int64_t version, int64_t newest,
                         idem__sqlite_fault *fault)
{
    if (version <= newest)
        return IDEM_OK;
    return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                  "%s was written by a newer libidem (tables of version %lld; "
                                  "this one knows %lld): update this program",
                                  self->name, (long long)version, (long long)newest);
}

/* Most files have our tables, and then it is most of the cost of opening one to look what else
   is there. A connection that is new has no outdated idea of them. */
static bool has_version(idem__sqlite *self, int64_t *version)
{
    idem__sqlite_fault unused = {0};
    return sqlite3_table_column_metadata(self->db, "main", "idem_schema", "version", NULL, NULL,
                                         NULL, NULL, NULL) == SQLITE_OK &&
           read_number(self, READ_VERSION, 0, version, &unused) == IDEM_OK && *version >= 1;
}

int idem__sqlite_schema_inspect(idem__sqlite *self, bool *current, idem__sqlite_fault *fault)
{
    int64_t version = 0;
    int rc = has_version(self, &version) ? IDEM_OK : read_version(self, &version, fault);
    if (rc == IDEM_OK)
        rc = check_version(self, version, STEPS, fault);
    *current = rc == IDEM_OK && version == STEPS;
    return rc;
}

static int execute(idem__sqlite *self, const char *sql, idem__sqlite_fault *fault)
{
    int code = sqlite3_exec(self->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
}

/* Takes the steps from `version` on; a transaction is open. */
static int take_steps(idem__sqlite *self, const char *const *list, int64_t version, int64_t count,
                      idem__sqlite_fault *fault)
{
    char sql[96];
    int rc = IDEM_OK;
    if (version == 0 && !self->joined) {
        (void)snprintf(sql, sizeof sql, "PRAGMA main.application_id = %d",
                       IDEM__SQLITE_APPLICATION_ID);
        rc = execute(self, sql, fault);
    }
    for (int64_t i = version; rc == IDEM_OK && i < count; i++)
        rc = execute(self, list[i], fault);
    (void)snprintf(sql, sizeof sql, "UPDATE main.idem_schema SET version = %lld WHERE id = 1",
                   (long long)count);
    return rc ? rc : execute(self, sql, fault);
}

int idem__sqlite_schema_upgrade(idem__sqlite *self, const char *const *list, int64_t count,
                                idem__sqlite_fault *fault)
{
    int64_t version = 0;
    int rc = read_version(self, &version, fault);
    if (rc || version == count)
        return rc;
    rc = idem__sqlite_begin(self, true, fault);
    if (rc)
        return rc;
    /* Another process may have been faster. */
    rc = read_version(self, &version, fault);
    if (rc == IDEM_OK)
        rc = check_version(self, version, count, fault);
    if (rc == IDEM_OK && version < count)
        rc = take_steps(self, list, version, count, fault);
    if (rc)
        return idem__sqlite_rollback(self, fault);
    return idem__sqlite_commit(self, fault);
}

int idem__sqlite_schema_try(idem__sqlite *self, idem__sqlite_fault *fault)
{
    int rc = idem__sqlite_harden_tables(self, fault);
    if (rc)
        return rc;
    return idem__sqlite_statement(self, IDEM__SQLITE_GET, fault) ? IDEM_OK : fault->error.code;
}

int idem__sqlite_schema_ensure(idem__sqlite *self, idem__sqlite_fault *fault)
{
    int rc = idem__sqlite_schema_upgrade(self, steps, STEPS, fault);
    return rc ? rc : idem__sqlite_schema_try(self, fault);
}
