/* SPDX-License-Identifier: MIT */
/*
 * A recogniser of JSON texts, and a reader of members and strings in them. What stands in a store
 * may be anybody's, so that nothing here recurses, allocates, or believes a length.
 */
#include "json.h"

#include "unicode.h"

static void skip_blanks(cli_json *json)
{
    while (json->at < json->end && strchr(" \t\r\n", *json->at) && *json->at != '\0')
        json->at++;
}

static bool fail(cli_json *json)
{
    json->failed = true;
    return false;
}

/* Takes one character, behind blanks. */
static bool take(cli_json *json, char wanted)
{
    skip_blanks(json);
    if (json->at == json->end || *json->at != wanted)
        return false;
    json->at++;
    return true;
}

/* ------------------------------------------------------------------------------------ scalars */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits behind `\u`; -1: there are none. */
static int32_t hex_unit(const char *at, const char *end)
{
    int32_t unit = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* One character of a string or one escape. @return its length; 0: it is none */
static size_t piece_length(const char *at, const char *end)
{
    unsigned char first = (unsigned char)*at;
    if (first < 0x20)
        return 0;
    if (first != '\\')
        return cli_utf8_length((const unsigned char *)at, (size_t)(end - at));
    if (end - at < 2 || at[1] == '\0')
        return 0;
    if (at[1] == 'u')
        return hex_unit(at + 2, end) < 0 ? 0 : 6;
    return strchr("\"\\/bfnrt", at[1]) ? 2 : 0;
}

static bool skip_string(cli_json *json)
{
    if (!take(json, '"'))
        return fail(json);
    while (json->at < json->end && *json->at != '"') {
        size_t len = piece_length(json->at, json->end);
        if (len == 0)
            return fail(json);
        json->at += len;
    }
    return take(json, '"') || fail(json);
}

static size_t skip_digits(cli_json *json)
{
    const char *start = json->at;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9')
        json->at++;
    return (size_t)(json->at - start);
}

static bool next_is(const cli_json *json, const char *any)
{
    return json->at < json->end && *json->at != '\0' && strchr(any, *json->at);
}

static bool skip_number(cli_json *json)
{
    if (next_is(json, "-"))
        json->at++;
    bool zero = next_is(json, "0");
    size_t digits = skip_digits(json);
    if (digits == 0 || (zero && digits > 1))
        return fail(json);
    if (next_is(json, ".")) {
        json->at++;
        if (skip_digits(json) == 0)
            return fail(json);
    }
    if (next_is(json, "eE")) {
        json->at++;
        if (next_is(json, "+-"))
            json->at++;
        if (skip_digits(json) == 0)
            return fail(json);
    }
    return true;
}

static bool skip_word(cli_json *json, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0)
        return fail(json);
    json->at += len;
    return true;
}

static bool skip_scalar(cli_json *json)
{
    skip_blanks(json);
    if (json->at == json->end)
        return fail(json);
    switch (*json->at) {
    case '"':
        return skip_string(json);
    case 't':
        return skip_word(json, "true");
    case 'f':
        return skip_word(json, "false");
    case 'n':
        return skip_word(json, "null");
    default:
        return skip_number(json);
    }
}

/* ------------------------------------------------------------------------------------- values */

/* Which of the containers around a place are objects, from the outermost: one bit each. */
typedef struct {
    unsigned char bits[CLI_JSON_DEPTH_MAX / 8];
    size_t depth;
} nesting;

static bool enter(nesting *around, bool object)
{
    if (around->depth == CLI_JSON_DEPTH_MAX)
        return false;
    unsigned char bit = (unsigned char)(1u << around->depth % 8);
    unsigned char *byte = &around->bits[around->depth++ / 8];
    *byte = (unsigned char)(object ? *byte | bit : *byte & ~bit);
    return true;
}

static bool in_object(const nesting *around)
{
    size_t at = around->depth - 1;
    return around->bits[at / 8] >> at % 8 & 1;
}

static bool skip_name(cli_json *json)
{
    return skip_string(json) && (take(json, ':') || fail(json));
}

/* Goes behind what a value ends: containers, until one goes on with another value.
   @return false: the outermost value has ended, or `failed` */
static bool leave(cli_json *json, nesting *around)
{
    while (around->depth > 0) {
        bool object = in_object(around);
        if (take(json, ','))
            return !object || skip_name(json);
        if (!take(json, object ? '}' : ']'))
            return fail(json);
        around->depth--;
    }
    return false;
}

/* Goes into containers until a value stands there that is none, or an empty one, and behind it. */
static bool skip_leaf(cli_json *json, nesting *around)
{
    for (;;) {
        bool object = take(json, '{');
        if (!object && !take(json, '['))
            return skip_scalar(json);
        if (take(json, object ? '}' : ']'))
            return true;
        if (!enter(around, object))
            return fail(json);
        if (object && !skip_name(json))
            return false;
    }
}

static bool skip_value(cli_json *json)
{
    nesting around = {.depth = 0};
    do {
        if (!skip_leaf(json, &around))
            return false;
    } while (leave(json, &around));
    return !json->failed;
}

static cli_json begin(idem_bytes text)
{
    const char *data = text.len > 0 ? text.data : "";
    return (cli_json){.at = data, .end = data + text.len};
}

bool cli_json_is_text(idem_bytes bytes)
{
    cli_json json = begin(bytes);
    if (!skip_value(&json))
        return false;
    skip_blanks(&json);
    return json.at == json.end;
}

cli_json cli_json_object(idem_bytes text)
{
    cli_json json = begin(text);
    json.failed = !take(&json, '{');
    return json;
}

/* Behind the last member everything has to be blank; then `at` is NULL. */
static bool end_object(cli_json *json)
{
    skip_blanks(json);
    if (json->at != json->end)
        return fail(json);
    json->at = json->end = NULL;
    return false;
}

bool cli_json_member(cli_json *json, idem_bytes *name, idem_bytes *value)
{
    if (json->failed || !json->at)
        return false;
    if (take(json, '}'))
        return end_object(json);
    skip_blanks(json);
    const char *start = json->at;
    if (!skip_string(json))
        return false;
    *name = (idem_bytes){start, (size_t)(json->at - start)};
    if (!take(json, ':'))
        return fail(json);
    skip_blanks(json);
    start = json->at;
    if (!skip_value(json))
        return false;
    *value = (idem_bytes){start, (size_t)(json->at - start)};
    bool more = take(json, ',');
    skip_blanks(json);
    return next_is(json, more ? "\"" : "}") || fail(json);
}

/* ------------------------------------------------------------------------------------ decoding */

static size_t encode_utf8(uint32_t character, char *to)
{
    if (character < 0x80) {
        to[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (char)(0xC0 | character >> 6);
        to[1] = (char)(0x80 | (character & 0x3F));
        return 2;
    }
    if (character < 0x10000) {
        to[0] = (char)(0xE0 | character >> 12);
        to[1] = (char)(0x80 | (character >> 6 & 0x3F));
        to[2] = (char)(0x80 | (character & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | character >> 18);
    to[1] = (char)(0x80 | (character >> 12 & 0x3F));
    to[2] = (char)(0x80 | (character >> 6 & 0x3F));
    to[3] = (char)(0x80 | (character & 0x3F));
    return 4;
}

/* Reads `\uXXXX`, and the second half of a pair behind it.
   @return how much was read; 0: there is half a pair */
static size_t decode_unit(const char *at, const char *end, uint32_t *character)
{
    int32_t high = hex_unit(at + 2, end);
    *character = (uint32_t)high;
    if (high < 0xD800 || high > 0xDFFF)
        return 6;
    int32_t low = end - at >= 12 && at[6] == '\\' && at[7] == 'u' ? hex_unit(at + 8, end) : -1;
    if (high > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
        return 0;
    *character = 0x10000 + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
    return 12;
}

static char short_escape(char letter)
{
    static const char pairs[] = "b\bf\fn\nr\rt\t";
    for (size_t i = 0; i < sizeof pairs - 1; i += 2) {
        if (pairs[i] == letter)
            return pairs[i + 1];
    }
    return letter;
}

bool cli_json_string(idem_bytes written, char *to, size_t *len)
{
    cli_json json = begin(written);
    char *start = to;
    if (!skip_string(&json) || json.at != json.end)
        return false;
    const char *at = (const char *)written.data + 1;
    const char *end = json.end - 1;
    while (at < end) {
        size_t piece = 1;
        uint32_t character = 0;
        if (*at != '\\') {
            *to++ = *at;
        } else if (at[1] != 'u') {
            *to++ = short_escape(at[1]);
            piece = 2;
        } else {
            piece = decode_unit(at, end, &character);
            to += piece ? encode_utf8(character, to) : 0;
        }
        if (piece == 0)
            return false;
        at += piece;
    }
    *len = (size_t)(to - start);
    return true;
}
