/* SPDX-License-Identifier: MIT */
/* The table of records as text. It is read by SQLite alone, past the shim, so that a fault that is
   planned hits nobody else. */
#include "table.h"

#include "history.h"
#include "platter.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS                                                                                 \
    "SELECT group_concat(quote(key) || quote(version) || quote(status) || quote(attempt) ||" \
    " quote(token) || quote(lease_ms) || quote(response) || quote(checkpoint), x'0a') FROM " \
    "(SELECT * FROM idem_record ORDER BY key)"

_Noreturn static void unsound(sqlite3 *db, const char *what)
{
    history_fail("the table can't be read past the shim: %s (%s)", what, sqlite3_errmsg(db));
    _Exit(EXIT_FAILURE);
}

/* The first column of the first row, to be freed. */
static char *ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) || sqlite3_step(statement) != SQLITE_ROW)
        unsound(db, sql);
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    char *answer = strdup(text ? text : "");
    (void)sqlite3_finalize(statement);
    if (!answer)
        unsound(db, "out of memory");
    return answer;
}

char *table_read(const char *folder)
{
    sqlite3 *db = NULL;
    const char *path = platter_path(folder, FILE_DB);
    if (access(path, F_OK))
        return strdup("");
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix") != SQLITE_OK ||
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) != SQLITE_OK)
        unsound(db, "open");
    char *sound = ask(db, "PRAGMA integrity_check");
    char *tables = ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'idem_record'");
    if (strcmp(sound, "ok") != 0)
        unsound(db, sound);
    char *rows = *tables == '1' ? ask(db, ROWS) : strdup("");
    free(sound);
    free(tables);
    (void)sqlite3_close(db);
    return rows;
}

char *table_read_as_if_died(const char *folder, const char *copy)
{
    platter_copy(folder, copy);
    (void)unlink(platter_path(copy, FILE_SHM));
    return table_read(copy);
}
