/* SPDX-License-Identifier: MIT */
/* Arrays of one dimension: a head of five words, then each element behind its length. */
#include "array.h"

static int word(idem_buffer *buffer, uint32_t value, idem_error *error)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                             (uint8_t)value};
    return idem_buffer_append(buffer, bytes, sizeof bytes, error);
}

int idem__postgres_array_begin(idem_buffer *buffer, uint32_t type, size_t count, idem_error *error)
{
    /* dimensions, whether there are NULLs, type, length, the first index */
    const uint32_t head[] = {1, 0, type, (uint32_t)count, 1};
    int rc = IDEM_OK;
    buffer->len = 0;
    for (size_t i = 0; rc == IDEM_OK && i < sizeof head / sizeof head[0]; i++)
        rc = word(buffer, head[i], error);
    return rc;
}

int idem__postgres_array_bytes(idem_buffer *buffer, idem_bytes bytes, idem_error *error)
{
    int rc = word(buffer, (uint32_t)bytes.len, error);
    return rc ? rc : idem_buffer_append(buffer, bytes.data, bytes.len, error);
}

int idem__postgres_array_number(idem_buffer *buffer, int64_t number, idem_error *error)
{
    int rc = word(buffer, 8, error);
    if (rc == IDEM_OK)
        rc = word(buffer, (uint32_t)((uint64_t)number >> 32), error);
    return rc ? rc : word(buffer, (uint32_t)((uint64_t)number & UINT32_MAX), error);
}
