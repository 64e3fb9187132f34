/* SPDX-License-Identifier: MIT */
/* One shard's hash table of entries. It knows time only as a number and takes no locks. */
#ifndef IDEM_MEMORY_TABLE_H
#define IDEM_MEMORY_TABLE_H

#include "entry.h"

/** What idem__table_find() returns if the key is not there. */
#define IDEM__TABLE_NONE UINT32_MAX

/** Made by idem__table_init(). */
typedef struct {
    idem__entry **entries; /**< one for each slot */
    uint32_t *tags;        /**< likewise, in the same allocation; 0: the slot is empty */
    uint32_t capacity;     /**< slots */
    uint32_t count;
    uint32_t cursor;         /**< the slot that the sweep looks at next */
    uint64_t next_expiry_ms; /**< no entry expires before */
    uint64_t pass_expiry_ms; /**< none of those that the sweep has passed expires before */
} idem__table;

void idem__table_init(idem__table *table);

/** Frees all entries and the slots. */
void idem__table_clear(idem__table *table);

/** What the table keeps of a hash: its upper half, never 0. It alone decides where
 *  the entry goes. */
static inline uint32_t idem__table_tag(uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    return tag ? tag : 1;
}

/** The slot of a key, expired or not; IDEM__TABLE_NONE if it is absent. It holds until the table
 *  is changed. */
uint32_t idem__table_find(const idem__table *table, uint32_t tag, idem_bytes key);

/**
 * Puts an entry in, whose key is absent. Drops some expired entries in passing, and all of them
 * before the table grows.
 *
 * @param[out] dropped  how many were dropped, on failure too.
 * @return IDEM_ERR_NO_MEMORY: the entry is not in the table.
 * @par Ownership  the table's on success.
 */
int idem__table_insert(idem__table *table, uint32_t tag, idem__entry *entry, uint64_t now_ms,
                       uint64_t *dropped, idem_error *error);

/** Puts an entry of the same key into a slot; another one that was there is freed. */
void idem__table_replace(idem__table *table, uint32_t slot, idem__entry *entry);

/** Frees the entry in a slot and closes the gap. */
void idem__table_remove(idem__table *table, uint32_t slot);

/** Drops expired entries, at most `limit`, and shrinks a table that is nearly empty.
 *  @return how many */
uint64_t idem__table_purge(idem__table *table, uint64_t now_ms, uint64_t limit);

#endif
