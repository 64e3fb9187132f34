/* SPDX-License-Identifier: MIT */
/*
 * A row as a record. `record` has all of it in the library's JSON form; the columns beside it are
 * what the server compares. What other programs may have written is checked: a version that
 * differs between the two, or a record without a token, is not ours.
 */
#include "row.h"

#define DAY_MS INT64_C(86400000)

bool idem__postgres_row_number(const idem__postgres *self, const PGresult *result, int row,
                               int column, int64_t *number)
{
    uint64_t value = 0;
    if (self->pq->PQgetisnull(result, row, column) ||
        self->pq->PQgetlength(result, row, column) != 8)
        return false;
    const char *bytes = self->pq->PQgetvalue(result, row, column);
    for (int i = 0; i < 8; i++)
        value = value << 8 | (uint8_t)bytes[i];
    *number = (int64_t)value;
    return true;
}

idem_bytes idem__postgres_row_bytes(const idem__postgres *self, const PGresult *result, int row,
                                    int column)
{
    if (self->pq->PQgetisnull(result, row, column))
        return (idem_bytes){NULL, 0};
    return (idem_bytes){self->pq->PQgetvalue(result, row, column),
                        (size_t)self->pq->PQgetlength(result, row, column)};
}

/* An interval: microseconds, days, months, of which a difference of times has none.
   @return false: it is NULL, or no interval */
static bool read_age(const idem__postgres *self, const PGresult *result, int row, int64_t *age_ms)
{
    idem_bytes bytes = idem__postgres_row_bytes(self, result, row, IDEM__POSTGRES_C_AGE);
    const uint8_t *at = bytes.data;
    uint64_t micros = 0;
    uint32_t days = 0;
    if (bytes.len != 16)
        return false;
    for (int i = 0; i < 8; i++)
        micros = micros << 8 | at[i];
    for (int i = 8; i < 12; i++)
        days = days << 8 | at[i];
    *age_ms = (int64_t)micros / 1000 + (int64_t)(int32_t)days * DAY_MS;
    return true;
}

static bool has_token(const idem_record *record)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    return memcmp(record->token, none, sizeof none) != 0;
}

int idem__postgres_row_read(const idem__postgres *self, const PGresult *result, int row,
                            idem_bytes key, idem_record *record, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    int64_t version = 0;
    int64_t age_ms = 0;
    idem_bytes text = idem__postgres_row_bytes(self, result, row, IDEM__POSTGRES_C_RECORD);
    int rc = idem_record_decode(key, text.data ? text.data : "", text.len, record, error);
    if (rc)
        return rc;
    bool whole = idem__postgres_row_number(self, result, row, IDEM__POSTGRES_C_VERSION, &version) &&
                 read_age(self, result, row, &age_ms);
    if (!whole || (uint64_t)version != record->version || !has_token(record)) {
        idem_record_clear(record);
        return idem_error_set(error, IDEM_ERR_CORRUPT,
                              "the record of key %s can't be understood (%s); it was left as it "
                              "is: fix it, or forget the key",
                              idem_quote(key, quoted),
                              whole ? "its columns contradict each other" : "a column is NULL");
    }
    record->age_ms = age_ms > 0 ? (uint64_t)age_ms : 0; /* a clock that fell */
    return IDEM_OK;
}
