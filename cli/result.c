/* SPDX-License-Identifier: MIT */
/*
 * The stored form of a run: `{"exit":0,"stdout":"…","stderr":"…"}`. Output that is no UTF-8, or
 * would be longer as a string, is `stdout_base64` instead. If output was cut, `stdout_total` is its
 * full length, and `stdout_head` the number of bytes before the gap (absent if the end was cut).
 * `stdout_closed` means that the reader closed the pipe and CMD could write no more. A CMD that
 * died has `signal`; `merged` means that stdout is both streams, in their order. The longest form
 * of N bytes is their base64, so what fits is known before CMD is run.
 */
#include "result.h"

#include "base64.h"
#include "json.h"
#include "report.h"

#include <jansson.h>
#include <inttypes.h>
#include <signal.h>
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

static void add_stream(cli_text *text, const char *name, const cli_result_stream *stream)
{
    if (cli_json_length(stream->kept) <= cli_base64_length(stream->kept.len)) {
        cli_text_addf(text, ",\"%s\":", name);
        cli_text_string(text, stream->kept);
    } else {
        cli_text_addf(text, ",\"%s_base64\":\"", name);
        cli_text_base64(text, stream->kept);
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

/* A tree of a stored result would take eighty times its length if it consists of small values. So
   the text is read in place, and only what is used is decoded: output by our own code, and scalars,
   which are short, by jansson.

   Each known member may be there once: two readers might not agree which of two counts. Members
   with other names are ignored. */
enum {
    EXIT,
    SIGNAL,
    MERGED,
    OUT,
    OUT_BASE64,
    OUT_TOTAL,
    OUT_HEAD,
    OUT_CLOSED,
    ERR,
    ERR_BASE64,
    ERR_TOTAL,
    ERR_HEAD,
    ERR_CLOSED,
    MEMBERS_COUNT
};

static const char *const member_names[MEMBERS_COUNT] = {
    [EXIT] = "exit",
    [SIGNAL] = "signal",
    [MERGED] = "merged",
    [OUT] = "stdout",
    [OUT_BASE64] = "stdout_base64",
    [OUT_TOTAL] = "stdout_total",
    [OUT_HEAD] = "stdout_head",
    [OUT_CLOSED] = "stdout_closed",
    [ERR] = "stderr",
    [ERR_BASE64] = "stderr_base64",
    [ERR_TOTAL] = "stderr_total",
    [ERR_HEAD] = "stderr_head",
    [ERR_CLOSED] = "stderr_closed",
};

#define NAME_MAX_WRITTEN 128 /* a longer name is none of ours, even with each letter as an escape */

static int find_member(idem_bytes written)
{
    char name[NAME_MAX_WRITTEN];
    size_t len = 0;
    if (written.len > sizeof name || !cli_json_string(written, name, &len))
        return MEMBERS_COUNT;
    for (int i = 0; i < MEMBERS_COUNT; i++) {
        if (strlen(member_names[i]) == len && memcmp(member_names[i], name, len) == 0)
            return i;
    }
    return MEMBERS_COUNT;
}

/* Where the members' values are in the response. */
static bool find_members(idem_bytes response, idem_bytes values[MEMBERS_COUNT])
{
    idem_bytes name;
    idem_bytes value;
    cli_json json = cli_json_object(response);
    while (cli_json_member(&json, &name, &value)) {
        int which = find_member(name);
        if (which == MEMBERS_COUNT)
            continue;
        if (values[which].data)
            return false;
        values[which] = value;
    }
    return !json.failed;
}

#define SCALAR_MAX_WRITTEN 32 /* a longer number is none of ours */

static json_t *read_scalar(idem_bytes written)
{
    if (!written.data || written.len > SCALAR_MAX_WRITTEN)
        return NULL;
    return json_loadb(written.data, written.len, JSON_DECODE_ANY, NULL);
}

/* A whole number that is not negative. */
static bool read_count(idem_bytes written, uint64_t max, uint64_t *count)
{
    json_t *number = read_scalar(written);
    bool fits = json_is_integer(number) && json_integer_value(number) >= 0 &&
                (uint64_t)json_integer_value(number) <= max;
    if (fits)
        *count = (uint64_t)json_integer_value(number);
    json_decref(number);
    return fits;
}

static bool is_true(idem_bytes written)
{
    json_t *value = read_scalar(written);
    bool is = json_is_true(value);
    json_decref(value);
    return is;
}

/* What was decoded from base64 is shorter, so that it may overwrite what it was. */
static bool read_kept(idem_bytes text, idem_bytes base64, cli_result_stream *stream)
{
    idem_bytes written = text.data ? text : base64;
    size_t len = 0;
    if (!text.data == !base64.data)
        return false;
    stream->memory = malloc(written.len);
    if (!stream->memory || !cli_json_string(written, stream->memory, &len))
        return false;
    if (base64.data && !cli_base64_decode(stream->memory, len, stream->memory, &len))
        return false;
    stream->kept = (idem_bytes){stream->memory, len};
    return true;
}

/* How many of the bytes are the first. A number that can't be is passed over, like a member that is
   not known: nothing but a message depends on it. */
static size_t read_first(idem_bytes head, size_t len)
{
    uint64_t first = len;
    return read_count(head, len, &first) ? (size_t)first : len;
}

/* @param values  of the stream as text, as base64, its total, its head, and whether it was
   closed */
static bool read_stream(const idem_bytes *values, cli_result_stream *stream)
{
    if (!read_kept(values[0], values[1], stream))
        return false;
    stream->total = stream->kept.len;
    stream->closed = is_true(values[4]);
    if (values[2].data && !read_count(values[2], UINT64_MAX, &stream->total))
        return false;
    stream->first = read_first(values[3], stream->kept.len);
    return stream->total >= stream->kept.len;
}

/* Of some signals nobody dies: a replay that sent itself SIGSTOP would stand still for ever. */
static bool is_deadly(int number)
{
    static const int harmless[] = {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP,
                                   SIGTTIN, SIGTTOU, SIGURG,  SIGWINCH};
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        if (number == harmless[i])
            return false;
    }
    return true;
}

/* Only what the exit code agrees with. */
static int read_signal(idem_bytes written, int code)
{
    uint64_t number = 0;
    bool agrees = code > CLI_SIGNAL && read_count(written, 255, &number) &&
                  number == (uint64_t)(code - CLI_SIGNAL) && is_deadly((int)number);
    return agrees ? code - CLI_SIGNAL : 0;
}

bool cli_result_decode(idem_bytes response, cli_result *result)
{
    cli_result read = {0};
    idem_bytes values[MEMBERS_COUNT] = {{0}};
    uint64_t code = 0;
    bool ok = find_members(response, values) && read_count(values[EXIT], 255, &code) &&
              read_stream(&values[OUT], &read.out) && read_stream(&values[ERR], &read.err);
    if (ok) {
        read.code = (int)code;
        read.signal = read_signal(values[SIGNAL], read.code);
        read.merged = is_true(values[MERGED]);
        *result = read;
    } else {
        cli_result_clear(&read);
    }
    return ok;
}

void cli_result_clear(cli_result *result)
{
    free(result->out.memory);
    free(result->err.memory);
    memset(result, 0, sizeof *result);
}
