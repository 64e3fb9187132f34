/* SPDX-License-Identifier: MIT */
/* A key as the backend knows it: with the store's prefix in front. */
#ifndef IDEM_CORE_CALL_KEY_H
#define IDEM_CORE_CALL_KEY_H

#include <idem/backend.h>

typedef struct {
    idem_bytes bytes; /* the caller's own, or `room` */
    char room[IDEM_PREFIX_MAX + IDEM_KEY_MAX];
} idem__call_key;

/** Checks a key as a caller named it. @return IDEM_ERR_ARGUMENT */
int idem__call_key_check(idem_bytes key, idem_error *error);

/** Checks a key and puts the prefix in front. `key` has to stay where it is.
 *  @return IDEM_ERR_ARGUMENT */
int idem__call_key_make(idem__call_key *full, const idem_store *store, idem_bytes key,
                        idem_error *error);

#endif
