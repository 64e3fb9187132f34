/* SPDX-License-Identifier: MIT */
/*
 * Texts for stdout. An answer is put together in memory and written in one go, so that a command
 * that fails half-way leaves no half an answer. What comes from strangers (keys) is escaped so far
 * that it can't drive a terminal.
 */
#include "output.h"

#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

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

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0u) == 0x80u;
}

/* The length of the UTF-8 sequence at `at`, which has `left` bytes; 0 if there is none. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xC2 && at[0] <= 0xDF)
        return left >= 2 && is_continuation(at[1]) ? 2 : 0;
    if (left < 3 || !is_continuation(at[1]) || !is_continuation(at[2]))
        return 0;
    if (at[0] >= 0xE0 && at[0] <= 0xEF) {
        bool overlong = at[0] == 0xE0 && at[1] < 0xA0;
        bool surrogate = at[0] == 0xED && at[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (left < 4 || !is_continuation(at[3]) || at[0] < 0xF0 || at[0] > 0xF4)
        return 0;
    bool overlong = at[0] == 0xF0 && at[1] < 0x90;
    bool beyond = at[0] == 0xF4 && at[1] > 0x8F;
    return overlong || beyond ? 0 : 4;
}

/* How the character at `at` has to be written in a JSON string; "" if as it is. Control characters
   include DEL and U+0080 to U+009F: JSON takes them as they are, a terminal takes them as orders. */
static const char *escape(const unsigned char *at, size_t len, char buf[8])
{
    unsigned code = len == 1 ? at[0] : len == 2 ? (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu) : 0x100u;
    switch (code) {
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
    if (code < 0x20 || (code >= 0x7F && code < 0xA0))
        (void)snprintf(buf, 8, "\\u%04x", code);
    return buf;
}

size_t cli_json_length(idem_bytes bytes)
{
    const unsigned char *data = bytes.data;
    size_t total = 0;
    for (size_t i = 0; i < bytes.len;) {
        char buf[8];
        size_t len = utf8_length(data + i, bytes.len - i);
        if (len == 0)
            return SIZE_MAX;
        size_t escaped = strlen(escape(data + i, len, buf));
        total += escaped ? escaped : len;
        i += len;
    }
    return total;
}

void cli_text_string(cli_text *text, idem_bytes bytes)
{
    const char *data = bytes.data;
    size_t plain = 0; /* where the run of bytes that need no escape began */
    cli_text_add(text, "\"");
    for (size_t i = 0; i < bytes.len;) {
        char buf[8];
        const unsigned char *at = (const unsigned char *)data + i;
        size_t len = utf8_length(at, bytes.len - i);
        const char *escaped = escape(at, len ? len : 1, buf);
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

void cli_text_string_or_null(cli_text *text, const char *string)
{
    if (string)
        cli_text_string(text, idem_str(string));
    else
        cli_text_add(text, "null");
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

int cli_text_print(cli_text *text)
{
    int code = CLI_INTERNAL;
    if (text->failed) {
        (void)cli_report_no_memory();
    } else if (fwrite(text->buffer.data, 1, text->buffer.len, stdout) != text->buffer.len ||
               fflush(stdout) != 0) {
        cli_say("the answer can't be written to stdout: %s", strerror(errno));
    } else {
        code = CLI_OK;
    }
    cli_text_clear(text);
    return code;
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
