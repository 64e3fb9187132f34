/* SPDX-License-Identifier: MIT */
/*
 * The SQL of this backend. Texts are prepared when they are first needed and kept as long as the
 * connection. Every table is named with `main.`: on a caller's connection a temporary table may
 * hide ours.
 *
 * A row is expired when its age has reached its live_ms, and is then absent for every op. Changes
 * judge it here, within their statement; what only reads takes the row as it is, and row.c judges,
 * by the same rule for a fraction of the time. Rows whose live_ms makes no sense are never
 * expired: they are reported, and left as they are.
 */
#include "statements.h"

#include "lock.h"
#include "transaction.h"

#include <stdio.h>

/* ?2, ?3, ?4, ?18: the time. A clock that fell gives no age below 0. clock.c has the same in C. */
#define OF_THIS_BOOT "(at_boot_id = ?2 AND ?2 <> 0)"
#define OF_ANOTHER_CLOCK \
    "(at_boot_id <> 0 AND at_boot_id <> ?2 AND at_boot_ms <> 0 AND at_wall_ms > ?18)"
#define AGE                                                                         \
    "max(0, CASE WHEN " OF_THIS_BOOT " THEN ?3 - at_boot_ms WHEN " OF_ANOTHER_CLOCK \
    " THEN 0 ELSE ?4 - at_wall_ms END)"
#define IN_THE_FUTURE "(" OF_THIS_BOOT " AND at_boot_ms - ?3 > 10000)"
#define IS_STRAY                                                                          \
    "((" IN_THE_FUTURE " OR (NOT " OF_THIS_BOOT " AND (" OF_ANOTHER_CLOCK                 \
    " OR at_wall_ms > ?4))) AND typeof(at_boot_id) = 'integer' AND typeof(at_boot_ms) = " \
    "'integer' AND typeof(at_wall_ms) = 'integer')"
#define SET_DATE \
    "UPDATE main.idem_record SET at_boot_id = ?2, at_boot_ms = ?3, at_wall_ms = ?4 WHERE "
/* What is no number is asked for last: it is seldom asked for then. */
#define EXPIRED                                                                \
    "(live_ms > 0 AND " AGE " >= live_ms AND typeof(live_ms) = 'integer' AND " \
    "typeof(at_boot_id) = 'integer' AND typeof(at_boot_ms) = 'integer' AND "   \
    "typeof(at_wall_ms) = 'integer')"

/* What row.c judges by. */
#define LIFE "live_ms, at_boot_id, at_boot_ms, at_wall_ms"

/* SQLite copies up to five names of each column when it prepares; of an expression it has one. */
#define COLUMNS                                                                             \
    "+live_ms, +at_boot_id, +at_boot_ms, +at_wall_ms, +key, +version, +status, +attempt, "  \
    "+token, +lease_ms, +ttl_ms, +created_at_ms, +updated_at_ms, +fingerprint, +response, " \
    "+checkpoint"

#define ASSIGN                                                                                     \
    "version = ?6, status = ?7, attempt = ?8, token = ?9, lease_ms = ?10, ttl_ms = ?11, "          \
    "live_ms = ?12, created_at_ms = ?13, updated_at_ms = ?14, fingerprint = ?15, response = ?16, " \
    "checkpoint = ?17, at_boot_id = ?2, at_boot_ms = ?3, at_wall_ms = ?4"

static const char *const texts[IDEM__SQLITE_STATEMENTS] = {
    [IDEM__SQLITE_BEGIN_READ] = "BEGIN",
    [IDEM__SQLITE_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [IDEM__SQLITE_COMMIT] = "COMMIT",
    [IDEM__SQLITE_ROLLBACK] = "ROLLBACK",
    [IDEM__SQLITE_SAVEPOINT] = "SAVEPOINT idem",
    [IDEM__SQLITE_RELEASE] = "RELEASE idem",
    [IDEM__SQLITE_ROLLBACK_TO] = "ROLLBACK TO idem",
    [IDEM__SQLITE_GET] = "SELECT " COLUMNS " FROM main.idem_record WHERE key = ?1",
    [IDEM__SQLITE_GET_ID] = "SELECT " COLUMNS " FROM main.idem_record WHERE id = ?1",
    [IDEM__SQLITE_INSERT] =
        "INSERT INTO main.idem_record (key, version, status, attempt, token, lease_ms, ttl_ms, "
        "live_ms, created_at_ms, updated_at_ms, fingerprint, response, checkpoint, at_boot_id, "
        "at_boot_ms, at_wall_ms) VALUES (?1, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, "
        "?17, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE SET " ASSIGN " WHERE " EXPIRED,
    [IDEM__SQLITE_REPLACE] =
        "UPDATE main.idem_record SET " ASSIGN " WHERE key = ?1 AND version = ?5 AND NOT " EXPIRED,
    [IDEM__SQLITE_REMOVE] =
        "DELETE FROM main.idem_record WHERE key = ?1 AND (?6 OR version = ?5) AND NOT " EXPIRED,
    /* The length of a column is read without its content. */
    [IDEM__SQLITE_LOOK] =
        "SELECT " LIFE ", id, ifnull(length(response), 0) + ifnull(length(checkpoint), 0) "
        "FROM main.idem_record WHERE id > ?1 ORDER BY id",
    [IDEM__SQLITE_LIST] = "SELECT " LIFE ", id, substr(key, 1, length(?2)) = ?2, key "
                          "FROM main.idem_record WHERE id > ?1 ORDER BY id",
    [IDEM__SQLITE_LAST] = "SELECT ifnull(max(id), 0) FROM main.idem_record",
    [IDEM__SQLITE_DROP] = "DELETE FROM main.idem_record WHERE id = ?1 AND " EXPIRED,
    [IDEM__SQLITE_DATE] = SET_DATE "key = ?1 AND " IS_STRAY,
    [IDEM__SQLITE_DATE_RANGE] = SET_DATE "id > ?1 AND id <= ?5 AND " IS_STRAY,
    [IDEM__SQLITE_COUNT_STRAYS] = "SELECT count(*) FROM main.idem_record WHERE " IS_STRAY,
};

int idem__sqlite_prepare(idem__sqlite *self, const char *sql, unsigned flags,
                         sqlite3_stmt **statement)
{
    for (int tries = 0;; tries++) {
        int code = sqlite3_prepare_v3(self->db, sql, -1, flags, statement, NULL);
        if (code == SQLITE_OK)
            return code;
        /* A caller's connection may be set to give primary codes only. */
        code = sqlite3_extended_errcode(self->db);
        if (!idem__sqlite_lock_may_pass(self, code) || !idem__sqlite_lock_wait(self, tries))
            return code;
    }
}

sqlite3_stmt *idem__sqlite_statement(idem__sqlite *self, idem__sqlite_sql which,
                                     idem__sqlite_fault *fault)
{
    if (!self->statements[which]) {
        int code = idem__sqlite_prepare(self, texts[which], SQLITE_PREPARE_PERSISTENT,
                                        &self->statements[which]);
        if (code != SQLITE_OK)
            (void)idem__sqlite_fault_take(self, code, fault);
    }
    return self->statements[which];
}

int idem__sqlite_step(idem__sqlite *self, sqlite3_stmt *statement)
{
    for (int tries = 0;; tries++) {
        if (idem__sqlite_is_cut_off(self))
            return SQLITE_ABORT_ROLLBACK;
        int code = sqlite3_step(statement);
        if (code == SQLITE_ROW || code == SQLITE_DONE)
            return code;
        code = sqlite3_extended_errcode(self->db);
        (void)sqlite3_reset(statement);
        if (!idem__sqlite_lock_may_pass(self, code) || !idem__sqlite_lock_wait(self, tries))
            return code;
    }
}

void idem__sqlite_done(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

int idem__sqlite_run(idem__sqlite *self, idem__sqlite_sql which)
{
    idem__sqlite_fault unused = {0};
    sqlite3_stmt *statement = idem__sqlite_statement(self, which, &unused);
    if (!statement)
        return sqlite3_extended_errcode(self->db);
    int code = idem__sqlite_step(self, statement);
    (void)sqlite3_reset(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int idem__sqlite_pragma(idem__sqlite *self, const char *sql, char answer[IDEM__SQLITE_PRAGMA_SIZE],
                        idem__sqlite_fault *fault)
{
    sqlite3_stmt *statement = NULL;
    int code = idem__sqlite_prepare(self, sql, 0, &statement);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, statement);
    answer[0] = '\0';
    /* To its end: a new journal mode is committed behind the row that tells of it. */
    while (code == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(statement, 0);
        if (!text && sqlite3_errcode(self->db) == SQLITE_NOMEM)
            code = SQLITE_NOMEM;
        else
            code = SQLITE_OK;
        (void)snprintf(answer, IDEM__SQLITE_PRAGMA_SIZE, "%s", text ? (const char *)text : "");
        if (code == SQLITE_OK)
            code = idem__sqlite_step(self, statement);
    }
    int rc = IDEM_OK;
    if (code != SQLITE_DONE)
        rc = idem__sqlite_fault_take(self, code, fault);
    (void)sqlite3_finalize(statement);
    return rc;
}

void idem__sqlite_statements_close(idem__sqlite *self)
{
    for (size_t i = 0; i < IDEM__SQLITE_STATEMENTS; i++) {
        (void)sqlite3_finalize(self->statements[i]);
        self->statements[i] = NULL;
    }
}
