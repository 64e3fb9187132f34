/* SPDX-License-Identifier: MIT */
/*
 * Records in memory. One that owns its bytes keeps all of them in one allocation, so that a copy
 * costs one malloc and a clear one free.
 */
#include "record.h"

#include "error.h"

#include <stdlib.h>

uint64_t idem_record_live_ms(const idem_record *record)
{
    if (!record)
        return 0;
    uint64_t ttl_ms = record->ttl_ms < IDEM_DURATION_MAX_MS ? record->ttl_ms : IDEM_DURATION_MAX_MS;
    if (record->status != IDEM_STATUS_IN_PROGRESS)
        return ttl_ms;
    uint64_t most_ms = IDEM_DURATION_MAX_MS - ttl_ms;
    return ttl_ms + (record->lease_ms < most_ms ? record->lease_ms : most_ms);
}

uint64_t idem_record_lease_left_ms(const idem_record *record)
{
    if (!record || record->status != IDEM_STATUS_IN_PROGRESS || record->age_ms >= record->lease_ms)
        return 0;
    return record->lease_ms - record->age_ms;
}

uint64_t idem_record_retention_left_ms(const idem_record *record)
{
    uint64_t live_ms = idem_record_live_ms(record);
    return !record || record->age_ms >= live_ms ? 0 : live_ms - record->age_ms;
}

void idem_record_clear(idem_record *record)
{
    if (!record)
        return;
    free(record->memory);
    memset(record, 0, sizeof *record);
}

bool idem__record_is_tokenless(const idem_record *record)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    return memcmp(record->token, none, sizeof none) == 0;
}

/* Moves the bytes to `*at`, and `*at` behind them. */
static void place(idem_bytes *bytes, char **at)
{
    if (bytes->len == 0) {
        *bytes = (idem_bytes){NULL, 0};
        return;
    }
    memcpy(*at, bytes->data, bytes->len);
    bytes->data = *at;
    *at += bytes->len;
}

static bool has_bytes(const idem_bytes *bytes)
{
    return bytes->len == 0 || bytes->data;
}

bool idem__record_is_whole(const idem_record *record)
{
    return record && has_bytes(&record->key) && has_bytes(&record->fingerprint) &&
           has_bytes(&record->response) && has_bytes(&record->checkpoint);
}

int idem_record_copy(const idem_record *record, idem_record *copy, idem_error *error)
{
    if (!copy || !idem__record_is_whole(record))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a record, or the place for its copy, is NULL, or it has a length "
                              "without bytes");
    size_t size =
        record->key.len + record->fingerprint.len + record->response.len + record->checkpoint.len;
    char *memory = malloc(size ? size : 1);
    if (!memory)
        return idem__error_no_memory(error);
    *copy = *record;
    copy->memory = memory;
    place(&copy->key, &memory);
    place(&copy->fingerprint, &memory);
    place(&copy->response, &memory);
    place(&copy->checkpoint, &memory);
    return IDEM_OK;
}

int idem__buffer_reserve(idem_buffer *buffer, size_t len, idem_error *error)
{
    if (len <= buffer->capacity - buffer->len)
        return IDEM_OK;
    size_t capacity = buffer->capacity ? buffer->capacity : 512;
    while (capacity - buffer->len < len) {
        if (capacity > SIZE_MAX / 2)
            return idem__error_no_memory(error);
        capacity *= 2;
    }
    char *grown = realloc(buffer->data, capacity);
    if (!grown)
        return idem__error_no_memory(error);
    buffer->data = grown;
    buffer->capacity = capacity;
    return IDEM_OK;
}

int idem_buffer_append(idem_buffer *buffer, const void *data, size_t len, idem_error *error)
{
    if (!buffer || (!data && len > 0))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a buffer, or what is to go into it, is NULL");
    int rc = idem__buffer_reserve(buffer, len, error);
    if (rc)
        return rc;
    if (len > 0)
        memcpy(buffer->data + buffer->len, data, len);
    buffer->len += len;
    return IDEM_OK;
}

void idem_buffer_clear(idem_buffer *buffer)
{
    if (!buffer)
        return;
    free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}
