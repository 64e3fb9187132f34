/* SPDX-License-Identifier: MIT */
/*
 * The stored form of a run: `{"exit":0,"stdout":"…","stderr":"…"}`. Output that is no UTF-8, or
 * would be longer as a string, is `stdout_base64` instead; output that was cut has its full length
 * as `stdout_total`, and as `stdout_head` the number of bytes behind which there is the gap, if that
 * is not the end; `stdout_closed` says that its reader went away, and CMD could write no more. A CMD
 * that died has `signal`, and `merged` says that stdout is both, in their order. So the longest form of N bytes is their base64, and what fits is known before
 * CMD is run.
 */
#include "result.h"

#include "base64.h"
#include "report.h"

#include <jansson.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT_MAX     (2u * 1024 * 1024)
#define OVERHEAD_MAX 256u /* everything but the two streams' bytes */

size_t cli_result_limit(uint64_t max_response)
{
    if (max_response < OVERHEAD_MAX + 8)
        return 0;
    uint64_t fits = (max_response - OVERHEAD_MAX) / 2 / 4 * 3;
    return fits < KEPT_MAX ? (size_t)fits : KEPT_MAX;
}

/* --------------------------------------------------------------------------------- writing */

static void add_base64(cli_text *text, idem_bytes bytes)
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

static void add_stream(cli_text *text, const char *name, const cli_result_stream *stream)
{
    if (cli_json_length(stream->kept) <= cli_base64_length(stream->kept.len)) {
        cli_text_addf(text, ",\"%s\":", name);
        cli_text_string(text, stream->kept);
    } else {
        cli_text_addf(text, ",\"%s_base64\":\"", name);
        add_base64(text, stream->kept);
        cli_text_add(text, "\"");
    }
    if (stream->total > stream->kept.len)
        cli_text_addf(text, ",\"%s_total\":%" PRIu64, name, stream->total);
    if (stream->first < stream->kept.len)
        cli_text_addf(text, ",\"%s_head\":%zu", name, stream->first);
    if (stream->closed)
        cli_text_addf(text, ",\"%s_closed\":true", name);
}

bool cli_result_is_cut(const cli_result_stream *stream)
{
    return stream->closed || stream->total > stream->kept.len;
}

void cli_result_encode(const cli_result *result, cli_text *text)
{
    cli_text_addf(text, "{\"exit\":%d", result->code);
    if (result->signal)
        cli_text_addf(text, ",\"signal\":%d", result->signal);
    if (result->merged)
        cli_text_add(text, ",\"merged\":true");
    add_stream(text, "stdout", &result->out);
    add_stream(text, "stderr", &result->err);
    cli_text_add(text, "}");
}

/* --------------------------------------------------------------------------------- reading */

static bool copy_text(const json_t *string, cli_result_stream *stream)
{
    size_t len = json_string_length(string);
    stream->memory = malloc(len + 1);
    if (!stream->memory)
        return false;
    memcpy(stream->memory, json_string_value(string), len);
    stream->kept = (idem_bytes){stream->memory, len};
    return true;
}

static bool copy_base64(const json_t *string, cli_result_stream *stream)
{
    const char *text = json_string_value(string);
    size_t len = json_string_length(string);
    size_t decoded = 0;
    stream->memory = malloc(len / 4 * 3 + 1);
    if (!stream->memory || !cli_base64_decode(text, len, stream->memory, &decoded))
        return false;
    stream->kept = (idem_bytes){stream->memory, decoded};
    return true;
}

static const json_t *member(const json_t *root, const char *name, const char *suffix)
{
    char full[32];
    (void)snprintf(full, sizeof full, "%s%s", name, suffix);
    return json_object_get(root, full);
}

/* A number that can't be is passed over, like a member that is not known. */
static size_t read_head(const json_t *head, size_t len)
{
    bool is_head = json_is_integer(head) && json_integer_value(head) >= 0 &&
                   (uint64_t)json_integer_value(head) < len;
    return is_head ? (size_t)json_integer_value(head) : len;
}

static bool read_stream(const json_t *root, const char *name, cli_result_stream *stream)
{
    const json_t *text = member(root, name, "");
    const json_t *base64 = member(root, name, "_base64");
    const json_t *total = member(root, name, "_total");
    bool copied = json_is_string(text)     ? copy_text(text, stream)
                  : json_is_string(base64) ? copy_base64(base64, stream)
                                           : false;
    stream->total = total ? (uint64_t)json_integer_value(total) : stream->kept.len;
    stream->first = read_head(member(root, name, "_head"), stream->kept.len);
    stream->closed = json_is_true(member(root, name, "_closed"));
    return copied && stream->total >= stream->kept.len;
}

/* Only what the exit code agrees with. */
static int read_signal(const json_t *root, int code)
{
    const json_t *number = json_object_get(root, "signal");
    bool agrees = json_is_integer(number) && code > CLI_SIGNAL &&
                  json_integer_value(number) == code - CLI_SIGNAL;
    return agrees ? code - CLI_SIGNAL : 0;
}

bool cli_result_decode(idem_bytes response, cli_result *result)
{
    cli_result read = {0};
    json_t *root = json_loadb(response.data, response.len, JSON_ALLOW_NUL, NULL);
    const json_t *code = json_object_get(root, "exit");
    bool ok = json_is_integer(code) && json_integer_value(code) >= 0 &&
              json_integer_value(code) <= 255 && read_stream(root, "stdout", &read.out) &&
              read_stream(root, "stderr", &read.err);
    if (ok) {
        read.code = (int)json_integer_value(code);
        read.signal = read_signal(root, read.code);
        read.merged = json_is_true(json_object_get(root, "merged"));
        *result = read;
    } else {
        cli_result_clear(&read);
    }
    json_decref(root);
    return ok;
}

void cli_result_clear(cli_result *result)
{
    free(result->out.memory);
    free(result->err.memory);
    memset(result, 0, sizeof *result);
}
