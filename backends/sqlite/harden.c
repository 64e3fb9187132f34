/* SPDX-License-Identifier: MIT */
/*
 * A user with the right to write the file can add more than rows: triggers, views and virtual
 * tables in the place of our tables, generated columns, checks, indexes on expressions. Our own
 * statements would run all of these. So a connection of our own runs no trigger and no view, and
 * the text of the tables is compared with the text that made them. A caller's connection keeps its
 * settings; there the comparison alone has to do.
 *
 * SQLite asks the progress handler now and then while a statement runs; beyond the deadline it ends
 * the statement. It must not end one whose commit has begun: that would report a change that was
 * made as one that was not.
 */
#include "harden.h"

#include "schema.h"

#include <stdio.h>

/* So many instructions take some 20 to 100 us. */
#define INSTRUCTIONS_PER_LOOK 2000

static int is_over(void *user)
{
    const idem__sqlite *self = user;
    return !self->committing && idem_monotonic_ms() >= self->deadline_ms;
}

int idem__sqlite_harden_connection(idem__sqlite *self)
{
    static const struct {
        int option;
        int on;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 0},    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    };
    int code = SQLITE_OK;
    for (size_t i = 0; code == SQLITE_OK && i < sizeof settings / sizeof settings[0]; i++)
        code = sqlite3_db_config(self->db, settings[i].option, settings[i].on, NULL);
    (void)sqlite3_limit(self->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_progress_handler(self->db, INSTRUCTIONS_PER_LOOK, is_over, self);
    return code;
}

/* ------------------------------------------------------------------------------------ tables */

static bool text_is(sqlite3_stmt *row, int column, const char *text)
{
    const unsigned char *held = sqlite3_column_text(row, column);
    return held && strcmp((const char *)held, text) == 0;
}

/* The columns of LIST_PARTS. */
enum { PART_TYPE, PART_NAME, PART_SQL };

#define LIST_PARTS                                          \
    "SELECT type, name, sql FROM main.sqlite_schema WHERE " \
    "lower(tbl_name) IN ('idem_record', 'idem_schema')"

/* True for one of our tables as it was made, and for an index that SQLite made for its UNIQUE. */
static bool is_ours(sqlite3_stmt *row, unsigned *tables)
{
    if (text_is(row, PART_TYPE, "index") && sqlite3_column_type(row, PART_SQL) == SQLITE_NULL)
        return true;
    for (size_t i = 0; i < 2; i++) {
        const idem__sqlite_table *table = &idem__sqlite_schema_tables[i];
        if (text_is(row, PART_TYPE, "table") && text_is(row, PART_NAME, table->name) &&
            text_is(row, PART_SQL, table->sql)) {
            *tables += 1;
            return true;
        }
    }
    return false;
}

static int refuse(idem__sqlite *self, sqlite3_stmt *row, idem__sqlite_fault *fault)
{
    static const char *const types[] = {"table", "index", "view", "trigger"};
    char name[IDEM_QUOTE_SIZE];
    const char *type = "thing";
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (text_is(row, PART_TYPE, types[i]))
            type = types[i];
    }
    const char *held = (const char *)sqlite3_column_text(row, PART_NAME);
    return idem__sqlite_fault_set(fault, true, IDEM_ERR_CORRUPT,
                                  "%s has the %s %.70s that this library did not make: drop it, or "
                                  "restore the file from a backup",
                                  self->name, type, idem_quote(idem_str(held ? held : ""), name));
}

int idem__sqlite_harden_tables(idem__sqlite *self, idem__sqlite_fault *fault)
{
    sqlite3_stmt *parts = NULL;
    unsigned tables = 0;
    int rc = IDEM_OK;
    int code = idem__sqlite_prepare(self, LIST_PARTS, 0, &parts);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, parts);
    while (code == SQLITE_ROW && rc == IDEM_OK) {
        if (!is_ours(parts, &tables))
            rc = refuse(self, parts, fault);
        else
            code = idem__sqlite_step(self, parts);
    }
    if (rc == IDEM_OK && code != SQLITE_DONE)
        rc = idem__sqlite_fault_take(self, code, fault);
    else if (rc == IDEM_OK && tables < 2)
        rc = idem__sqlite_fault_set(fault, true, IDEM_ERR_CORRUPT,
                                    "%s lacks tables, or has some that this library did not make: "
                                    "restore it from a backup",
                                    self->name);
    (void)sqlite3_finalize(parts);
    return rc;
}
