/* SPDX-License-Identifier: MIT */
/* The SQL of this backend. */
#ifndef IDEM_POSTGRES_STATEMENTS_H
#define IDEM_POSTGRES_STATEMENTS_H

#include "fault.h"

struct idem__postgres;

typedef enum {
    IDEM__POSTGRES_GET,             /**< $1 key */
    IDEM__POSTGRES_INSERT,          /**< $1 key, $2 version, $3 life in ms, $4 record */
    IDEM__POSTGRES_INSERT_NEW,      /**< the same; nothing, where there is any row with the key */
    IDEM__POSTGRES_INSERT_NEW_MANY, /**< as INSERT_MANY; rows of those that were made, in order */
    IDEM__POSTGRES_GET_MANY,        /**< $1 keys; rows in their order, a key last */
    IDEM__POSTGRES_INSERT_MANY,     /**< $1 keys, $2 versions, $3 lives, $4 records: likewise */
    IDEM__POSTGRES_REPLACE,         /**< the same, $5 the version that is expected */
    IDEM__POSTGRES_REMOVE,          /**< $1 key, $2 the version that is expected */
    IDEM__POSTGRES_REMOVE_ANY,      /**< $1 key */
    IDEM__POSTGRES_SWEEP,   /**< $1 the key to begin behind, $2 rows to look at, $3 to remove */
    IDEM__POSTGRES_SCAN,    /**< $1 the key to begin behind, $2 prefix, $3 rows, $4 bytes */
    IDEM__POSTGRES_BARRIER, /**< a write that changes nothing */
    IDEM__POSTGRES_BEGIN,
    IDEM__POSTGRES_COMMIT,
    IDEM__POSTGRES_ROLLBACK,
    IDEM__POSTGRES_SETTINGS,   /**< of our own transaction: $1 how long to wait for locks */
    IDEM__POSTGRES_LOCAL_LOCK, /**< $1 how long to wait for locks, in this transaction */
    IDEM__POSTGRES_SAVEPOINT,
    IDEM__POSTGRES_RELEASE,
    IDEM__POSTGRES_ROLLBACK_TO,
    IDEM__POSTGRES_SHORTER_LOCK, /**< as LOCAL_LOCK, unless the caller's own is shorter */
    IDEM__POSTGRES_CALLERS_LOCK, /**< puts the caller's back */
    IDEM__POSTGRES_SESSION,      /**< settings of a connection of our own: $1 as above */
    IDEM__POSTGRES_LOOK,         /**< $1 the table: what is there, and may it be used */
    IDEM__POSTGRES_CHECK,        /**< $1 the table: settings, and how its server is */
    IDEM__POSTGRES_LOCK_SCHEMA,  /**< $1 the table: one process at a time makes it */
    IDEM__POSTGRES_CREATE,
    IDEM__POSTGRES_COMMENT,
    IDEM__POSTGRES_STATEMENTS
} idem__postgres_sql;

#define IDEM__POSTGRES_PARAMS_MAX 5

/** What makes a table. Rows get room on their pages, so that updates stay on them. */
#define IDEM__POSTGRES_CREATE_TABLE(table)                                           \
    "CREATE TABLE " table " (key bytea PRIMARY KEY, version int8 NOT NULL, written " \
    "timestamptz NOT NULL, expires timestamptz NOT NULL, record bytea NOT NULL) "    \
    "WITH (fillfactor = 60)"

/** A statement's parameters, to be filled in order. */
typedef struct {
    int count;
    const char *values[IDEM__POSTGRES_PARAMS_MAX];
    int lengths[IDEM__POSTGRES_PARAMS_MAX];
    char numbers[IDEM__POSTGRES_PARAMS_MAX][8];
} idem__postgres_params;

void idem__postgres_param_bytes(idem__postgres_params *params, idem_bytes bytes);
void idem__postgres_param_number(idem__postgres_params *params, int64_t number);
void idem__postgres_param_text(idem__postgres_params *params, const char *text);

/** The text of a statement, with the table's name in it. NULL: there is no memory. */
const char *idem__postgres_sql_text(struct idem__postgres *self, idem__postgres_sql which);

/** The types of a statement's parameters. */
const unsigned *idem__postgres_sql_types(idem__postgres_sql which);

/** True for what is worth to be prepared. */
bool idem__postgres_sql_is_kept(idem__postgres_sql which);

/** True for what answers in text, not in binary. */
bool idem__postgres_sql_is_text(idem__postgres_sql which);

/** Forgets the texts: the table has another name. */
void idem__postgres_sql_clear(struct idem__postgres *self);

#endif
