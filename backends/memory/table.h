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
    uint64_t passes;         /**< how often it has come to the end */
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
 * Puts an entry in, whose key is absent. Drops some expired entries in passing, and more of them
 * before the table grows; never so many that others would have to wait long.
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

/** How much is done at once, by a sweep that others wait for. */
typedef struct {
    uint64_t slots; /**< that are looked at */
    uint64_t limit; /**< of entries that are dropped */
    size_t bytes;   /**< of these entries together, the last one apart */
} idem__table_bounds;

/** Goes on with the sweep from where it stands, once around at most. @return how many expired
 *  entries were dropped */
uint64_t idem__table_sweep(idem__table *table, uint64_t now_ms, const idem__table_bounds *bounds);

/** Shrinks a table that is nearly empty. */
void idem__table_shrink(idem__table *table);

/** The visitor of a walk over a table. */
typedef struct {
    int (*visit)(void *user,
                 const idem__entry *entry); /**< ends the walk with what it returns, if not 0 */
    bool (*enough)(void *user); /**< asked between slots: true ends this part of the walk */
    void *user;
} idem__table_visitor;

/**
 * Goes on with a walk over all entries, in the order of their tags but for small stretches. The
 * table may be changed, and resized, between the parts of a walk: what is there all the time is
 * visited once.
 *
 * @param[in,out] from  0 at first; then where to go on; 0 at the end.
 * @return what `visit` returned
 */
int idem__table_walk(const idem__table *table, uint64_t *from, const idem__table_visitor *visitor);

/** Drops expired entries, at most `limit`, from all of the table at once; then shrinks it.
 *  @return how many */
uint64_t idem__table_purge(idem__table *table, uint64_t now_ms, uint64_t limit);

#endif
