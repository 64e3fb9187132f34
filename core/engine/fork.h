/* SPDX-License-Identifier: MIT */
/* Open stores, and how they go through a fork(). */
#ifndef IDEM_CORE_FORK_H
#define IDEM_CORE_FORK_H

#include <idem/async.h>

/** Makes a store known to fork(). @return IDEM_ERR_NO_MEMORY; IDEM_ERR_UNAVAILABLE: another thread
 *  was about to fork until the deadline */
int idem__fork_add(idem_store *store, uint64_t deadline_ms, idem_error *error);
/** Waits for a thread that is about to fork. */
void idem__fork_remove(idem_store *store);

/** Takes a store off whose opening has failed. It waits for nothing: if another thread is about to
 *  fork, the store is left to whatever opens or closes one next, which calls `end`.
 *  @return false: it was left, and is no longer the caller's */
bool idem__fork_give_up(idem_store *store, void (*end)(idem_store *store));

/** The same for a queue on a store that is known. */
int idem__fork_add_async(idem_async *async, uint64_t deadline_ms, idem_error *error);
void idem__fork_remove_async(idem_async *async);

#endif
