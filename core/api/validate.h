/* SPDX-License-Identifier: MIT */
/* What callers pass in is checked here, before anything is sent. */
#ifndef IDEM_CORE_VALIDATE_H
#define IDEM_CORE_VALIDATE_H

#include <idem/idem.h>

/**
 * Reads a caller's struct, whose first member is its size. It may be of an older version of the
 * header, which lacks the last fields, or of a newer one, whose further fields have to be zero.
 *
 * @param least      its size is at least so much
 * @param read       room for a struct of this version, of `read_size` bytes
 * @return IDEM_ERR_ARGUMENT: no size, or a field that this version does not know is set
 */
int idem__validate_struct(const char *what, const void *given, size_t least, void *read,
                          size_t read_size, idem_error *error);

/** @return IDEM_ERR_ARGUMENT: a duration over 100 years */
int idem__validate_duration(const char *name, uint64_t ms, idem_error *error);

/** @return IDEM_ERR_ARGUMENT: a length without bytes; IDEM_ERR_TOO_LARGE */
int idem__validate_bytes(const idem_store *store, const char *what, idem_bytes bytes,
                         idem_error *error);

/** @return IDEM_ERR_ARGUMENT: not JSON, and where; IDEM_ERR_TOO_LARGE */
int idem__validate_json(const idem_store *store, const char *what, idem_bytes text,
                        idem_error *error);

/** Reads a caller's request, which may be of another version of the header, and checks all of it
 *  but its key. @return IDEM_ERR_ARGUMENT; IDEM_ERR_UNSUPPORTED: a keepalive where there can be
 *  none */
int idem__validate_request(const idem_store *store, const idem_request *request, idem_request *read,
                           idem_error *error);

/** @return IDEM_ERR_UNSUPPORTED: the store can keep no claim alive */
int idem__validate_keepalive(const idem_store *store, idem_error *error);

/** True if a token is NULL or the one that means "nobody". */
bool idem__validate_no_token(const uint8_t *token);

#endif
