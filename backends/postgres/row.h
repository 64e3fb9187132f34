/* SPDX-License-Identifier: MIT */
/* A row as a record. */
#ifndef IDEM_POSTGRES_ROW_H
#define IDEM_POSTGRES_ROW_H

#include "instance.h"

/** The columns that a row is read from. */
enum {
    IDEM__POSTGRES_C_VERSION,
    IDEM__POSTGRES_C_AGE,
    IDEM__POSTGRES_C_RECORD,
    IDEM__POSTGRES_C_KEY
};

/** A number of 64 bits. False: it is NULL, or no such number. */
bool idem__postgres_row_number(const idem__postgres *self, const PGresult *result, int row,
                               int column, int64_t *number);

/** Bytes, which stay as long as the result. NULL gives none. */
idem_bytes idem__postgres_row_bytes(const idem__postgres *self, const PGresult *result, int row,
                                    int column);

/** Reads a row into a record that owns its bytes. @return IDEM_ERR_CORRUPT; IDEM_ERR_NO_MEMORY */
int idem__postgres_row_read(const idem__postgres *self, const PGresult *result, int row,
                            idem_bytes key, idem_record *record, idem_error *error);

#endif
