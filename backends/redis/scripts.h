/* SPDX-License-Identifier: MIT */
/* What runs inside the server. */
#ifndef IDEM_REDIS_SCRIPTS_H
#define IDEM_REDIS_SCRIPTS_H

#include <stddef.h>

typedef enum {
    IDEM__REDIS_PROVE,   /**< as INSERT; refuses where this user could not complete or release */
    IDEM__REDIS_INSERT,  /**< record, life in ms: stores it if the key is absent */
    IDEM__REDIS_REPLACE, /**< beginning of the expected record, record, life in ms */
    IDEM__REDIS_REMOVE,  /**< beginning of the expected record */
    IDEM__REDIS_READ,    /**< what is there */
    IDEM__REDIS_REWRITE, /**< what is there, which is stored once more as it is */
    IDEM__REDIS_SCRIPTS
} idem__redis_script;

/** How many bytes of a record's text are compared: `{"version":"`, 16 digits, `"`. */
#define IDEM__REDIS_BEGINNING_LEN 29u

typedef struct {
    const char *text;
    const char *sha1; /**< of the text, as EVALSHA wants it */
} idem__redis_source;

/** Each takes one key, and answers with a status or 1 if it made the change, with nothing if the
 *  key is absent, with the text there and its PTTL, or with an error. PROVE adds a number to what
 *  it found: 1 if this user has the rights to complete and release, 0 if not, -1 if the server
 *  can't tell. */
extern const idem__redis_source idem__redis_sources[IDEM__REDIS_SCRIPTS];

#endif
