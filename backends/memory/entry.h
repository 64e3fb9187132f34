/* SPDX-License-Identifier: MIT */
/* An entry: a record as the table keeps it, in one allocation and as few bytes as it takes. */
#ifndef IDEM_MEMORY_ENTRY_H
#define IDEM_MEMORY_ENTRY_H

#include <idem/backend.h>

/** What is asked of every entry stands in front; the rest is packed behind the key. */
typedef struct {
    uint64_t expires_ms; /**< by the table's clock: from then on the record counts as absent */
    uint64_t version;
    uint8_t token[IDEM_TOKEN_SIZE];
    uint16_t key_len;
    uint8_t flags;
    uint8_t bytes[]; /**< the key, the packed numbers, fingerprint, response, checkpoint */
} idem__entry;

/** When a record is written. */
typedef struct {
    uint64_t now_ms;  /**< by the table's clock */
    uint64_t live_ms; /**< how long it lives from now; the sum does not wrap */
    int64_t epoch_ms; /**< Unix time when the table's clock was 0: wall times are kept as their
                           small differences from what the table's clock says */
} idem__entry_times;

/**
 * Packs a record.
 *
 * @param old        NULL, or an entry of the same key that the new one takes the place of.
 * @param[out] made  `old`, written anew, if the record takes as much room; else a new entry.
 * @return IDEM_ERR_TOO_LARGE; IDEM_ERR_NO_MEMORY. `old` is as it was then.
 * @par Ownership  the caller frees `old` if `made` is another. Entries end with free().
 */
int idem__entry_pack(const idem_record *record, const idem__entry_times *times, idem__entry *old,
                     idem__entry **made, idem_error *error);

/** The bytes of its allocation. */
size_t idem__entry_size(const idem__entry *entry);

/** Unpacks an entry into `view`, whose bytes are borrowed from the entry. */
void idem__entry_view(const idem__entry *entry, uint64_t now_ms, int64_t epoch_ms,
                      idem_record *view);

/** The same into `copy` (blank before), which owns its bytes. @return IDEM_ERR_NO_MEMORY */
int idem__entry_copy(const idem__entry *entry, uint64_t now_ms, int64_t epoch_ms, idem_record *copy,
                     idem_error *error);

/** The part of an entry's flags that is its status. */
#define IDEM__ENTRY_STATUS 0x03u

static inline bool idem__entry_is_completed(const idem__entry *entry)
{
    return (entry->flags & IDEM__ENTRY_STATUS) == IDEM_STATUS_COMPLETED;
}

/** The entry's key, borrowed. */
static inline idem_bytes idem__entry_key(const idem__entry *entry)
{
    return (idem_bytes){entry->bytes, entry->key_len};
}

static inline bool idem__entry_has_key(const idem__entry *entry, idem_bytes key)
{
    return entry->key_len == key.len && memcmp(entry->bytes, key.data, key.len) == 0;
}

#endif
