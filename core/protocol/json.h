/* SPDX-License-Identifier: MIT */
/* JSON texts (RFC 8259): recognised, cut into raw pieces, never rewritten. */
#ifndef IDEM_CORE_JSON_H
#define IDEM_CORE_JSON_H

#include <idem/idem.h>

/** How deep arrays and objects may be nested. */
#define IDEM__JSON_DEPTH_MAX 1024u

/** A place in a text. Set `at` and `end`; `problem` is NULL until something is wrong at `at`. */
typedef struct {
    const char *at;
    const char *end;
    const char *problem;
} idem__json;

/** True if the whole text is one JSON text; else `json->problem` is what is wrong at `json->at`. */
bool idem__json_valid(idem__json *json, idem_bytes text);

/** Passes over one value and the white space around it. @param[out] raw  the value's bytes */
bool idem__json_value(idem__json *json, idem_bytes *raw);

/** Passes the brace that opens an object. */
bool idem__json_open(idem__json *json);

/**
 * Passes the next member of an object that idem__json_open() entered.
 * @param first        true for the first member
 * @param[out] name    the bytes between the name's quotes, escapes as written
 * @param[out] value   the bytes between the colon and what follows, white space included
 * @return false at the closing brace, which is passed, or with `problem` set
 */
bool idem__json_member(idem__json *json, bool first, idem_bytes *name, idem_bytes *value);

#endif
