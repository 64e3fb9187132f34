/* SPDX-License-Identifier: MIT */
/*
 * The table. It is looked up when a connection is new: name, shape, version, and this role's
 * rights on it. Where its schema was not written in the URL, the first look decides, and later
 * ones look in that schema alone: whatever a role's search_path says by then, it is the same
 * table (identity.c). A table that is gone is not made anew under an open store: all that was
 * completed would be new.
 *
 * The version is in the table's comment; without one it is version 1. A later version has to add
 * to the table only what old statements can do without, or to raise the number, and old ones
 * refuse it.
 */
#include "schema.h"

#include "identity.h"
#include "target.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

#define VERSION      1
#define COLUMNS_OURS 5

enum {
    C_PID,
    C_SERVER,
    C_SYSTEM,
    C_SCHEMA,
    C_TABLE,
    C_OID,
    C_KIND,
    C_READ,
    C_WRITE,
    C_VERSION,
    C_COLUMNS,
    C_UNIQUE,
    C_ALL
};

static const char *text_of(const idem__postgres *self, const PGresult *result, int column)
{
    return self->pq->PQgetvalue(result, 0, column);
}

static bool is_there(const idem__postgres *self, const PGresult *result)
{
    return !self->pq->PQgetisnull(result, 0, C_TABLE);
}

static int refuse(const idem__postgres *self, int code, const char *says,
                  idem__postgres_fault *fault)
{
    return idem__postgres_fault_set(fault, true, code, "%s: table %s %s", self->name, self->table,
                                    says);
}

static int judge_table(const idem__postgres *self, const PGresult *result,
                       idem__postgres_fault *fault)
{
    const char *kind = text_of(self, result, C_KIND);
    if (strchr("rp", *kind) == NULL)
        return refuse(self, IDEM_ERR_ARGUMENT, "is no table: name another", fault);
    if (atoi(text_of(self, result, C_VERSION)) > VERSION)
        return refuse(self, IDEM_ERR_UNSUPPORTED,
                      "was made by a newer libidem: update this program", fault);
    if (atoi(text_of(self, result, C_COLUMNS)) != COLUMNS_OURS)
        return refuse(self, IDEM_ERR_ARGUMENT,
                      "is not one that this library made: name another with table=", fault);
    if (atoi(text_of(self, result, C_UNIQUE)) < 1)
        return refuse(self, IDEM_ERR_ARGUMENT,
                      "has no primary key on its column key, so a key could be claimed twice: "
                      "restore it",
                      fault);
    return IDEM_OK;
}

static void take_name(idem__postgres *self, const PGresult *result)
{
    char *at = self->table;
    if (self->resolved)
        return;
    idem__postgres_target_quote(text_of(self, result, C_SCHEMA), at);
    at += strlen(at);
    *at++ = '.';
    idem__postgres_target_quote(text_of(self, result, C_TABLE), at);
    self->resolved = true;
    idem__postgres_sql_clear(self);
}

static int take_look(idem__postgres *self, const PGresult *result, idem__postgres_fault *fault)
{
    if (self->pq->PQntuples(result) != 1 || self->pq->PQnfields(result) != C_ALL)
        return idem__postgres_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                        "%s did not answer like PostgreSQL", self->name);
    self->version = (unsigned)atoi(text_of(self, result, C_SERVER));
    /* A pooler makes up its own number for the cancelling of a query. */
    self->pooled = self->hidden_pooler ||
                   atoi(text_of(self, result, C_PID)) != self->pq->PQbackendPID(self->conn);
    self->unnamed = self->pooled || self->joined;
    int rc = is_there(self, result) ? judge_table(self, result, fault) : IDEM_OK;
    if (rc == IDEM_OK && is_there(self, result))
        take_name(self, result);
    if (rc == IDEM_OK)
        rc = idem__postgres_identity_agree(self, text_of(self, result, C_SYSTEM),
                                           text_of(self, result, C_OID), fault);
    self->may_read = *text_of(self, result, C_READ) == 't';
    self->may_write = *text_of(self, result, C_WRITE) == 't';
    return rc;
}

static int look(idem__postgres *self, bool *there, uint64_t deadline_ms,
                idem__postgres_fault *fault)
{
    idem__postgres_params params = {0};
    PGresult *result = NULL;
    *there = false;
    idem__postgres_param_text(&params, self->table);
    int rc =
        idem__postgres_wire_run(self, IDEM__POSTGRES_LOOK, &params, deadline_ms, &result, fault);
    if (rc == IDEM_OK)
        rc = take_look(self, result, fault);
    if (rc == IDEM_OK)
        *there = is_there(self, result);
    self->pq->PQclear(result);
    return rc;
}

/* ------------------------------------------------------------------------------------ making it */

static int run(idem__postgres *self, idem__postgres_sql which, uint64_t deadline_ms,
               idem__postgres_fault *fault)
{
    return idem__postgres_wire_run(self, which, NULL, deadline_ms, NULL, fault);
}

static int make_locked(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    bool there = false;
    idem__postgres_params params = {0};
    idem__postgres_param_text(&params, self->table);
    int rc = idem__postgres_wire_run(self, IDEM__POSTGRES_LOCK_SCHEMA, &params, deadline_ms, NULL,
                                     fault);
    if (rc == IDEM_OK)
        rc = look(self, &there, deadline_ms, fault); /* another process may have been faster */
    if (rc || there)
        return rc;
    rc = run(self, IDEM__POSTGRES_CREATE, deadline_ms, fault);
    return rc ? rc : run(self, IDEM__POSTGRES_COMMENT, deadline_ms, fault);
}

/* What to do instead, with the statement to do it by. */
static void advise(const idem__postgres *self, idem__postgres_fault *fault)
{
    char create[512];
    size_t at = 0;
    for (const char *from = IDEM__POSTGRES_CREATE_TABLE("@"); *from && at < sizeof create; from++) {
        int len = *from == '@' ? snprintf(create + at, sizeof create - at, "%s", self->table)
                               : snprintf(create + at, sizeof create - at, "%c", *from);
        at += len > 0 ? (size_t)len : 0;
    }
    memset(fault, 0, sizeof *fault);
    (void)idem__postgres_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                   "the table is missing and this role may not make it: let "
                                   "another run %s",
                                   create);
}

static int make(idem__postgres *self, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    if (self->config->flags & IDEM_OPEN_EXISTING)
        return refuse(self, IDEM_ERR_UNAVAILABLE,
                      "is not there: nothing was stored yet, or table= has to name another", fault);
    int rc = run(self, IDEM__POSTGRES_BEGIN, deadline_ms, fault);
    if (rc)
        return rc;
    rc = make_locked(self, deadline_ms, fault);
    bool denied = rc && strcmp(self->own.sqlstate, "42501") == 0;
    if (rc == IDEM_OK)
        return run(self, IDEM__POSTGRES_COMMIT, deadline_ms, fault);
    if (!self->broken) {
        idem__postgres_fault unused = {0};
        (void)run(self, IDEM__POSTGRES_ROLLBACK, deadline_ms, &unused);
    }
    if (denied)
        advise(self, fault);
    return fault->error.code;
}

int idem__postgres_schema_ensure(idem__postgres *self, uint64_t deadline_ms,
                                 idem__postgres_fault *fault)
{
    bool there = false;
    bool known = idem__postgres_identity_recall(self);
    if (known && !self->resolved) {
        self->resolved = true;
        idem__postgres_sql_clear(self);
    }
    int rc = look(self, &there, deadline_ms, fault);
    if (rc || there)
        return rc;
    if (known)
        return refuse(self, IDEM_ERR_UNAVAILABLE,
                      "is not there any more, though this store was opened on it: give it its name "
                      "back, restore it, or open the store again to make a new one",
                      fault);
    rc = make(self, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = look(self, &there, deadline_ms, fault);
    if (rc == IDEM_OK && !there)
        rc = refuse(self, IDEM_ERR_UNAVAILABLE,
                    "can't be found where it was made: put its schema into search_path, or write "
                    "table=SCHEMA.NAME",
                    fault);
    return rc;
}
