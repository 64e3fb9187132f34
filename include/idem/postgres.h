/* SPDX-License-Identifier: MIT */
/**
 * @file idem/postgres.h
 * @brief A store inside the caller's own PostgreSQL transaction: effects that are truly once.
 */
#ifndef IDEM_POSTGRES_H
#define IDEM_POSTGRES_H

#include <idem/idem.h>

#ifdef __cplusplus
extern "C" {
#endif

/** libpq's PGconn. */
struct pg_conn;

/**
 * Opens a store on the caller's own connection.
 *
 * What idem_begin(), idem_complete() and the other calls change is part of the transaction that is
 * open on `conn` at that moment: roll it back, and claim and completion are gone together with the
 * business rows; commit it, and all of them stand. Outside of a transaction each call makes its
 * own.
 *
 * Each call works inside a savepoint of its own, so a call that fails leaves the transaction as it
 * was. What is read and refused follows the isolation level of that transaction: under REPEATABLE
 * READ and SERIALIZABLE a call may fail with a serialization failure, as any statement may, and
 * the transaction has to be rolled back and begun again.
 *
 * A key that another transaction, still open, has claimed is IDEM_IN_PROGRESS after half a second
 * at most, or after the caller's own lock_timeout if that is shorter; retry_after_ms is 1000 then,
 * since nobody can know how long that transaction will take. Every failure inside a transaction is
 * final: no call is repeated by the library there.
 *
 * @param conn      an open connection, not inside a transaction during this call, not in pipeline
 *                  mode, with no query under way. It has to be one of the shared library libpq.
 * @param options   parameters as in a URL's query, such as `lease=30s&table=app.idem_record`; may
 *                  be NULL.
 * @param[out] store  the handle; close it with idem_close() before the connection.
 * @return IDEM_ERR_ARGUMENT: a transaction is open, the connection is in pipeline mode, or an
 *         option is not known; IDEM_ERR_UNSUPPORTED: the table was made by a newer version, or
 *         there is no libpq of PostgreSQL 14 or later; IDEM_ERR_UNAVAILABLE; IDEM_ERR_NO_MEMORY.
 * @par Ownership  the connection stays the caller's, and must outlive the store. The unnamed
 *                 prepared statement is used. When the server has not answered 100 ms behind a
 *                 call's deadline, the connection is cut, and the transaction is gone. Notices go
 *                 where the caller has them go. A commit that comes with a warning may be on this
 *                 server alone: where a call has made its own transaction it is
 *                 IDEM_ERR_UNCERTAIN, unless a receiver that was set by PQsetNoticeReceiver()
 *                 hears the warning. One set by PQsetNoticeProcessor() is fine.
 * @par Threads    the thread that may use `conn` at that moment. IDEM_KEEPALIVE is unsupported.
 * @par fork()     as for `conn` itself: a child must not use it.
 */
IDEM_API IDEM_MUST_CHECK int idem_postgres_open_on(struct pg_conn *conn, const char *options,
                                                   idem_store **store, idem_error *error);

#ifdef __cplusplus
}
#endif

#endif
