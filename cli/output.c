/* SPDX-License-Identifier: MIT */
/*
 * Texts for stdout. An answer is put together in memory and written in one go, so that a command
 * that fails half-way leaves no half an answer. What comes from strangers (keys) is escaped so far
 * that it can't drive a terminal.
 */
#include "output.h"

#include "base64.h"
#include "report.h"
#include "stream.h"
#include "unicode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TIME_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* ----------------------------------------------------------------------------------- pieces */

void cli_text_bytes(cli_text *text, idem_bytes bytes)
{
    if (!text->failed && idem_buffer_append(&text->buffer, bytes.data, bytes.len, NULL))
        text->failed = true;
}

void cli_text_add(cli_text *text, const char *piece)
{
    cli_text_bytes(text, idem_str(piece));
}

void cli_text_addf(cli_text *text, const char *format, ...)
{
    char piece[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof piece)
        text->failed = true;
    else
        cli_text_bytes(text, (idem_bytes){piece, (size_t)len});
}

void cli_text_hex(cli_text *text, idem_bytes bytes)
{
    const unsigned char *data = bytes.data;
    for (size_t i = 0; i < bytes.len; i++)
        cli_text_addf(text, "%02x", data[i]);
}

void cli_text_time(cli_text *text, int64_t unix_ms)
{
    struct tm parts;
    char whole[32];
    int64_t ms = unix_ms < 0 ? 0 : unix_ms > TIME_MAX_MS ? TIME_MAX_MS : unix_ms;
    time_t seconds = (time_t)(ms / 1000);
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &parts);
    cli_text_addf(text, "%s.%03dZ", whole, (int)(ms % 1000));
}

void cli_text_clear(cli_text *text)
{
    idem_buffer_clear(&text->buffer);
    text->failed = false;
}

/* ------------------------------------------------------------------------------------- JSON */

/* How a character has to be written in a JSON string; "" if as it is. Control characters include
   DEL and U+0080 to U+009F: JSON takes them as they are, a terminal takes them as orders. */
static const char *escape(uint32_t character, char buf[8])
{
    switch (character) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        break;
    }
    buf[0] = '\0';
    if (cli_is_control(character))
        (void)snprintf(buf, 8, "\\u%04x", (unsigned)character);
    return buf;
}

size_t cli_json_length(idem_bytes bytes)
{
    const unsigned char *data = bytes.data;
    size_t total = 0;
    for (size_t i = 0; i < bytes.len;) {
        char buf[8];
        size_t len = cli_utf8_length(data + i, bytes.len - i);
        if (len == 0)
            return SIZE_MAX;
        size_t escaped = strlen(escape(cli_utf8_decode(data + i, len), buf));
        total += escaped ? escaped : len;
        i += len;
    }
    return total;
}

/* A byte that is no UTF-8 becomes U+FFFD, so that the text is JSON whatever it was made of: names
   of files, messages of a server. */
void cli_text_string(cli_text *text, idem_bytes bytes)
{
    const char *data = bytes.data;
    size_t plain = 0; /* where the run of bytes that need no escape began */
    cli_text_add(text, "\"");
    for (size_t i = 0; i < bytes.len;) {
        char buf[8];
        const unsigned char *at = (const unsigned char *)data + i;
        size_t len = cli_utf8_length(at, bytes.len - i);
        const char *escaped = len ? escape(cli_utf8_decode(at, len), buf) : "\xEF\xBF\xBD";
        if (*escaped) {
            cli_text_bytes(text, (idem_bytes){data + plain, i - plain});
            cli_text_add(text, escaped);
            plain = i + (len ? len : 1);
        }
        i += len ? len : 1;
    }
    if (bytes.len > plain)
        cli_text_bytes(text, (idem_bytes){data + plain, bytes.len - plain});
    cli_text_add(text, "\"");
}

/* No string of a JSON text has a raw line break in it, so that every one stands between tokens. */
void cli_text_json_line(cli_text *text, idem_bytes json)
{
    size_t start = text->buffer.len;
    cli_text_bytes(text, json);
    for (size_t i = start; i < text->buffer.len; i++) {
        if (text->buffer.data[i] == '\n' || text->buffer.data[i] == '\r')
            text->buffer.data[i] = ' ';
    }
    while (text->buffer.len > start && text->buffer.data[text->buffer.len - 1] == ' ')
        text->buffer.len--;
}

void cli_text_string_or_null(cli_text *text, const char *string)
{
    if (string)
        cli_text_string(text, idem_str(string));
    else
        cli_text_add(text, "null");
}

void cli_text_base64(cli_text *text, idem_bytes bytes)
{
    size_t len = cli_base64_length(bytes.len);
    char *encoded = malloc(len + 1);
    if (!encoded) {
        text->failed = true;
        return;
    }
    cli_base64_encode(bytes.data, bytes.len, encoded);
    cli_text_bytes(text, (idem_bytes){encoded, len});
    free(encoded);
}

void cli_text_response(cli_text *text, idem_bytes response, idem_encoding encoding)
{
    if (encoding == IDEM_ENCODING_JSON) {
        cli_text_add(text, "\"response\":");
        cli_text_bytes(text, response);
        return;
    }
    cli_text_add(text, "\"response_base64\":\"");
    cli_text_base64(text, response);
    cli_text_add(text, "\"");
}

void cli_text_key(cli_text *text, idem_bytes key)
{
    if (cli_json_length(key) != SIZE_MAX) {
        cli_text_add(text, "\"key\":");
        cli_text_string(text, key);
        return;
    }
    cli_text_add(text, "\"key_hex\":\"");
    cli_text_hex(text, key);
    cli_text_add(text, "\"");
}

/* ---------------------------------------------------------------------------------- writing */

static void add_escaped(cli_text *text, uint32_t character)
{
    if (character < 0x10000) {
        cli_text_addf(text, "\\u%04x", (unsigned)character);
        return;
    }
    character -= 0x10000;
    cli_text_addf(text, "\\u%04x\\u%04x", (unsigned)(0xD800 + (character >> 10)),
                  (unsigned)(0xDC00 + (character & 0x3FF)));
}

/* Of what is shown on a terminal only this can't be taken for what it is not. Outside its strings
   JSON has ASCII alone, so that an escape always lands in a string and leaves the value as it is;
   what help and tables have of their own needs none. */
static void make_visible(cli_text *text)
{
    cli_text shown = {.failed = text->failed};
    const unsigned char *data = (const unsigned char *)text->buffer.data;
    for (size_t i = 0; i < text->buffer.len;) {
        size_t len = cli_utf8_length(data + i, text->buffer.len - i);
        uint32_t character = len ? cli_utf8_decode(data + i, len) : 0xFFFD;
        bool is_blank = character == '\n' || character == '\t';
        if (character == '\r')
            cli_text_add(&shown, " ");
        else if (len == 0 || (!is_blank && cli_is_control(character)) ||
                 cli_is_invisible(character))
            add_escaped(&shown, character);
        else
            cli_text_bytes(&shown, (idem_bytes){data + i, len});
        i += len ? len : 1;
    }
    cli_text_clear(text);
    *text = shown;
}

int cli_text_write(cli_text *text)
{
    int problem = 0;
    if (isatty(STDOUT_FILENO) == 1)
        make_visible(text);
    if (text->failed)
        problem = ENOMEM;
    else
        problem =
            cli_stream_write(STDOUT_FILENO, (idem_bytes){text->buffer.data, text->buffer.len});
    cli_text_clear(text);
    return problem;
}

int cli_text_print(cli_text *text)
{
    int problem = cli_text_write(text);
    if (problem)
        cli_say("the answer can't be written to stdout: %s", cli_problem(problem));
    return problem ? CLI_INTERNAL : CLI_OK;
}

int cli_answer(cli_text *text)
{
    cli_text_add(text, "\n");
    return cli_text_print(text);
}

int cli_answer_constant(const char *json)
{
    cli_text text = {0};
    cli_text_add(&text, json);
    return cli_answer(&text);
}
