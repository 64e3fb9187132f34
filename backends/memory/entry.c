/* SPDX-License-Identifier: MIT */
/*
 * Packing records. A claim with a key of 36 bytes takes 96 bytes of the heap. Durations, counts and
 * lengths are nearly always small, so they take as few bytes as they need (seven bits a byte). A
 * field that a record does not have costs a bit. Wall times are kept as differences: `updated_at`
 * from the table's clock, `created_at` from `updated_at`. All differences are taken modulo 2^64, so
 * every value comes back exactly.
 */
#include "entry.h"

#include <stdlib.h>

enum {
    HAS_FINGERPRINT = 0x04,
    HAS_RESPONSE = 0x08,
    HAS_CHECKPOINT = 0x10,
    IS_BYTES = 0x40, /* the response need not be JSON */
    HAS_LIVE = 0x20  /* it lives for another time than idem_record_live_ms() says */
};

#define NUMBERS_MAX     9u
#define NUMBER_SIZE_MAX 10u

typedef struct {
    uint8_t data[NUMBERS_MAX * NUMBER_SIZE_MAX];
    size_t len;
} numbers;

/* The lengths of an entry's parts and what its allocation has to hold. */
typedef struct {
    size_t fingerprint_len;
    size_t response_len;
    size_t checkpoint_len;
    size_t numbers_len;
} layout;

static void put(numbers *to, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        to->data[to->len++] = (uint8_t)(number | 0x80);
    to->data[to->len++] = (uint8_t)number;
}

static uint64_t take(const uint8_t **at)
{
    const uint8_t *byte = *at;
    uint64_t number = *byte & 0x7f;
    for (unsigned shift = 7; *byte >= 0x80; shift += 7)
        number |= (uint64_t)(*++byte & 0x7f) << shift;
    *at = byte + 1;
    return number;
}

/* A difference modulo 2^64 is small either above 0 or below 2^64; fold both onto small numbers. */
static uint64_t fold(uint64_t difference)
{
    return (difference << 1) ^ (0 - (difference >> 63));
}

static uint64_t unfold(uint64_t folded)
{
    return (folded >> 1) ^ (0 - (folded & 1));
}

static uint8_t flags_of(const idem_record *record, uint64_t live_ms)
{
    unsigned flags = (unsigned)record->status & IDEM__ENTRY_STATUS;
    flags |= record->fingerprint.len ? HAS_FINGERPRINT : 0u;
    flags |= record->response.len ? HAS_RESPONSE : 0u;
    flags |= record->checkpoint.len ? HAS_CHECKPOINT : 0u;
    flags |= record->encoding == IDEM_ENCODING_BYTES ? IS_BYTES : 0u;
    flags |= live_ms != idem_record_live_ms(record) ? HAS_LIVE : 0u;
    return (uint8_t)flags;
}

static void put_numbers(numbers *to, const idem_record *record, const idem__entry_times *times,
                        uint8_t flags)
{
    uint64_t updated_at_ms = (uint64_t)record->updated_at_ms;
    put(to, record->attempt);
    put(to, record->lease_ms);
    put(to, record->ttl_ms);
    put(to, fold(updated_at_ms - (uint64_t)times->epoch_ms - times->now_ms));
    put(to, fold(updated_at_ms - (uint64_t)record->created_at_ms));
    if (flags & HAS_LIVE)
        put(to, times->live_ms);
    if (flags & HAS_FINGERPRINT)
        put(to, record->fingerprint.len);
    if (flags & HAS_RESPONSE)
        put(to, record->response.len);
    if (flags & HAS_CHECKPOINT)
        put(to, record->checkpoint.len);
}

/* The size to allocate: what malloc() gives anyway on 64-bit systems, so that a record that is
   written again with a number of another length still fits. */
static size_t room(const layout *parts, size_t key_len)
{
    size_t size = offsetof(idem__entry, bytes) + key_len + parts->numbers_len +
                  parts->fingerprint_len + parts->response_len + parts->checkpoint_len;
    return (size + 8 + 15) / 16 * 16 - 8;
}

/* Reads the numbers into `view` and `parts`; `*live_ms` is set only if the entry has its own. */
static const uint8_t *take_numbers(const idem__entry *entry, idem_record *view, layout *parts,
                                   uint64_t *live_ms)
{
    const uint8_t *first = entry->bytes + entry->key_len;
    const uint8_t *at = first;
    view->attempt = (uint32_t)take(&at);
    view->lease_ms = take(&at);
    view->ttl_ms = take(&at);
    view->updated_at_ms = (int64_t)unfold(take(&at));
    view->created_at_ms = (int64_t)unfold(take(&at));
    if (entry->flags & HAS_LIVE)
        *live_ms = take(&at);
    parts->fingerprint_len = entry->flags & HAS_FINGERPRINT ? (size_t)take(&at) : 0;
    parts->response_len = entry->flags & HAS_RESPONSE ? (size_t)take(&at) : 0;
    parts->checkpoint_len = entry->flags & HAS_CHECKPOINT ? (size_t)take(&at) : 0;
    parts->numbers_len = (size_t)(at - first);
    return at;
}

size_t idem__entry_size(const idem__entry *entry)
{
    idem_record view;
    layout parts;
    uint64_t live_ms;
    (void)take_numbers(entry, &view, &parts, &live_ms);
    return room(&parts, entry->key_len);
}

static uint8_t *append(uint8_t *at, const void *data, size_t len)
{
    if (len > 0)
        memcpy(at, data, len);
    return at + len;
}

static int check_size(const idem_record *record, idem_error *error)
{
    if (record->key.len <= UINT16_MAX && record->fingerprint.len <= UINT16_MAX &&
        record->response.len <= UINT32_MAX / 4 && record->checkpoint.len <= UINT32_MAX / 4)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_TOO_LARGE,
                          "a record this large can't be kept in memory; a response or a checkpoint "
                          "has to be shorter than 1 GiB");
}

int idem__entry_pack(const idem_record *record, const idem__entry_times *times, idem__entry *old,
                     idem__entry **made, idem_error *error)
{
    numbers packed;
    uint8_t flags = flags_of(record, times->live_ms);
    idem__entry *entry = old;
    int rc = check_size(record, error);
    if (rc)
        return rc;
    packed.len = 0;
    put_numbers(&packed, record, times, flags);
    layout parts = {record->fingerprint.len, record->response.len, record->checkpoint.len,
                    packed.len};
    size_t size = room(&parts, record->key.len);
    if (!old || idem__entry_size(old) != size)
        entry = malloc(size);
    if (!entry)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a record");
    entry->expires_ms = times->now_ms + times->live_ms;
    entry->version = record->version;
    memcpy(entry->token, record->token, sizeof entry->token);
    entry->key_len = (uint16_t)record->key.len;
    entry->flags = flags;
    uint8_t *at = append(entry->bytes, record->key.data, record->key.len);
    at = append(at, packed.data, packed.len);
    at = append(at, record->fingerprint.data, record->fingerprint.len);
    at = append(at, record->response.data, record->response.len);
    (void)append(at, record->checkpoint.data, record->checkpoint.len);
    *made = entry;
    return IDEM_OK;
}

static idem_bytes part(const uint8_t **at, size_t len)
{
    const uint8_t *first = *at;
    *at += len;
    return (idem_bytes){len ? first : NULL, len};
}

/* Sets all but the bytes. (To blank the record first took longer than to read the numbers.) */
static void unpack(const idem__entry *entry, uint64_t now_ms, int64_t epoch_ms, idem_record *to,
                   layout *parts)
{
    uint64_t live_ms = 0;
    to->memory = NULL;
    to->encoding = entry->flags & IS_BYTES ? IDEM_ENCODING_BYTES : IDEM_ENCODING_JSON;
    to->flags = 0;
    memset(to->reserved, 0, sizeof to->reserved);
    to->status = (idem_status)(entry->flags & IDEM__ENTRY_STATUS);
    to->version = entry->version;
    memcpy(to->token, entry->token, sizeof to->token);
    (void)take_numbers(entry, to, parts, &live_ms);
    if (!(entry->flags & HAS_LIVE))
        live_ms = idem_record_live_ms(to);
    uint64_t written_ms = entry->expires_ms - live_ms;
    uint64_t updated_at_ms = (uint64_t)to->updated_at_ms + (uint64_t)epoch_ms + written_ms;
    to->created_at_ms = (int64_t)(updated_at_ms - (uint64_t)to->created_at_ms);
    to->updated_at_ms = (int64_t)updated_at_ms;
    to->age_ms = now_ms > written_ms ? now_ms - written_ms : 0;
}

/* Lets a record have its bytes in an entry's, or in a copy of them. */
static void point(idem_record *record, const layout *parts, size_t key_len, const uint8_t *at)
{
    record->key = (idem_bytes){at, key_len};
    at += key_len + parts->numbers_len;
    record->fingerprint = part(&at, parts->fingerprint_len);
    record->response = part(&at, parts->response_len);
    record->checkpoint = part(&at, parts->checkpoint_len);
}

void idem__entry_view(const idem__entry *entry, uint64_t now_ms, int64_t epoch_ms,
                      idem_record *view)
{
    layout parts;
    unpack(entry, now_ms, epoch_ms, view, &parts);
    point(view, &parts, entry->key_len, entry->bytes);
}

/* The numbers lie between the key and the rest: to copy them along costs less than a second
   copy. */
int idem__entry_copy(const idem__entry *entry, uint64_t now_ms, int64_t epoch_ms, idem_record *copy,
                     idem_error *error)
{
    layout parts;
    unpack(entry, now_ms, epoch_ms, copy, &parts);
    size_t size = entry->key_len + parts.numbers_len + parts.fingerprint_len + parts.response_len +
                  parts.checkpoint_len;
    uint8_t *bytes = malloc(size);
    if (!bytes) {
        memset(copy, 0, sizeof *copy);
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a record");
    }
    memcpy(bytes, entry->bytes, size);
    point(copy, &parts, entry->key_len, bytes);
    copy->memory = bytes;
    return IDEM_OK;
}
