/* SPDX-License-Identifier: MIT */
/* JSON texts (RFC 8259) read where they lie: no tree is made of them, so that a text costs no more
 * memory than its own length, whatever is in it. */
#ifndef IDEM_CLI_JSON_H
#define IDEM_CLI_JSON_H

#include <idem/idem.h>

/** How deep a text may be nested, as for the library's own check. */
#define CLI_JSON_DEPTH_MAX 1024u

/** What is left to read of a text. */
typedef struct {
    const char *at;
    const char *end;
    bool failed; /**< it is no JSON text */
} cli_json;

/** True if the bytes are one JSON text. */
bool cli_json_is_text(idem_bytes bytes);

/** Reads the beginning of a text that is an object. `failed` is set if it is none. */
cli_json cli_json_object(idem_bytes text);

/** Reads the next member of the object.
 *  @param[out] name   the name with its quotes, as it is written
 *  @param[out] value  the value, as it is written
 *  @return false at the end, or with `failed` set where the text is none, or goes on behind it */
bool cli_json_member(cli_json *json, idem_bytes *name, idem_bytes *value);

/** Reads a string, which is written with its quotes.
 *  @param[out] to   room for as many bytes as it is written with
 *  @return false if it is none, or has half a surrogate pair */
bool cli_json_string(idem_bytes written, char *to, size_t *len);

#endif
