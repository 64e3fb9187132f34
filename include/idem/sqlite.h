/* SPDX-License-Identifier: MIT */
/**
 * @file idem/sqlite.h
 * @brief A store inside the caller's own SQLite transaction: effects that are truly once.
 */
#ifndef IDEM_SQLITE_H
#define IDEM_SQLITE_H

#include <idem/idem.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;

/**
 * Opens a store on the caller's own connection.
 *
 * What idem_begin(), idem_complete() and the other calls change is part of the transaction that
 * is open on `db` at that moment: roll it back, and claim and completion are gone together with
 * the business rows; commit it, and all of them stand. Outside a transaction each call makes its
 * own. Begin yours with `BEGIN IMMEDIATE`: a transaction that starts as a reader can find that it
 * may no longer write, and has to be rolled back.
 *
 * If SQLite rolls your transaction back in the middle of a call (sqlite3_interrupt(), a full or
 * failing disk, no memory), the call fails for good, nothing is written, and the message says so: a
 * call never goes on in another transaction, or in none. A claim that was begun in a transaction is
 * gone with it, whatever flags it has: IDEM_REINSTATE puts back only one that was begun outside of
 * any.
 *
 * The store's tables (their names begin with `idem_`) are created if they are not there. Journal
 * mode, synchronous level and busy handler stay as the caller set them.
 *
 * @param db        an open connection, not inside a transaction during this call.
 * @param options   parameters as in a URL's query, such as `lease=30s&ttl=72h`; may be NULL.
 * @param[out] store  the handle; close it with idem_close() before the connection.
 * @return IDEM_ERR_ARGUMENT: a transaction is open, or an option is not known;
 *         IDEM_ERR_UNSUPPORTED: the tables were written by a newer version;
 *         IDEM_ERR_UNAVAILABLE: also if the file is in use under another name, or by another
 *         kernel; IDEM_ERR_NO_MEMORY.
 * @par Ownership  the connection stays the caller's, and must outlive the store.
 * @par Threads    the thread that may use `db` at that moment. IDEM_KEEPALIVE is unsupported.
 * @par fork()     as for `db` itself: SQLite forbids to use a connection in a child.
 */
IDEM_API IDEM_MUST_CHECK int idem_sqlite_open_on(struct sqlite3 *db, const char *options,
                                                 idem_store **store, idem_error *error);

#ifdef __cplusplus
}
#endif

#endif
