/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing. A slot is a pointer and 32 bits of the hash, its tag, in two
 * arrays: probing reads tags alone, 16 to a cache line, and an entry is looked at only if its tag
 * fits. Probing begins at slot `tag * capacity >> 32`. So any capacity will do (a table that
 * doubles wastes more), and a table grows without looking at an entry. At most four of five slots
 * are taken. A removal closes its gap by moving back what probed past it: there are no tombstones,
 * and a probe ends at the first empty slot.
 *
 * Expired entries are dropped in passing: each insert lets a cursor look at a few slots.
 * `next_expiry_ms` is a lower bound that makes this cost nothing while nothing can be expired. The
 * bound rises when the cursor has been round: `pass_expiry_ms` is the least expiry of what it has
 * seen, of what was written meanwhile, and of what a removal moved from before it to behind it.
 */
#include "table.h"

#include <stdlib.h>

#define CAPACITY_FIRST 15u
#define CAPACITY_MAX   (UINT32_C(1) << 31)
/* What an insert looks at in passing, and where the table is full. */
#define SWEEP_SLOTS 4u
#define ROOM_SLOTS  4096u
/* What an insert frees: to give 8 MiB back to the system takes some 0.3 ms. */
#define SWEEP_BYTES ((size_t)256 * 1024)

#ifdef __GNUC__
#define PREFETCH_TO_WRITE(address) __builtin_prefetch((address), 1)
#else
#define PREFETCH_TO_WRITE(address) ((void)(address))
#endif

static uint32_t home_of(const idem__table *table, uint32_t tag)
{
    return (uint32_t)(((uint64_t)tag * table->capacity) >> 32);
}

static uint32_t after(const idem__table *table, uint32_t slot)
{
    return slot + 1 == table->capacity ? 0 : slot + 1;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void idem__table_init(idem__table *table)
{
    memset(table, 0, sizeof *table);
    table->next_expiry_ms = UINT64_MAX;
    table->pass_expiry_ms = UINT64_MAX;
}

void idem__table_clear(idem__table *table)
{
    for (uint32_t slot = 0; slot < table->capacity; slot++)
        free(table->entries[slot]);
    free(table->entries);
    idem__table_init(table);
}

uint32_t idem__table_find(const idem__table *table, uint32_t tag, idem_bytes key)
{
    if (table->count == 0)
        return IDEM__TABLE_NONE;
    uint32_t slot = home_of(table, tag);
    /* The pointer is needed right after its tag: wait for both together. */
    PREFETCH_TO_WRITE(&table->entries[slot]);
    for (; table->tags[slot]; slot = after(table, slot)) {
        if (table->tags[slot] == tag && idem__entry_has_key(table->entries[slot], key))
            return slot;
    }
    return IDEM__TABLE_NONE;
}

static void note_expiry(idem__table *table, const idem__entry *entry)
{
    table->next_expiry_ms = least(table->next_expiry_ms, entry->expires_ms);
    if (table->cursor > 0)
        table->pass_expiry_ms = least(table->pass_expiry_ms, entry->expires_ms);
}

/* ------------------------------------------------------------------------------------- slots */

static void place(idem__table *table, uint32_t tag, idem__entry *entry)
{
    uint32_t slot = home_of(table, tag);
    while (table->tags[slot])
        slot = after(table, slot);
    table->tags[slot] = tag;
    table->entries[slot] = entry;
}

static void move(idem__table *table, uint32_t from, uint32_t to)
{
    table->tags[to] = table->tags[from];
    table->entries[to] = table->entries[from];
    if (to < table->cursor && table->cursor <= from)
        table->pass_expiry_ms = least(table->pass_expiry_ms, table->entries[to]->expires_ms);
}

/* True if probing from `home` comes by `gap` before it comes to `slot`. */
static bool probes_past(uint32_t home, uint32_t gap, uint32_t slot)
{
    return gap <= slot ? home <= gap || home > slot : home <= gap && home > slot;
}

void idem__table_remove(idem__table *table, uint32_t slot)
{
    uint32_t gap = slot;
    free(table->entries[slot]);
    for (slot = after(table, slot); table->tags[slot]; slot = after(table, slot)) {
        if (probes_past(home_of(table, table->tags[slot]), gap, slot)) {
            move(table, slot, gap);
            gap = slot;
        }
    }
    table->tags[gap] = 0;
    table->entries[gap] = NULL;
    table->count--;
}

void idem__table_replace(idem__table *table, uint32_t slot, idem__entry *entry)
{
    if (table->entries[slot] != entry)
        free(table->entries[slot]);
    table->entries[slot] = entry;
    note_expiry(table, entry);
}

/* Gives the table other slots. On failure it is as it was. */
static int resize(idem__table *table, uint32_t capacity, idem_error *error)
{
    idem__table resized = *table;
    resized.capacity = capacity;
    resized.entries = calloc(capacity, sizeof *resized.entries + sizeof *resized.tags);
    if (!resized.entries)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a larger table");
    resized.tags = (uint32_t *)(void *)(resized.entries + capacity);
    for (uint32_t slot = 0; slot < table->capacity; slot++) {
        if (table->tags[slot])
            place(&resized, table->tags[slot], table->entries[slot]);
    }
    resized.cursor = 0;
    resized.pass_expiry_ms = UINT64_MAX;
    free(table->entries);
    *table = resized;
    return IDEM_OK;
}

/* -------------------------------------------------------------------------------------- walk */

/* The least tag that belongs into a slot, or behind it. */
static uint64_t first_tag(const idem__table *table, uint32_t slot)
{
    return (((uint64_t)slot << 32) + table->capacity - 1) / table->capacity;
}

/* True if probing went over the end: the entry counts as behind the last slot. */
static bool is_wrapped(const idem__table *table, uint32_t slot)
{
    return home_of(table, table->tags[slot]) > slot;
}

/* A walk stops at empty slots only: no entry in front of one belongs behind it, nor the other way round, and
   so a tag says which entries were visited. */
int idem__table_walk(const idem__table *table, uint64_t *from, const idem__table_visitor *visitor)
{
    int rc = 0;
    uint32_t slot = table->capacity ? home_of(table, (uint32_t)*from) : 0;
    for (; rc == 0 && slot < table->capacity; slot++) {
        if (table->tags[slot] == 0) {
            if (!visitor->enough(visitor->user))
                continue;
            *from = first_tag(table, slot);
            return 0;
        }
        if (table->tags[slot] >= *from && !is_wrapped(table, slot))
            rc = visitor->visit(visitor->user, table->entries[slot]);
    }
    for (slot = 0; rc == 0 && slot < table->capacity && table->tags[slot]; slot++) {
        if (table->tags[slot] >= *from && is_wrapped(table, slot))
            rc = visitor->visit(visitor->user, table->entries[slot]);
    }
    *from = 0;
    return rc;
}

/* ------------------------------------------------------------------------------------ expiry */

uint64_t idem__table_sweep(idem__table *table, uint64_t now_ms, const idem__table_bounds *bounds)
{
    uint64_t dropped = 0;
    size_t bytes = 0;
    uint64_t slots = bounds->slots;
    while (slots > 0 && table->cursor < table->capacity) {
        const idem__entry *entry = table->entries[table->cursor];
        if (entry && entry->expires_ms <= now_ms) {
            if (dropped == bounds->limit || bytes >= bounds->bytes)
                return dropped;
            bytes += idem__entry_size(entry);
            idem__table_remove(table, table->cursor); /* may move another one to the cursor */
            dropped++;
            continue;
        }
        if (entry)
            table->pass_expiry_ms = least(table->pass_expiry_ms, entry->expires_ms);
        table->cursor++;
        slots--;
    }
    if (table->cursor == table->capacity) {
        table->next_expiry_ms = table->pass_expiry_ms;
        table->pass_expiry_ms = UINT64_MAX;
        table->cursor = 0;
        table->passes++;
    }
    return dropped;
}

void idem__table_shrink(idem__table *table)
{
    uint32_t wanted = table->count / 3 * 5 + CAPACITY_FIRST;
    if (wanted < table->capacity / 4)
        (void)resize(table, wanted, NULL); /* a table that stays large is no fault */
}

uint64_t idem__table_purge(idem__table *table, uint64_t now_ms, uint64_t limit)
{
    const idem__table_bounds all = {UINT64_MAX, limit, SIZE_MAX};
    if (table->next_expiry_ms > now_ms)
        return 0;
    table->cursor = 0;
    table->pass_expiry_ms = UINT64_MAX;
    uint64_t dropped = idem__table_sweep(table, now_ms, &all);
    if (dropped > 0)
        idem__table_shrink(table);
    return dropped;
}

/* Makes room for one more. After dropping what has expired the table grows all the same unless a
   good part of it is free: else the next inserts would have to go through it again. Of a large table only
   a part is looked at: what is left is dropped in passing before the table is full again. */
static int make_room(idem__table *table, uint64_t now_ms, uint64_t *dropped, idem_error *error)
{
    const idem__table_bounds some = {ROOM_SLOTS, UINT64_MAX, SWEEP_BYTES};
    uint32_t capacity = table->capacity;
    if (table->count < capacity / 5 * 4)
        return IDEM_OK;
    if (table->next_expiry_ms <= now_ms) {
        if (capacity <= ROOM_SLOTS) {
            table->cursor = 0;
            table->pass_expiry_ms = UINT64_MAX;
        }
        *dropped += idem__table_sweep(table, now_ms, &some);
    }
    if (table->count < capacity / 5 * 3)
        return IDEM_OK;
    if (capacity >= CAPACITY_MAX)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "the table can't grow any more");
    return resize(table, capacity ? capacity + capacity / 3 : CAPACITY_FIRST, error);
}

int idem__table_insert(idem__table *table, uint32_t tag, idem__entry *entry, uint64_t now_ms,
                       uint64_t *dropped, idem_error *error)
{
    static const idem__table_bounds in_passing = {SWEEP_SLOTS, UINT64_MAX, SWEEP_BYTES};
    *dropped = 0;
    int rc = make_room(table, now_ms, dropped, error);
    if (rc)
        return rc;
    if (table->next_expiry_ms <= now_ms)
        *dropped += idem__table_sweep(table, now_ms, &in_passing);
    place(table, tag, entry);
    table->count++;
    note_expiry(table, entry);
    return IDEM_OK;
}
