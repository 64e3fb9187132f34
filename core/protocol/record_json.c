/* SPDX-License-Identifier: MIT */
/*
 * A record's JSON form, for backends that keep text. Response and checkpoint are the caller's own
 * bytes and are embedded and cut out raw; everything else is plain: hexadecimal digits, whole
 * numbers, RFC 3339 times. The version comes first and has a fixed width, so that a script inside
 * a server can compare it at a fixed place without parsing.
 *
 * A response that is any bytes is a string of base64 with the member `encoding` behind it: a reader
 * that knows nothing of that member reads a string.
 *
 * Records of the format's first writer have status, response, created_at and updated_at alone.
 */
#include "record.h"

#include "base64.h"
#include "error.h"
#include "json.h"
#include "timestamp.h"

/* ---------------------------------------------------------------------------------- writing */

/* More than all members but the four that have bytes of any length, with the names of all. */
#define FIXED_MAX 512u

static char *put(char *at, idem_bytes bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

#define PUT_LITERAL(at, text) put(at, (idem_bytes){text, sizeof(text) - 1})

static char *put_hex(char *at, idem_bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *data = bytes.data;
    for (size_t i = 0; i < bytes.len; i++) {
        *at++ = digits[data[i] >> 4];
        *at++ = digits[data[i] & 15];
    }
    return at;
}

static char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t begin = sizeof digits;
    do {
        digits[--begin] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, (idem_bytes){digits + begin, sizeof digits - begin});
}

static char *put_head(char *at, const idem_record *record)
{
    uint8_t version[8];
    for (size_t i = 0; i < sizeof version; i++)
        version[i] = (uint8_t)(record->version >> (56 - 8 * i));
    at = PUT_LITERAL(at, "{\"version\":\"");
    at = put_hex(at, (idem_bytes){version, sizeof version});
    at = record->status == IDEM_STATUS_COMPLETED ? PUT_LITERAL(at, "\",\"status\":\"Completed")
                                                 : PUT_LITERAL(at, "\",\"status\":\"InProgress");
    at = PUT_LITERAL(at, "\",\"created_at\":\"");
    at = idem__timestamp_write(record->created_at_ms, at);
    at = PUT_LITERAL(at, "\",\"updated_at\":\"");
    at = idem__timestamp_write(record->updated_at_ms, at);
    at = PUT_LITERAL(at, "\",\"attempt\":");
    at = put_number(at, record->attempt);
    at = PUT_LITERAL(at, ",\"lease_ms\":");
    at = put_number(at, record->lease_ms);
    at = PUT_LITERAL(at, ",\"ttl_ms\":");
    return put_number(at, record->ttl_ms);
}

static char *put_base64(char *at, idem_bytes response)
{
    at = PUT_LITERAL(at, ",\"response\":\"");
    idem__base64_encode(response.data, response.len, at);
    return PUT_LITERAL(at + idem__base64_length(response.len), "\",\"encoding\":\"base64\"");
}

static char *put_body(char *at, const idem_record *record)
{
    if (!idem__record_is_tokenless(record)) {
        at = PUT_LITERAL(at, ",\"token\":\"");
        at = put_hex(at, (idem_bytes){record->token, IDEM_TOKEN_SIZE});
        at = PUT_LITERAL(at, "\"");
    }
    if (record->fingerprint.len > 0) {
        at = PUT_LITERAL(at, ",\"fingerprint\":\"");
        at = put_hex(at, record->fingerprint);
        at = PUT_LITERAL(at, "\"");
    }
    if (record->checkpoint.len > 0)
        at = put(PUT_LITERAL(at, ",\"checkpoint\":"), record->checkpoint);
    if (record->encoding == IDEM_ENCODING_BYTES)
        at = put_base64(at, record->response);
    else if (record->response.len > 0)
        at = put(PUT_LITERAL(at, ",\"response\":"), record->response);
    return PUT_LITERAL(at, "}");
}

int idem_record_encode(const idem_record *record, idem_buffer *buffer, idem_error *error)
{
    if (!buffer || !idem__record_is_whole(record))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a record, or the buffer for its text, is NULL, or it has a length "
                              "without bytes");
    size_t response = record->encoding == IDEM_ENCODING_BYTES
                          ? idem__base64_length(record->response.len)
                          : record->response.len;
    size_t max = FIXED_MAX + 2 * record->fingerprint.len + record->checkpoint.len + response;
    int rc = idem__buffer_reserve(buffer, max, error);
    if (rc)
        return rc;
    char *end = put_body(put_head(buffer->data + buffer->len, record), record);
    buffer->len = (size_t)(end - buffer->data);
    return IDEM_OK;
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
    ENCODING,
    MEMBERS
} member;

#define NAME(text)             \
    {                          \
        text, sizeof(text) - 1 \
    }

/* In the order in which they are written. */
static const idem_bytes member_names[MEMBERS] = {
    [VERSION] = NAME("version"),         [STATUS] = NAME("status"),
    [CREATED_AT] = NAME("created_at"),   [UPDATED_AT] = NAME("updated_at"),
    [ATTEMPT] = NAME("attempt"),         [LEASE_MS] = NAME("lease_ms"),
    [TTL_MS] = NAME("ttl_ms"),           [TOKEN] = NAME("token"),
    [FINGERPRINT] = NAME("fingerprint"), [CHECKPOINT] = NAME("checkpoint"),
    [RESPONSE] = NAME("response"),       [ENCODING] = NAME("encoding"),
};

static bool is_same(idem_bytes a, idem_bytes b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool is_text(idem_bytes bytes, const char *text)
{
    return is_same(bytes, idem_str(text));
}

/* The member of this name, MEMBERS if there is none. `next`: where to look first. */
static int member_of(idem_bytes name, int next)
{
    for (int i = 0; i < MEMBERS; i++) {
        int at = (next + i) % MEMBERS;
        if (is_same(name, member_names[at]))
            return at;
    }
    return MEMBERS;
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
    int next = 0;
    if (!idem__json_open(&json))
        return json.problem;
    for (bool first = true; idem__json_member(&json, first, &name, &value); first = false) {
        int which = member_of(name, next);
        if (which == MEMBERS)
            continue;
        if (members[which].len > 0)
            return "a member is there twice";
        members[which] = which == RESPONSE || which == CHECKPOINT ? value : trim(value);
        next = which + 1;
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

static bool read_time(idem_bytes raw, int64_t *unix_ms)
{
    idem_bytes inner;
    return unquote(raw, &inner) && idem__timestamp_read(inner, unix_ms);
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

/* Points a response of base64 at its characters. They are decoded in the memory of the copy. */
static const char *read_encoding(const idem_bytes members[MEMBERS], idem_record *record)
{
    if (record->status != IDEM_STATUS_COMPLETED || members[ENCODING].len == 0)
        return NULL;
    if (!is_text(members[ENCODING], "\"base64\""))
        return "encoding is not \"base64\"";
    record->encoding = IDEM_ENCODING_BYTES;
    return unquote(trim(members[RESPONSE]), &record->response) ? NULL : "response is no base64";
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
    return read_encoding(members, record);
}

/* Decodes the response of a record that owns its bytes where it lies. */
static bool decode_response(idem_record *record)
{
    size_t len = 0;
    if (record->response.len == 0)
        return true;
    char *text = (char *)record->memory +
                 ((const char *)record->response.data - (const char *)record->memory);
    bool ok = idem__base64_decode(text, record->response.len, text, &len);
    record->response.len = len;
    return ok;
}

static int report(idem_bytes key, const char *problem, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    return idem_error_set(error, IDEM_ERR_CORRUPT,
                          "the record of %s can't be understood (%s); it was left as it is: "
                          "look whose it is; idem_forget_any() removes it",
                          idem_quote(key, quoted), problem);
}

int idem_record_decode(idem_bytes key, const char *text, size_t len, idem_record *record,
                       idem_error *error)
{
    idem_bytes members[MEMBERS] = {{NULL, 0}};
    uint8_t fingerprint[IDEM_FINGERPRINT_MAX];
    idem_record read = {.key = key, .attempt = 1};
    if (!text || !record)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a text, or the place for its record, is NULL");
    const char *problem = cut(text, len, members);
    if (!problem)
        problem = read_common(members, &read);
    if (!problem && members[TOKEN].len > 0)
        problem = read_owned(members, &read, fingerprint);
    if (problem)
        return report(key, problem, error);
    int rc = idem_record_copy(&read, record, error);
    if (rc || read.encoding == IDEM_ENCODING_JSON || decode_response(record))
        return rc;
    idem_record_clear(record);
    return report(key, "response is no base64", error);
}
