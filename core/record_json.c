/* SPDX-License-Identifier: MIT */
/*
 * A record's JSON form, for backends that keep text. Response and checkpoint are the caller's own
 * bytes and are embedded and cut out raw; everything else is plain: hexadecimal digits, whole
 * numbers, RFC 3339 times. The version comes first and has a fixed width, so that a script inside
 * a server can compare it at a fixed place without parsing.
 *
 * Records of the format's first writer have status, response, created_at and updated_at alone.
 */
#include "record.h"

#include "error.h"
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TIME_SIZE   32
#define TIME_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */
#define TIME_MIN_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */

/* ---------------------------------------------------------------------------------- writing */

static int append_text(idem_buffer *buffer, const char *text, idem_error *error)
{
    return idem_buffer_append(buffer, text, strlen(text), error);
}

static int append_hex(idem_buffer *buffer, idem_bytes bytes, idem_error *error)
{
    const uint8_t *data = bytes.data;
    int rc = IDEM_OK;
    for (size_t i = 0; i < bytes.len && rc == IDEM_OK; i++) {
        char digits[3];
        (void)snprintf(digits, sizeof digits, "%02x", data[i]);
        rc = idem_buffer_append(buffer, digits, 2, error);
    }
    return rc;
}

static void format_time(int64_t unix_ms, char out[TIME_SIZE])
{
    struct tm parts;
    char rest[TIME_SIZE];
    int64_t ms = unix_ms < TIME_MIN_MS   ? TIME_MIN_MS
                 : unix_ms > TIME_MAX_MS ? TIME_MAX_MS
                                         : unix_ms;
    int64_t since_min_ms = ms - TIME_MIN_MS; /* never below 0, so that division rounds down */
    time_t seconds = (time_t)(since_min_ms / 1000 + TIME_MIN_MS / 1000);
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(rest, sizeof rest, "-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(out, TIME_SIZE, "%04d%.15s.%03dZ", parts.tm_year + 1900, rest,
                   (int)(since_min_ms % 1000));
}

static int append_head(const idem_record *record, idem_buffer *buffer, idem_error *error)
{
    char created[TIME_SIZE];
    char updated[TIME_SIZE];
    char head[256];
    format_time(record->created_at_ms, created);
    format_time(record->updated_at_ms, updated);
    (void)snprintf(head, sizeof head,
                   "{\"version\":\"%016" PRIx64 "\",\"status\":\"%s\",\"created_at\":\"%s\","
                   "\"updated_at\":\"%s\",\"attempt\":%" PRIu32 ",\"lease_ms\":%" PRIu64
                   ",\"ttl_ms\":%" PRIu64,
                   record->version,
                   record->status == IDEM_STATUS_COMPLETED ? "Completed" : "InProgress", created,
                   updated, record->attempt, record->lease_ms, record->ttl_ms);
    return append_text(buffer, head, error);
}

static int append_member(idem_buffer *buffer, const char *name, idem_bytes raw, idem_error *error)
{
    if (raw.len == 0)
        return IDEM_OK;
    int rc = append_text(buffer, name, error);
    return rc ? rc : idem_buffer_append(buffer, raw.data, raw.len, error);
}

static int append_hex_member(idem_buffer *buffer, const char *name, idem_bytes bytes,
                             idem_error *error)
{
    if (bytes.len == 0)
        return IDEM_OK;
    int rc = append_text(buffer, name, error);
    if (rc == IDEM_OK)
        rc = append_hex(buffer, bytes, error);
    return rc ? rc : append_text(buffer, "\"", error);
}

int idem_record_encode(const idem_record *record, idem_buffer *buffer, idem_error *error)
{
    idem_bytes token = {record->token, IDEM_TOKEN_SIZE};
    int rc = append_head(record, buffer, error);
    if (rc == IDEM_OK && !idem__record_is_tokenless(record))
        rc = append_hex_member(buffer, ",\"token\":\"", token, error);
    if (rc == IDEM_OK)
        rc = append_hex_member(buffer, ",\"fingerprint\":\"", record->fingerprint, error);
    if (rc == IDEM_OK)
        rc = append_member(buffer, ",\"checkpoint\":", record->checkpoint, error);
    if (rc == IDEM_OK)
        rc = append_member(buffer, ",\"response\":", record->response, error);
    return rc ? rc : append_text(buffer, "}", error);
}

/* ---------------------------------------------------------------------------------- reading */

/* The members that are understood, each as its raw value; empty if it is not there. */
typedef enum {
    VERSION,
    STATUS,
    CREATED_AT,
    UPDATED_AT,
    ATTEMPT,
    LEASE_MS,
    TTL_MS,
    TOKEN,
    FINGERPRINT,
    CHECKPOINT,
    RESPONSE,
    MEMBERS
} member;

static const char *const member_names[MEMBERS] = {
    [VERSION] = "version",       [STATUS] = "status",     [CREATED_AT] = "created_at",
    [UPDATED_AT] = "updated_at", [ATTEMPT] = "attempt",   [LEASE_MS] = "lease_ms",
    [TTL_MS] = "ttl_ms",         [TOKEN] = "token",       [FINGERPRINT] = "fingerprint",
    [CHECKPOINT] = "checkpoint", [RESPONSE] = "response",
};

static bool is_text(idem_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static idem_bytes trim(idem_bytes raw)
{
    const char *data = raw.data;
    while (raw.len > 0 && is_space(data[raw.len - 1]))
        raw.len--;
    for (; raw.len > 0 && is_space(*data); data++)
        raw.len--;
    raw.data = data;
    return raw;
}

/* Cuts the text into its members; NULL, or what is wrong. White space around a response or a
   checkpoint is the caller's own and stays: this form has none of its own. */
static const char *cut(const char *text, size_t len, idem_bytes members[MEMBERS])
{
    idem__json json = {.at = text, .end = text + len};
    idem_bytes name;
    idem_bytes value;
    bool first = true;
    if (!idem__json_open(&json))
        return json.problem;
    while (idem__json_member(&json, first, &name, &value)) {
        first = false;
        for (int i = 0; i < MEMBERS; i++) {
            if (!is_text(name, member_names[i]))
                continue;
            if (members[i].len > 0)
                return "a member is there twice";
            members[i] = i == RESPONSE || i == CHECKPOINT ? value : trim(value);
        }
    }
    if (json.problem)
        return json.problem;
    while (json.at < json.end && is_space(*json.at))
        json.at++;
    return json.at == json.end ? NULL : "something follows the object";
}

/* The bytes between the quotes of a raw string; none of our own strings has escapes. */
static bool unquote(idem_bytes raw, idem_bytes *inner)
{
    const char *data = raw.data;
    if (raw.len < 2 || data[0] != '"' || memchr(data, '\\', raw.len))
        return false;
    *inner = (idem_bytes){data + 1, raw.len - 2};
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads a raw string of hexadecimal digits; false unless it is of min to max bytes. */
static bool read_hex(idem_bytes raw, uint8_t *out, size_t min, size_t max, size_t *len)
{
    idem_bytes inner;
    if (!unquote(raw, &inner) || inner.len % 2 || inner.len / 2 < min || inner.len / 2 > max)
        return false;
    const char *digits = inner.data;
    for (size_t i = 0; i < inner.len / 2; i++) {
        int high = hex_digit(digits[2 * i]);
        int low = hex_digit(digits[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    *len = inner.len / 2;
    return true;
}

static bool read_number(idem_bytes raw, uint64_t min, uint64_t max, uint64_t *out)
{
    const char *digits = raw.data;
    uint64_t number = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(digits[i] - '0');
        if (number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return raw.len > 0 && number >= min;
}

/* True if every 0 of the pattern meets a digit, and everything else meets itself. */
static bool matches(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++) {
        if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
            return false;
    }
    return true;
}

/* True if these are a day and a time that there are; a leap second is one. */
static bool is_moment(const struct tm *parts)
{
    struct tm day = {.tm_year = parts->tm_year, .tm_mon = parts->tm_mon, .tm_mday = parts->tm_mday};
    time_t midnight = timegm(&day);
    return parts->tm_mon >= 0 && parts->tm_mon < 12 && parts->tm_mday == day.tm_mday &&
           midnight != (time_t)-1 && parts->tm_hour < 24 && parts->tm_min < 60 &&
           parts->tm_sec <= 60;
}

/* Reads `2026-11-23T16:00:00.000Z`, with any number of decimals. */
static bool read_time(idem_bytes raw, int64_t *unix_ms)
{
    idem_bytes inner;
    char text[40] = "";
    struct tm parts = {0};
    if (!unquote(raw, &inner) || inner.len >= sizeof text)
        return false;
    memcpy(text, inner.data, inner.len);
    if (!matches(text, "0000-00-00T00:00:00") ||
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
               &parts.tm_hour, &parts.tm_min, &parts.tm_sec) != 6)
        return false;
    int64_t ms = 0;
    const char *at = text + strlen("0000-00-00T00:00:00");
    if (*at == '.') {
        int scale = 100;
        for (at++; *at >= '0' && *at <= '9'; at++, scale /= 10)
            ms += (*at - '0') * scale;
    }
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    if (strcmp(at, "Z") != 0 || !is_moment(&parts))
        return false;
    *unix_ms = (int64_t)timegm(&parts) * 1000 + ms;
    return *unix_ms <= TIME_MAX_MS;
}

/* What both formats have. NULL, or what is wrong. */
static const char *read_common(const idem_bytes members[MEMBERS], idem_record *record)
{
    if (is_text(members[STATUS], "\"InProgress\""))
        record->status = IDEM_STATUS_IN_PROGRESS;
    else if (is_text(members[STATUS], "\"Completed\""))
        record->status = IDEM_STATUS_COMPLETED;
    else
        return "status is neither \"InProgress\" nor \"Completed\"";
    if (!read_time(members[CREATED_AT], &record->created_at_ms))
        return "created_at is no RFC 3339 time";
    if (!read_time(members[UPDATED_AT], &record->updated_at_ms))
        return "updated_at is no RFC 3339 time";
    if (record->status == IDEM_STATUS_COMPLETED) {
        /* The first writer leaves a null response out. */
        record->response = members[RESPONSE].len ? members[RESPONSE] : idem_str("null");
        if (members[TOKEN].len == 0)
            record->response = trim(record->response);
    }
    return NULL;
}

/* What only records with a token have. NULL, or what is wrong. */
static const char *read_owned(const idem_bytes members[MEMBERS], idem_record *record,
                              uint8_t fingerprint[IDEM_FINGERPRINT_MAX])
{
    size_t len;
    uint8_t version[8];
    uint64_t attempt;
    if (!read_hex(members[TOKEN], record->token, IDEM_TOKEN_SIZE, IDEM_TOKEN_SIZE, &len) ||
        idem__record_is_tokenless(record))
        return "token is not 32 hexadecimal digits";
    if (!read_hex(members[VERSION], version, sizeof version, sizeof version, &len))
        return "version is not 16 hexadecimal digits";
    for (size_t i = 0; i < sizeof version; i++)
        record->version = record->version << 8 | version[i];
    if (!read_number(members[ATTEMPT], 1, UINT32_MAX, &attempt))
        return "attempt is no count";
    record->attempt = (uint32_t)attempt;
    if (!read_number(members[LEASE_MS], 1, IDEM_DURATION_MAX_MS, &record->lease_ms))
        return "lease_ms is no duration";
    if (!read_number(members[TTL_MS], 1, IDEM_DURATION_MAX_MS, &record->ttl_ms))
        return "ttl_ms is no duration";
    if (members[FINGERPRINT].len > 0) {
        if (!read_hex(members[FINGERPRINT], fingerprint, 1, IDEM_FINGERPRINT_MAX, &len))
            return "fingerprint is not hexadecimal";
        record->fingerprint = (idem_bytes){fingerprint, len};
    }
    if (record->status == IDEM_STATUS_IN_PROGRESS)
        record->checkpoint = members[CHECKPOINT];
    return NULL;
}

int idem_record_decode(idem_bytes key, const char *text, size_t len, idem_record *record,
                       idem_error *error)
{
    idem_bytes members[MEMBERS] = {{NULL, 0}};
    uint8_t fingerprint[IDEM_FINGERPRINT_MAX];
    char quoted[IDEM_QUOTE_SIZE];
    idem_record read = {.key = key, .attempt = 1};
    const char *problem = cut(text, len, members);
    if (!problem)
        problem = read_common(members, &read);
    if (!problem && members[TOKEN].len > 0)
        problem = read_owned(members, &read, fingerprint);
    if (problem)
        return idem_error_set(error, IDEM_ERR_CORRUPT,
                              "the record of %s can't be understood (%s); it was left as it is: "
                              "look at it, then forget the key",
                              idem_quote(key, quoted), problem);
    return idem_record_copy(&read, record, error);
}
