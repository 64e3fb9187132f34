/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong in SQLite, told in the library's words: one table from result codes to error
 * codes, to whether repeating helps, and to what a person can do.
 */
#include "cause.h"
#include "file_limit.h"
#include "transaction.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct {
    int sqlite;
    int code;
    bool permanent;
    bool of_one_op;
    const char *says; /* behind the database's name */
} translation;

/* The first row that fits; 0 fits all. */
static const translation translations[] = {
    {SQLITE_READONLY, IDEM_ERR_UNAVAILABLE, true, false,
     "can't be written: let this user write the file and its folder"},
    {SQLITE_FULL, IDEM_ERR_FULL, true, false,
     "is full: free space on its disk; what was acknowledged is safe"},
    {SQLITE_IOERR, IDEM_ERR_UNAVAILABLE, false, false, "can't be read or written: check its disk"},
    {SQLITE_CORRUPT, IDEM_ERR_CORRUPT, true, true,
     "is damaged: restore it from a backup, or rescue it with sqlite3's .recover"},
    {SQLITE_NOTADB, IDEM_ERR_CORRUPT, true, false, "is not a SQLite database: name another file"},
    {SQLITE_CANTOPEN, IDEM_ERR_UNAVAILABLE, true, false,
     "can't be opened: its folder has to be there, and this user has to be able to write in it"},
    {SQLITE_PERM, IDEM_ERR_UNAVAILABLE, true, false, "may not be used by this user"},
    {SQLITE_AUTH, IDEM_ERR_UNAVAILABLE, true, false,
     "is guarded by an authorizer that refused: allow the tables idem_record and idem_schema"},
    {SQLITE_NOMEM, IDEM_ERR_NO_MEMORY, true, false, "needs more memory than there is"},
    {SQLITE_TOOBIG, IDEM_ERR_TOO_LARGE, true, true, "can't hold a value of this size"},
    {SQLITE_BUSY, IDEM_ERR_UNAVAILABLE, false, false, "is locked"}, /* take_lock() says more */
    {SQLITE_LOCKED, IDEM_ERR_UNAVAILABLE, false, false, "is locked"},
    {SQLITE_PROTOCOL, IDEM_ERR_UNAVAILABLE, false, false, "is locked"},
    {SQLITE_ABORT, IDEM_ERR_UNAVAILABLE, false, false, "gave the call up"},
    {SQLITE_INTERRUPT, IDEM_ERR_UNAVAILABLE, false, false, "was interrupted"},
    {SQLITE_ERROR, IDEM_ERR_CORRUPT, true, true, "has tables that this library did not make"},
    {SQLITE_SCHEMA, IDEM_ERR_UNAVAILABLE, false, true, "has tables that keep being changed"},
    {SQLITE_CONSTRAINT, IDEM_ERR_CORRUPT, true, true, "has tables that this library did not make"},
    {0, IDEM_ERR_INTERNAL, true, true, "failed"},
};

int idem__sqlite_fault_set(idem__sqlite_fault *fault, bool permanent, int code, const char *format,
                           ...)
{
    va_list arguments;
    if (fault->error.code)
        return fault->error.code;
    fault->permanent = permanent;
    va_start(arguments, format);
    (void)idem_error_set_v(&fault->error, code, format, arguments);
    va_end(arguments);
    return code;
}

int idem__sqlite_fault_report(const idem__sqlite_fault *fault, idem_error *error)
{
    int rc = idem_error_set(error, fault->error.code, "%s", fault->error.message);
    return fault->permanent && rc == IDEM_ERR_UNAVAILABLE ? rc | IDEM_PERMANENT : rc;
}

static bool is_lock(int code)
{
    int primary = code & 0xff;
    return primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_PROTOCOL;
}

static int take_lock(idem__sqlite *self, int code, idem__sqlite_fault *fault)
{
    fault->of_lock = true;
    if (code == SQLITE_BUSY_SNAPSHOT)
        return idem__sqlite_fault_set(
            fault, true, IDEM_ERR_UNAVAILABLE,
            "%s was written by another connection since your transaction, or a statement of "
            "yours, began to read: end it, and begin again with BEGIN IMMEDIATE",
            self->name);
    uint64_t waited_ms = idem_monotonic_ms() - self->entered_ms;
    bool early = self->give_up_ms < self->deadline_ms;
    return idem__sqlite_fault_set(
        fault, early, IDEM_ERR_UNAVAILABLE,
        "%s stayed locked by another writer for %llu ms: look for a transaction that is left "
        "open, or set a longer %s",
        self->name, (unsigned long long)waited_ms, early ? "busy_timeout" : "timeout");
}

/* What the system said, or else SQLite; never the text of a statement's values. */
static const char *detail(idem__sqlite *self, int code, char *buf, size_t size)
{
    int number = idem__sqlite_cause_number(self, code);
    if (number != 0 && strerror_r(number, buf, size) == 0)
        return buf;
    if ((code & 0xff) == SQLITE_ERROR && self->db)
        return sqlite3_errmsg(self->db);
    return sqlite3_errstr(code);
}

/* The errors that a full disk can hide behind. */
static bool may_be_full(int code)
{
    switch (code) {
    case SQLITE_IOERR_WRITE:
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
    case SQLITE_IOERR_TRUNCATE:
    case SQLITE_IOERR_SHMOPEN:
    case SQLITE_IOERR_SHMMAP:
        return true;
    default:
        return (code & 0xff) == SQLITE_CANTOPEN;
    }
}

static int refine(idem__sqlite *self, int code)
{
    int reported = self->db ? sqlite3_extended_errcode(self->db) : code;
    if ((reported & 0xff) == (code & 0xff))
        code = reported;
    if (code == SQLITE_IOERR_SHMSIZE)
        return SQLITE_FULL;
    if (code == SQLITE_IOERR_NOMEM)
        return SQLITE_NOMEM;
    if (!self->db || !may_be_full(code))
        return code;
    int number = sqlite3_system_errno(self->db);
    if (number == ENOSPC || number == EDQUOT || idem__sqlite_file_limit_is_reached(self->db))
        return SQLITE_FULL;
    return code;
}

/* Whatever the cause was: nothing of the transaction is left, what others in the batch did
   included. */
static int take_cut_off(idem__sqlite *self, const translation *row, int code,
                        idem__sqlite_fault *fault)
{
    char buf[80];
    return idem__sqlite_fault_set(fault, true, row->code,
                                  "SQLite has rolled back your whole transaction, and nothing was "
                                  "written: begin it again; the cause: %.60s, in %s",
                                  detail(self, code, buf, sizeof buf), self->name);
}

/* True if it was the deadline that ended the statement: see harden.c. */
static bool is_deadline(const idem__sqlite *self, int code)
{
    return code == SQLITE_INTERRUPT && !self->joined && self->deadline_ms > self->entered_ms &&
           idem_monotonic_ms() >= self->deadline_ms;
}

int idem__sqlite_fault_take(idem__sqlite *self, int code, idem__sqlite_fault *fault)
{
    char buf[80];
    bool cut_off = idem__sqlite_is_cut_off(self);
    code = refine(self, code);
    if (is_lock(code) && !cut_off)
        return take_lock(self, code, fault);
    if (!cut_off && code == SQLITE_FULL && self->db && idem__sqlite_file_limit_is_reached(self->db))
        return idem__sqlite_fault_set(
            fault, true, IDEM_ERR_FULL,
            "%s may not grow: this process may write no larger file; raise "
            "its limit (ulimit -f); what was acknowledged is safe",
            self->name);
    if (!cut_off && is_deadline(self, code))
        return idem__sqlite_fault_set(
            fault, false, IDEM_ERR_UNAVAILABLE,
            "%s did not answer by the call's deadline (after %llu ms), and "
            "nothing was changed: check its disk, or set a longer timeout",
            self->name, (unsigned long long)(idem_monotonic_ms() - self->entered_ms));
    const translation *row = translations;
    while (row->sqlite && row->sqlite != (code & 0xff))
        row++;
    if (cut_off)
        return take_cut_off(self, row, code, fault);
    const char *cause = idem__sqlite_cause_text(idem__sqlite_cause_number(self, code));
    fault->of_one_op = row->of_one_op;
    return idem__sqlite_fault_set(fault, row->permanent, row->code, "%s %s (%.60s)", self->name,
                                  cause ? cause : row->says, detail(self, code, buf, sizeof buf));
}

/* A commit that could not write its last frame is void. One that failed behind that (syncing,
   indexing) may come back when the log is recovered. */
static bool is_void(const idem__sqlite *self, int code, int refined)
{
    if (code == SQLITE_INTERRUPT && !self->joined && !self->committing)
        return true;
    if (is_lock(code) || (code & 0xff) == SQLITE_READONLY || code == SQLITE_FULL)
        return true;
    return code == SQLITE_IOERR_WRITE && refined == SQLITE_FULL;
}

int idem__sqlite_fault_take_commit(idem__sqlite *self, int code, idem__sqlite_fault *fault)
{
    char buf[80];
    if (self->nested || is_void(self, code, refine(self, code)))
        return idem__sqlite_fault_take(self, code, fault);
    return idem__sqlite_fault_set(fault, false, IDEM_ERR_UNCERTAIN,
                                  "%s: the commit failed, and the change may have been made or "
                                  "not (%.60s): check the disk",
                                  self->name, detail(self, code, buf, sizeof buf));
}
