/* SPDX-License-Identifier: MIT */
/*
 * A recogniser of JSON texts, strictly after RFC 8259, with UTF-8 after RFC 3629. It builds
 * nothing: a response is kept as its bytes, so all there is to know is whether they are JSON, and
 * where a piece of them ends. It does not recurse: one bit for each level of nesting says whether
 * an object or an array is open. Numbers may have any size and strings any escapes, unpaired
 * surrogates included: the grammar allows them.
 *
 * Most bytes of a response stand inside strings and need no second look. They are passed over
 * four words at a time, by tests on a whole word that are true if they are for one of its bytes.
 */
#include "json.h"

typedef struct {
    uint32_t bits[IDEM__JSON_DEPTH_MAX / 32]; /* 1: object, 0: array */
    uint32_t depth;
} nesting;

static bool fail(idem__json *json, const char *problem)
{
    json->problem = problem;
    return false;
}

/* Nearly always there is none: one comparison says so. */
static inline void skip_space(idem__json *json)
{
    const char *at = json->at;
    while (at < json->end && *at <= ' ' &&
           (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    json->at = at;
}

static inline bool skip_char(idem__json *json, char expected, const char *problem)
{
    if (json->at == json->end || *json->at != expected)
        return fail(json, problem);
    json->at++;
    return true;
}

/* The length of the UTF-8 sequence at `at`, or 0: no overlong forms, no surrogates, none beyond
   U+10FFFF (RFC 3629, section 4). */
static size_t utf8_length(const unsigned char *at, size_t left)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t len;
    if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        len = 2;
    } else if (at[0] >= 0xe0 && at[0] <= 0xef) {
        len = 3;
        low = at[0] == 0xe0 ? 0xa0 : 0x80;
        high = at[0] == 0xed ? 0x9f : 0xbf;
    } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        len = 4;
        low = at[0] == 0xf0 ? 0x90 : 0x80;
        high = at[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (left < len || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    }
    return len;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool skip_escape(idem__json *json)
{
    size_t left = (size_t)(json->end - json->at);
    if (left < 2)
        return fail(json, "an escape is cut off");
    if (json->at[1] != 'u') {
        if (json->at[1] == '\0' || !strchr("\"\\/bfnrt", json->at[1]))
            return fail(json, "an escape that JSON does not know");
        json->at += 2;
        return true;
    }
    for (size_t i = 2; i < 6; i++) {
        if (i >= left || !is_hex(json->at[i]))
            return fail(json, "\\u needs four hexadecimal digits");
    }
    json->at += 6;
    return true;
}

/* A word that has `byte` in each of its bytes. */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The highest bit of each byte of `word` that has to be examined, and perhaps of bytes above such a
   one: control characters, quotes, backslashes, and parts of longer UTF-8 sequences. For the first
   three a subtraction goes below 0; the other bytes with that bit are beyond ASCII. A quote is
   exchanged with the space, which puts it right behind the control characters. */
static inline uint64_t specials(uint64_t word)
{
    uint64_t controls_and_quotes = (word ^ EACH('"' ^ ' ')) - EACH(' ' + 1);
    uint64_t backslashes = (word ^ EACH('\\')) - EACH(1);
    return (word | controls_and_quotes | backslashes) & EACH(0x80);
}

static inline bool is_plain(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* The first byte from `at` on that stands for more than itself; `end` if there is none. */
static inline const char *skip_plain(const char *at, const char *end)
{
    uint64_t word;
    uint64_t words[4];
    while ((size_t)(end - at) >= sizeof words) {
        memcpy(words, at, sizeof words);
        if (specials(words[0]) | specials(words[1]) | specials(words[2]) | specials(words[3]))
            break;
        at += sizeof words;
    }
    while ((size_t)(end - at) >= sizeof word) {
        memcpy(&word, at, sizeof word);
        uint64_t found = specials(word);
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (found) /* the lowest bit is right: nothing is below it */
            return at + __builtin_ctzll(found) / 8;
#else
        if (found)
            break;
#endif
        at += sizeof word;
    }
    while (at < end && is_plain(*at))
        at++;
    return at;
}

static bool skip_utf8(idem__json *json)
{
    size_t len = utf8_length((const unsigned char *)json->at, (size_t)(json->end - json->at));
    json->at += len;
    return len > 0 || fail(json, "invalid UTF-8");
}

static bool skip_string(idem__json *json)
{
    if (!skip_char(json, '"', "a string is expected"))
        return false;
    for (;;) {
        json->at = skip_plain(json->at, json->end);
        if (json->at == json->end)
            return fail(json, "a string is not closed");
        unsigned char c = (unsigned char)*json->at;
        if (c == '"') {
            json->at++;
            return true;
        }
        if (c < 0x20)
            return fail(json, "a control character in a string has to be escaped");
        if (!(c == '\\' ? skip_escape(json) : skip_utf8(json)))
            return false;
    }
}

static bool skip_digits(idem__json *json)
{
    const char *start = json->at;
    const char *at = start;
    while (at < json->end && *at >= '0' && *at <= '9')
        at++;
    json->at = at;
    return at > start || fail(json, "a digit is expected");
}

static bool skip_number(idem__json *json)
{
    if (*json->at == '-')
        json->at++;
    if (json->at < json->end && *json->at == '0')
        json->at++;
    else if (!skip_digits(json))
        return false;
    if (json->at < json->end && *json->at == '.') {
        json->at++;
        if (!skip_digits(json))
            return false;
    }
    if (json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
        json->at++;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-'))
            json->at++;
        return skip_digits(json);
    }
    return true;
}

static bool skip_word(idem__json *json, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0)
        return fail(json, "a value is expected");
    json->at += len;
    return true;
}

static bool skip_scalar(idem__json *json)
{
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
        if (*json->at == '-' || (*json->at >= '0' && *json->at <= '9'))
            return skip_number(json);
        return fail(json, "a value is expected");
    }
}

static bool in_object(const nesting *open)
{
    uint32_t level = open->depth - 1;
    return (open->bits[level / 32] >> (level % 32) & 1) != 0;
}

static bool enter(idem__json *json, nesting *open)
{
    if (open->depth == IDEM__JSON_DEPTH_MAX)
        return fail(json, "it is nested deeper than 1,024 levels");
    uint32_t bit = UINT32_C(1) << (open->depth % 32);
    uint32_t *word = &open->bits[open->depth / 32];
    uint32_t outer = open->depth % 32 ? *word & (bit - 1) : 0; /* those below: nothing is above */
    *word = *json->at == '{' ? outer | bit : outer;
    open->depth++;
    json->at++;
    return true;
}

static bool skip_name(idem__json *json)
{
    skip_space(json);
    if (!skip_string(json))
        return false;
    skip_space(json);
    return skip_char(json, ':', "a colon is expected behind a member's name");
}

/* Behind a value: closes what ends here. Sets *more if another value has to follow. */
static bool close_or_continue(idem__json *json, nesting *open, bool *more)
{
    *more = false;
    while (open->depth > 0 && !*more) {
        bool object = in_object(open);
        skip_space(json);
        if (json->at < json->end && *json->at == ',') {
            json->at++;
            *more = true;
        } else if (!skip_char(json, object ? '}' : ']',
                              object ? "a comma or a closing brace is expected"
                                     : "a comma or a closing bracket is expected")) {
            return false;
        } else {
            open->depth--;
        }
    }
    return !*more || !in_object(open) || skip_name(json);
}

/* At the opening of an array or object. Sets *empty if it closes at once. */
static bool enter_container(idem__json *json, nesting *open, bool *empty)
{
    char closing = *json->at == '{' ? '}' : ']';
    if (!enter(json, open))
        return false;
    skip_space(json);
    *empty = json->at < json->end && *json->at == closing;
    if (*empty) {
        json->at++;
        open->depth--;
    } else if (closing == '}') {
        return skip_name(json);
    }
    return true;
}

bool idem__json_value(idem__json *json, idem_bytes *raw)
{
    nesting open;
    bool more = true;
    open.depth = 0;
    skip_space(json);
    const char *start = json->at;
    while (more) {
        bool complete = true;
        skip_space(json);
        if (json->at == json->end)
            return fail(json, "it ends where a value is expected");
        if (*json->at == '{' || *json->at == '[') {
            if (!enter_container(json, &open, &complete))
                return false;
        } else if (!skip_scalar(json)) {
            return false;
        }
        if (complete && !close_or_continue(json, &open, &more))
            return false;
    }
    raw->data = start;
    raw->len = (size_t)(json->at - start);
    skip_space(json);
    return true;
}

bool idem__json_valid(idem__json *json, idem_bytes text)
{
    idem_bytes raw;
    static const char nothing[1] = "";
    json->at = text.data ? text.data : nothing;
    json->end = json->at + text.len;
    json->problem = NULL;
    if (!idem__json_value(json, &raw))
        return false;
    return json->at == json->end || fail(json, "something follows the value");
}

bool idem__json_open(idem__json *json)
{
    skip_space(json);
    return skip_char(json, '{', "an object is expected");
}

bool idem__json_member(idem__json *json, bool first, idem_bytes *name, idem_bytes *value)
{
    skip_space(json);
    if (json->at < json->end && *json->at == '}') {
        json->at++;
        return false;
    }
    if (!first && !skip_char(json, ',', "a comma or a closing brace is expected"))
        return false;
    skip_space(json);
    const char *start = json->at;
    if (!skip_string(json))
        return false;
    name->data = start + 1;
    name->len = (size_t)(json->at - start) - 2;
    skip_space(json);
    if (!skip_char(json, ':', "a colon is expected behind a member's name"))
        return false;
    const char *behind_colon = json->at;
    if (!idem__json_value(json, value))
        return false;
    *value = (idem_bytes){behind_colon, (size_t)(json->at - behind_colon)};
    return true;
}
