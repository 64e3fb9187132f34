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

/** The most ops that are under way on a connection. */
#define IDEM__POSTGRES_LIVE_MAX (2 * IDEM_BATCH_MAX)

/** How long a statement waits for a row that another transaction holds. */
#define IDEM__POSTGRES_LOCK_MS UINT64_C(500)

/** Statements that were sent together, and their results. */
typedef struct {
    bool committing;    /**< what was sent may be committed from here on */
    bool doubtful;      /**< a warning came with it: see wire.c */
    bool refused;       /**< a statement of it was */
    bool between;       /**< a result was taken in, and the NULL behind it was not */
    bool ended;         /**< all of its results are here */
    bool lost;          /**< no more of them will come */
    char sqlstate[8];   /**< of its first error that was judged; empty: none */
    uint64_t preparing; /**< the statements that it prepares */
    size_t expected_count;
    size_t expected_at;
    size_t results_count;
    size_t results_at;
    uint8_t expected[IDEM__POSTGRES_EXPECTED_MAX];      /**< results to come: see wire.c */
    PGresult *results[IDEM__POSTGRES_EXPECTED_MAX + 1]; /**< one more: a commit that was refused */
} idem__postgres_pipeline;

struct idem__postgres_flight;

/** Flights in a row: see flight.h. */
typedef struct {
    struct idem__postgres_flight *first;
    struct idem__postgres_flight *last;
    size_t count;
} idem__postgres_queue;

/** What is under way. */
typedef struct {
    idem__postgres_queue waiting; /**< not sent yet */
    idem__postgres_queue wire;    /**< sent, in this order */
    struct idem__postgres_flight *spare;
    uint64_t deadline_ms;       /**< of the op that has least time; UINT64_MAX: not known */
    bool waits;                 /**< a caller does, here: what is large may be waited for */
    size_t live;                /**< ops that were taken and not given back */
    bool leaving;               /**< the connection is closed when all is answered */
    idem__postgres_fault fault; /**< why the connection is over, or will be */
    size_t done_count;
    idem_op *done[IDEM__POSTGRES_LIVE_MAX]; /**< to be given back */
} idem__postgres_traffic;

typedef struct idem__postgres {
    idem_backend base;
    const idem_config *config;
    const idem__pq *pq;
    PGconn *conn;         /**< NULL: closed; the next call opens it again */
    uint64_t progress;    /**< how often something has come */
    uint32_t peeked_us;   /**< when that was looked for last */
    bool no_memory;       /**< something has failed for want of it, whatever was told */
    bool joined;          /**< conn is the caller's */
    bool nested;          /**< joined: the batch is carried out inside the caller's transaction */
    bool was_nonblocking; /**< joined: how the caller had set it */
    bool overhears;       /**< joined: warnings are seen on their way to the caller */
    PQnoticeReceiver libpqs_receiver; /**< joined: what libpq has where nothing else was set */
    bool pooled;        /**< a pooler is in between: nothing may be left in the session */
    bool hidden_pooler; /**< one was found out by what it did to prepared statements */
    bool unnamed;       /**< statements are sent by their texts */
    bool may_read;      /**< this role's rights on the table */
    bool may_write;
    bool broken; /**< the connection is to be closed when the call is done */
    bool late;   /**< it was broken because answers did not come in time */
    char name[IDEM__POSTGRES_NAME_SIZE]; /**< the server in messages */
    char
        table[IDEM__POSTGRES_TABLE_SIZE]; /**< quoted, for SQL; with its schema once it was found */
    bool resolved;                        /**< `table` has its schema */
    uint64_t heard_ms;                    /**< when the server has answered last */
    unsigned version;                     /**< of the server, as in 150004 */

    char *sql[IDEM__POSTGRES_STATEMENTS]; /**< the texts with the table's name in them */
    uint64_t prepared;                    /**< which of them this connection's server knows */
    char last_refusal[8];                 /**< SQLSTATE of the batch before; empty: none */

    idem__postgres_pipeline *pipe;   /**< the one that is sent, or whose results are judged */
    idem__postgres_pipeline *oldest; /**< the one whose results come next */
    idem__postgres_pipeline own;     /**< for what is waited for at once */
    idem__postgres_traffic traffic;

    uint32_t fresh;         /**< inserts in a row that have found nothing */
    uint32_t unlooked;      /**< batches that were not looked up, for the distance */
    uint32_t round_trip_us; /**< about how long a look takes */
    idem_buffer text;       /**< of one record, while it is sent */
    size_t swept_ahead;     /**< so many inserts more need no sweep */
    size_t sweeping_ahead;  /**< the same, once the sweep that was sent is through */
    bool sweep_failed;      /**< expired rows are left to purge */
    bool sweep_begun;       /**< `sweep_key` is where the last sweep ended */
    size_t sweep_key_len;
    uint8_t sweep_key[IDEM__POSTGRES_KEY_MAX];
} idem__postgres;

#endif
