/* SPDX-License-Identifier: MIT */
/* What callers pass in is checked here, before anything is sent. */
#ifndef IDEM_CORE_INPUT_H
#define IDEM_CORE_INPUT_H

#include <idem/idem.h>

/** @return IDEM_ERR_ARGUMENT: a duration over 100 years */
int idem__input_duration(const char *name, uint64_t ms, idem_error *error);

/** @return IDEM_ERR_ARGUMENT: a length without bytes; IDEM_ERR_TOO_LARGE */
int idem__input_bytes(const idem_store *store, const char *what, idem_bytes bytes,
                      idem_error *error);

/** @return IDEM_ERR_ARGUMENT: not JSON, and where; IDEM_ERR_TOO_LARGE */
int idem__input_json(const idem_store *store, const char *what, idem_bytes text, idem_error *error);

/** Reads a caller's request, which may be of another version of the header, and checks all of it but
 *  its key. @return IDEM_ERR_ARGUMENT; IDEM_ERR_UNSUPPORTED: a keepalive where there can be none */
int idem__input_request(const idem_store *store, const idem_request *request, idem_request *read,
                        idem_error *error);

/** True if a token is NULL or the one that means "nobody". */
bool idem__input_no_token(const uint8_t *token);

#endif
