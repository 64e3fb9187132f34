/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong with a server, told in the library's words: one table from SQLSTATEs to error
 * codes, to whether repeating helps, and to what a person can do.
 *
 * An error that a server reports for a statement means that the transaction was rolled back, so
 * nothing was changed. What is uncertain is decided where COMMIT is waited for.
 */
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>

enum { PERMANENT = 1, DROP = 2, ONE_OP = 4, LOCK = 8, NO_WRITES = 16, NO_TABLE = 32, TABLE = 64 };

typedef struct {
    const char *beginning; /* of the SQLSTATE */
    int code;
    unsigned flags;
    const char *says; /* behind the server's name, or behind the table's (TABLE) */
} translation;

/* The first row that fits; the last fits all. */
static const translation translations[] = {
    {"55P03", IDEM_ERR_UNAVAILABLE, ONE_OP | LOCK | TABLE,
     "has a row that another transaction holds: look for one that was left open"},
    {"40003", IDEM_ERR_UNCERTAIN, 0, "could not tell whether a transaction was carried out"},
    {"40P01", IDEM_ERR_UNAVAILABLE, 0, "ended a deadlock with other users of the table"},
    {"40", IDEM_ERR_UNAVAILABLE, 0, "rolled the transaction back, for others were at it"},
    {"25P02", IDEM_ERR_UNAVAILABLE, PERMANENT, "has aborted the transaction: roll it back"},
    {"25006", IDEM_ERR_UNAVAILABLE, NO_WRITES | DROP,
     "takes no writes (read-only, or a standby): if there was a failover, the URL has to lead to "
     "the new primary"},
    {"25", IDEM_ERR_UNAVAILABLE, DROP, "has ended the transaction (a time-out of its own?)"},
    {"53300", IDEM_ERR_UNAVAILABLE, DROP,
     "has as many connections as it may: raise its max_connections, or put a pooler in front"},
    {"53100", IDEM_ERR_FULL, PERMANENT | NO_WRITES,
     "has no space left on its disk: free some; what was acknowledged is safe"},
    {"53200", IDEM_ERR_UNAVAILABLE, 0, "is out of memory"},
    {"53", IDEM_ERR_UNAVAILABLE, DROP, "lacks resources: look at its log"},
    {"57014", IDEM_ERR_UNAVAILABLE, 0,
     "cancelled a statement: look for a statement_timeout that is too short"},
    {"57", IDEM_ERR_UNAVAILABLE, DROP, "is shutting down, or not up yet"},
    {"08", IDEM_ERR_UNAVAILABLE, DROP, "has lost the connection"},
    {"54000", IDEM_ERR_TOO_LARGE, PERMANENT | ONE_OP, "takes no value of this size: store less"},
    {"54", IDEM_ERR_TOO_LARGE, PERMANENT | ONE_OP, "takes no value of this size: store less"},
    {"28", IDEM_ERR_UNAVAILABLE, PERMANENT | DROP,
     "refused the user or the password: correct them, or its pg_hba.conf"},
    {"3D", IDEM_ERR_UNAVAILABLE, PERMANENT | DROP,
     "has no database of this name: create it, or correct the URL"},
    {"42501", IDEM_ERR_UNAVAILABLE, PERMANENT | NO_WRITES | TABLE,
     "may not be used by this role: GRANT it SELECT, INSERT, UPDATE, DELETE on the table, and "
     "USAGE on its schema"},
    {"42P01", IDEM_ERR_UNAVAILABLE, DROP | NO_TABLE | TABLE, "is not there any more"},
    {"3F", IDEM_ERR_UNAVAILABLE, PERMANENT | DROP | NO_TABLE | TABLE,
     "can't be made: its schema is not there"},
    {"26", IDEM_ERR_UNAVAILABLE, DROP,
     "lost a prepared statement, as poolers do: it is done without them from now on"},
    {"42P05", IDEM_ERR_UNAVAILABLE, DROP,
     "has a prepared statement of another's, as behind poolers: it is done without them from now "
     "on"},
    {"0A", IDEM_ERR_UNAVAILABLE, DROP, "can't do that, or the table was changed meanwhile"},
    {"42", IDEM_ERR_CORRUPT, PERMANENT | DROP | TABLE, "is not a table that this library made"},
    {"23", IDEM_ERR_CORRUPT, PERMANENT | ONE_OP | TABLE,
     "has a constraint that this library did not make"},
    {"22", IDEM_ERR_CORRUPT, PERMANENT | ONE_OP | TABLE,
     "has a value that this library did not write, or a trigger"},
    {"P0", IDEM_ERR_CORRUPT, PERMANENT | ONE_OP | TABLE,
     "has a trigger that this library did not make, and which failed"},
    {"XX001", IDEM_ERR_CORRUPT, PERMANENT | TABLE, "is damaged: restore it from a backup"},
    {"XX002", IDEM_ERR_CORRUPT, PERMANENT | TABLE, "has a damaged index: REINDEX it"},
    {"58", IDEM_ERR_UNAVAILABLE, 0, "can't read or write its own files: look at its disk"},
    {"", IDEM_ERR_INTERNAL, PERMANENT, "answered with an error that is not known here"},
};

int idem__postgres_fault_set(idem__postgres_fault *fault, bool permanent, int code,
                             const char *format, ...)
{
    va_list arguments;
    if (fault->error.code)
        return fault->error.code;
    va_start(arguments, format);
    (void)idem_error_set_v(&fault->error, code, format, arguments);
    va_end(arguments);
    fault->permanent = permanent;
    return code;
}

int idem__postgres_fault_report(const idem__postgres_fault *fault, idem_error *error)
{
    int rc = idem_error_set(error, fault->error.code, "%s", fault->error.message);
    return fault->permanent && rc == IDEM_ERR_UNAVAILABLE ? rc | IDEM_PERMANENT : rc;
}

int idem__postgres_fault_take(idem__postgres_fault *fault, const char *name, const char *table,
                              const char *sqlstate)
{
    const char *state = sqlstate ? sqlstate : "";
    const translation *row = translations;
    while (strncmp(state, row->beginning, strlen(row->beginning)) != 0)
        row++;
    fault->drop = fault->drop || (row->flags & DROP);
    if (fault->error.code)
        return fault->error.code;
    (void)snprintf(fault->sqlstate, sizeof fault->sqlstate, "%.5s", state);
    fault->of_one_op = (row->flags & ONE_OP) != 0;
    fault->of_lock = (row->flags & LOCK) != 0;
    fault->no_writes = (row->flags & NO_WRITES) != 0;
    fault->no_table = (row->flags & NO_TABLE) != 0;
    bool of_table = (row->flags & TABLE) != 0;
    return idem__postgres_fault_set(fault, (row->flags & PERMANENT) != 0, row->code,
                                    "%s%s%s %s (SQLSTATE %.5s)", name, of_table ? ": table " : "",
                                    of_table ? table : "", row->says, *state ? state : "none");
}
