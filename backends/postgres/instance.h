/* SPDX-License-Identifier: MIT */
/* The instance that the files of this backend share: one connection, and what is known of its
   server. */
#ifndef IDEM_POSTGRES_INSTANCE_H
#define IDEM_POSTGRES_INSTANCE_H

#include "fault.h"
#include "pq.h"
#include "statements.h"

/** Room for "PostgreSQL at " and quoted hosts. */
#define IDEM__POSTGRES_NAME_SIZE (IDEM_QUOTE_SIZE + 32)

/** Room for `"schema"."table"`, each with up to 63 bytes that may all be quotation marks. */
#define IDEM__POSTGRES_TABLE_SIZE 264

/** The longest key that a record is kept under. */
#define IDEM__POSTGRES_KEY_MAX (IDEM_KEY_MAX + IDEM_PREFIX_MAX)

/** Results that one pipeline may have: a prepare and two statements for each op, and some
    around. */
#define IDEM__POSTGRES_EXPECTED_MAX (4 * IDEM_BATCH_MAX + 32)

/** How long a statement waits for a row that another transaction holds. */
#define IDEM__POSTGRES_LOCK_MS UINT64_C(500)

typedef struct idem__postgres {
    idem_backend base;
    const idem_config *config;
    const idem__pq *pq;
    PGconn *conn;         /**< NULL: closed; the next call opens it again */
    bool joined;          /**< conn is the caller's */
    bool nested;          /**< joined: the batch is carried out inside the caller's transaction */
    bool was_nonblocking; /**< joined: how the caller had set it */
    bool pooled;          /**< a pooler is in between: nothing may be left in the session */
    bool hidden_pooler;   /**< one was found out by what it did to prepared statements */
    bool unnamed;         /**< statements are sent by their texts */
    bool may_read;        /**< this role's rights on the table */
    bool may_write;
    bool broken;     /**< the connection is to be closed when the call is done */
    bool committing; /**< what was sent may be committed from here on */
    bool doubtful;   /**< a warning came with the pipeline: see wire.c */
    char name[IDEM__POSTGRES_NAME_SIZE]; /**< the server in messages */
    char
        table[IDEM__POSTGRES_TABLE_SIZE]; /**< quoted, for SQL; with its schema once it was found */
    char server_id[24];                   /**< which cluster this is; empty: not known */
    bool resolved;                        /**< `table` has its schema */
    uint64_t heard_ms;                    /**< when the server has answered last */
    unsigned version;                     /**< of the server, as in 150004 */

    char *sql[IDEM__POSTGRES_STATEMENTS]; /**< the texts with the table's name in them */
    uint64_t prepared;                    /**< which of them this connection's server knows */
    uint64_t preparing;                   /**< the same, when the pipeline is through */

    uint8_t expected[IDEM__POSTGRES_EXPECTED_MAX]; /**< results to come: see wire.c */
    size_t expected_count;
    size_t expected_at;
    char last_refusal[8]; /**< the same of the call before; empty: it was not refused */
    char sqlstate[8];     /**< of the pipeline's first error; empty: none */

    uint32_t fresh;         /**< inserts in a row that have found nothing */
    uint32_t unlooked;      /**< batches that were not looked up, for the distance */
    uint32_t round_trip_us; /**< about how long a look takes */
    idem_buffer text;       /**< of one record, while it is sent */
    size_t swept_ahead;     /**< so many inserts more need no sweep */
    bool sweep_failed;      /**< expired rows are left to purge */
    bool sweep_begun;       /**< `sweep_key` is where the last sweep ended */
    size_t sweep_key_len;
    uint8_t sweep_key[IDEM__POSTGRES_KEY_MAX];
} idem__postgres;

#endif
