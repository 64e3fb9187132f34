/* SPDX-License-Identifier: MIT */
/* Texts that are built up and written to stdout: JSON, tables, help. */
#ifndef IDEM_CLI_OUTPUT_H
#define IDEM_CLI_OUTPUT_H

#include <idem/backend.h>

/** A text under construction. All zero is an empty one; end it with cli_text_print() or
 *  cli_text_clear(). Running out of memory is remembered and reported at the end. */
typedef struct {
    idem_buffer buffer;
    bool failed;
} cli_text;

void cli_text_add(cli_text *text, const char *piece);
void cli_text_addf(cli_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_text_bytes(cli_text *text, idem_bytes bytes);
/** A JSON string. What is no UTF-8 is replaced. */
void cli_text_string(cli_text *text, idem_bytes bytes);
/** The same from a NUL-terminated string; `null` for NULL. */
void cli_text_string_or_null(cli_text *text, const char *string);
/** A JSON text, in one line and of the same value: line breaks between its tokens become blanks. */
void cli_text_json_line(cli_text *text, idem_bytes json);
/** Hexadecimal digits, without quotes. */
void cli_text_hex(cli_text *text, idem_bytes bytes);
/** Base64, without quotes. */
void cli_text_base64(cli_text *text, idem_bytes bytes);
/** `"response":…`, or `"response_base64":"…"` for one that need not be JSON. */
void cli_text_response(cli_text *text, idem_bytes response, idem_encoding encoding);
/** `"key":"…"`, or `"key_hex":"…"` for a key that is no UTF-8. */
void cli_text_key(cli_text *text, idem_bytes key);
/** Unix time in milliseconds as RFC 3339 in UTC, without quotes. */
void cli_text_time(cli_text *text, int64_t unix_ms);
void cli_text_clear(cli_text *text);

/** How long bytes are as a JSON string, quotes apart; SIZE_MAX if they are no UTF-8. */
size_t cli_json_length(idem_bytes bytes);

/** Writes the text to stdout, all of it even where stdout is non-blocking, and clears it. On a
 *  terminal what a stranger could drive or deceive it with is written as JSON escapes. @return 0 or
 *  an errno */
int cli_text_write(cli_text *text);

/** The same. @return CLI_OK, or CLI_INTERNAL after saying why */
int cli_text_print(cli_text *text);

/** cli_text_print() behind a newline: one answer. */
int cli_answer(cli_text *text);

/** An answer that is a constant. */
int cli_answer_constant(const char *json);

#endif
