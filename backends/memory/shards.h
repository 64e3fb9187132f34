/* SPDX-License-Identifier: MIT */
/* The records of one memory store: 64 tables, each with a lock of its own. */
#ifndef IDEM_MEMORY_SHARDS_H
#define IDEM_MEMORY_SHARDS_H

#include <idem/backend.h>

#define IDEM__SHARDS_COUNT 64u

typedef struct idem__shards idem__shards;

/**
 * Makes an empty set of shards.
 *
 * @param clock     judges expiry; if its `now_ms` is NULL, the system's monotonic clock does.
 * @param capacity  the most records that are kept; 0: any number.
 * @return IDEM_ERR_NO_MEMORY; IDEM_ERR_INTERNAL
 * @par Ownership   end it with idem__shards_close().
 */
int idem__shards_open(const idem_clock *clock, uint64_t capacity, uint64_t deadline_ms,
                      idem__shards **shards, idem_error *error);
void idem__shards_close(idem__shards *shards);

uint64_t idem__shards_capacity(const idem__shards *shards);
/** Borrowed from the shards. */
const idem_clock *idem__shards_clock(const idem__shards *shards);

/** Carries out a batch, one op after the other. */
void idem__shards_submit(idem__shards *shards, idem_op *const *ops, size_t count);

/** Gives the records of one shard after the other until the page is full. The lock of a shard is
 *  held while some of its records are given. @return what `page->emit` failed with */
int idem__shards_scan(idem__shards *shards, idem_scan_page *page, idem_error *error);

/** Drops expired records, one portion of them. */
void idem__shards_purge(idem__shards *shards, idem_purge_portion *portion);

/** Keeps all threads out until the thaw, across a fork(). May be called several times: the last
 *  thaw counts. Forks come one at a time. */
void idem__shards_freeze(idem__shards *shards);
void idem__shards_thaw(idem__shards *shards, bool in_child);

#endif
